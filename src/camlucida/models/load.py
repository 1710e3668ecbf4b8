"""`load`: from what a user types to a model. `wrap`: from a network a user has to a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.models import checkpoint, python_factory, small_cnn, timm_models, torchvision_models, trained_run
from camlucida.models import toybox_weights as built_in
from camlucida.models.file_formats import has_index
from camlucida.models.labels import class_names
from camlucida.models.model import Model, Output
from camlucida.models.preprocessing import make_preprocessing
from camlucida.models.recorded import architecture_named
from camlucida.options import shown

SOURCES: dict[str, Callable[[str, bool], Model]] = {
    "torchvision": torchvision_models.load,
    "timm": timm_models.load,
    "toybox": built_in.load,
    "python": python_factory.load,
}
"""What may stand before the colon of a spec: (rest of the spec, with trained weights?) -> model."""


def load(
    spec: str | os.PathLike[str],
    *,
    arch: str | None = None,
    labels: Sequence[str] | str | Path | None = None,
    pretrained: bool = True,
    trust_code: bool = False,
    **preprocess: Any,
) -> Model:
    """A model by name or from a file.

    spec        resnet50, torchvision:resnet50@IMAGENET1K_V2   torchvision, with its weights' own preprocessing
                timm:convnext_tiny.fb_in22k_ft_in1k, timm:local-dir:/path   timm (needs the extra)
                toybox, toybox:vgg   the networks in this package
                runs/dogs, runs/dogs/last.safetensors   what `train` made: the folder, or one of its weights files
                weights.safetensors, run.pth   a checkpoint; `arch` says of what. Never unpickles code
                python:package.module:factory, python:path/to/file.py:factory   your function, called without arguments
                A `Path` always means a file or folder, also where its name looks like one of these.
    arch        for a checkpoint: a spec of the architecture
    labels      class names, or a text file with one a line; otherwise as the weights bring them
    pretrained  False for the architecture alone: random weights, nothing fetched
    trust_code  True for a run that you trust, whose record names an architecture that a file may not name on its own:
                python:…, a path, or one from the hub. It is made as if you had typed it
    preprocess  as of `preprocessing`, where it differs from the weights' own

    Weights that are not on this machine are fetched once, with a progress bar. Raises `ModelError`, with what was
    wanted, what was found and what to do, also offline.
    """
    requested: Any = spec
    if not isinstance(requested, str | os.PathLike):
        hint = " wrap() makes a model of a network." if isinstance(requested, nn.Module) else ""
        raise ModelError(f"load needs a name or a file, not {type(requested).__name__}.{hint}")
    if not isinstance(pretrained, bool):
        raise ModelError(f"load: pretrained is True or False, not {shown(pretrained)}.")
    architecture: Any = arch
    if not isinstance(architecture, str | None):
        raise ModelError(f"arch is the name of an architecture, such as 'resnet18', not {type(architecture).__name__}.")
    loader = _ModelLoader(trust_code)
    model = (
        loader.from_spec(requested, arch, pretrained)
        if isinstance(requested, str)
        else loader.from_file(os.fsdecode(requested), arch)
    )
    if preprocess:
        model = replace(model, preprocessing=make_preprocessing(model.preprocessing, **preprocess))
    return replace(model, labels=class_names(labels)) if labels is not None else model


def load_recorded(
    spec: Any,
    arch: Any,
    *,
    labels: str | Path | None = None,
    by: str,
    instead: str,
    trust_code: bool = False,
) -> Model:
    """Return the model that a record names, such as the run.json of an evaluation.

    Args:
        spec: The model in the record: a name of a registry, or a file or folder, which decides no more than itself.
        arch: The architecture in the record, for a checkpoint.
        labels: A file with class names.
        by: The name of the record, for messages.
        instead: What the user can do about a model that a record may not name.
        trust_code: Whether to take any spec, as if the user had typed it.

    Raises:
        ModelError: If the record may not name it, or it cannot be loaded.
    """
    if trust_code and isinstance(spec, str) and isinstance(arch, str | None):
        return load(spec, arch=arch, labels=labels, trust_code=True)
    name = None if arch is None else architecture_named(arch, by=by, instead=instead)
    if (
        isinstance(spec, str)
        and "://" not in spec
        and (checkpoint.looks_like_file(spec) or trained_run.run_folder(spec))
    ):
        return load(Path(spec), arch=name, labels=labels)
    return load(architecture_named(spec, by=by, instead=instead), arch=name, labels=labels)


def wrap(
    network: nn.Module,
    *,
    preprocess: Any = None,
    labels: Sequence[str] | str | Path | None = None,
    layer: str | int | None = None,
    output: Output = None,
    name: str = "",
    **numbers: Any,
) -> Model:
    """A model of a network you have. The network is never changed.

    preprocess  `weights.transforms()`, a Compose of Resize, CenterCrop, ToTensor and Normalize, or nothing
    numbers     size=, mean=, std= (and resize=, fit=, interpolation=) instead of, or on top of it
    labels      class names in the order of the outputs, or a text file with one a line
    layer       the default layer; found by looking at the network if not given
    output      which part of the output the class scores are: a key, an index or a callable
    name        what to call it in pictures
    """
    if not isinstance(network, nn.Module):
        raise ModelError(f"wrap needs a torch.nn.Module, not {type(network).__name__}.")
    preprocessing_ = make_preprocessing(preprocess, **numbers)
    return Model(network, preprocessing_, () if labels is None else class_names(labels), layer, output, name)


@dataclass(frozen=True)
class _ModelLoader:
    """One call of `load`.

    Attributes:
        trust_code: Whether a run may name any architecture.
        parents: The records that are being read, outermost first: a run can name itself.
    """

    trust_code: bool
    parents: tuple[str, ...] = ()

    def from_spec(self, spec: str, arch: str | None, pretrained: bool) -> Model:
        """Return the model of a spec that a user typed."""
        source, colon, rest = spec.partition(":")
        is_file = checkpoint.looks_like_file(spec) or (arch is None and trained_run.run_folder(spec) is not None)
        if colon and source in SOURCES and arch is None and not is_file:
            return replace(SOURCES[source](rest, pretrained), spec=spec)
        if is_file:
            return self.from_file(spec, arch)
        if arch is not None:
            raise ModelError(
                f"--arch {arch} belongs to a checkpoint file, and {spec!r} is none: {_no_file_message(spec)}"
            )
        if spec == "toybox":
            return replace(built_in.load("", pretrained), spec=spec)
        if spec == small_cnn.NAME:
            return replace(small_cnn.load(pretrained), spec=spec)
        if torchvision_models.is_known(spec):
            return replace(torchvision_models.load(spec, pretrained), spec=spec)
        raise ModelError(_unknown_model_message(spec))

    def from_file(self, path: str, arch: str | None) -> Model:
        """Return the model in a checkpoint file or in the folder of a run."""
        if arch is None and trained_run.run_folder(path) is not None:
            return replace(trained_run.load(path, self._recorded_by_run), spec=_short_name(path))
        if not checkpoint.looks_like_file(path):
            raise ModelError(_no_file_message(path))
        built = None if arch is None else self.from_spec(arch, None, False)
        return replace(checkpoint.load(Path(path).expanduser(), built, self._recorded_by_file), spec=Path(path).name)

    def _recorded_by_file(self, name: Any, by: str, instead: str) -> Model:
        """Return the architecture that a weights file names: never more than a registry holds."""
        return self.from_spec(architecture_named(name, by=by, instead=instead), None, False)

    def _recorded_by_run(self, name: Any, by: str, instead: str) -> Model:
        """Return the architecture that a run names: any, where the user trusts it."""
        if not self.trust_code or not isinstance(name, str):
            return self.from_spec(architecture_named(name, by=by, instead=instead), None, False)
        if by in self.parents:
            raise ModelError(f"{by} names itself as its architecture.")
        return _ModelLoader(True, (*self.parents, by)).from_spec(name, None, False)


def _short_name(spec: str) -> str:
    """A run by its folder's name; one of its files by both."""
    path = Path(spec).expanduser().absolute()
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"


def _unknown_model_message(spec: str) -> str:
    source, colon, _ = spec.partition(":")
    if colon:
        return f"no source {source!r} for models.{nearest(source, SOURCES)} Known: {', '.join(SOURCES)}."
    if "/" in spec or Path(spec).suffix in checkpoint.SUFFIXES or _is_folder(spec):
        return _no_file_message(spec)
    hint = nearest(spec, [*torchvision_models.classifier_names(), "toybox"])
    if timm_models.is_known(spec):
        hint = f" Did you mean 'timm:{spec}'?"
    return (
        f"no model {spec[:200]!r}.{hint} `camlucida models` lists the names; a file or python:module:function does too."
    )


def _no_file_message(spec: str) -> str:
    if not _is_folder(spec):
        return f"there is no file {spec[:200]!r} here ({Path.cwd()})."
    if (Path(spec).expanduser() / "saved_model.pb").is_file():
        return f"{spec!r} is a TensorFlow SavedModel. Convert it to PyTorch first, and save the state_dict."
    if has_index(Path(spec).expanduser()):
        return f"{spec!r} holds a checkpoint in several files (shards). Join them into one dictionary, and save that."
    if (Path(spec).expanduser() / "config.json").is_file():
        return f"{spec!r} is a folder. If timm saved it: timm:local-dir:{Path(spec).absolute()}."
    return f"{spec!r} is a folder: give the checkpoint file in it."


def _is_folder(spec: str) -> bool:
    try:
        return bool(spec) and Path(spec).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):
        return False
