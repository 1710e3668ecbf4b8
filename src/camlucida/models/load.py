"""`load`: from what a user types to a model. `wrap`: from a network a user has to a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.models import checkpoint, factory, runs, small, timm_models, torchvision_models
from camlucida.models import toybox as built_in
from camlucida.models.labels import class_names
from camlucida.models.model import Model, Output
from camlucida.models.preprocessing import preprocessing
from camlucida.options import shown

SOURCES: dict[str, Callable[[str, bool], Model]] = {
    "torchvision": torchvision_models.load,
    "timm": timm_models.load,
    "toybox": built_in.load,
    "python": factory.load,
}
"""What may stand before the colon of a spec: (rest of the spec, with trained weights?) -> model."""


def load(
    spec: str | os.PathLike[str],
    *,
    arch: str | None = None,
    labels: Sequence[str] | str | Path | None = None,
    pretrained: bool = True,
    **preprocess: Any,
) -> Model:
    """A model by name or from a file.

    spec        resnet50, torchvision:resnet50@IMAGENET1K_V2   torchvision, with its weights' own preprocessing
                timm:convnext_tiny.fb_in22k_ft_in1k, timm:local-dir:/path   timm (needs the extra)
                toybox, toybox:vgg   the networks in this package
                runs/dogs, runs/dogs/last.safetensors   what `train` made: the folder, or one of its weights files
                weights.safetensors, run.pth   a checkpoint; `arch` says of what. Never unpickles code
                python:package.module:factory, python:path/to/file.py:factory   your function, called without arguments
    arch        for a checkpoint: a spec of the architecture
    labels      class names, or a text file with one a line; otherwise as the weights bring them
    pretrained  False for the architecture alone: random weights, nothing fetched
    preprocess  as of `preprocessing`, where it differs from the weights' own

    Weights that are not on this machine are fetched once, with a progress bar. Raises `ModelError`, with what was
    wanted, what was found and what to do, also offline.
    """
    given: Any = spec
    if not isinstance(given, str | os.PathLike):
        hint = " wrap() makes a model of a network." if isinstance(given, nn.Module) else ""
        raise ModelError(f"load needs a name or a file, not {type(given).__name__}.{hint}")
    if not isinstance(pretrained, bool):
        raise ModelError(f"load: pretrained is True or False, not {shown(pretrained)}.")
    model = _loaded(os.fspath(spec), arch, pretrained)
    if preprocess:
        model = replace(model, preprocessing=preprocessing(model.preprocessing, **preprocess))
    return replace(model, labels=class_names(labels)) if labels is not None else model


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
    how = preprocessing(preprocess, **numbers)
    return Model(network, how, () if labels is None else class_names(labels), layer, output, name)


def _loaded(spec: str, arch: str | None, pretrained: bool) -> Model:
    source, colon, rest = spec.partition(":")
    if colon and source in SOURCES and arch is None:
        return replace(SOURCES[source](rest, pretrained), spec=spec)
    if arch is None and runs.home(spec) is not None:
        return replace(runs.load(spec, _architecture), spec=_short(spec))
    if checkpoint.looks_like_file(spec):
        built = None if arch is None else _loaded(arch, None, False)
        return replace(checkpoint.load(Path(spec).expanduser(), built, _architecture), spec=Path(spec).name)
    if arch is not None:
        raise ModelError(f"--arch {arch} belongs to a checkpoint file, and {spec!r} is none: {_no_file(spec)}")
    if spec == "toybox":
        return replace(built_in.load("", pretrained), spec=spec)
    if spec == small.NAME:
        return replace(small.load(pretrained), spec=spec)
    if torchvision_models.knows(spec):
        return replace(torchvision_models.load(spec, pretrained), spec=spec)
    raise ModelError(_unknown(spec))


def _short(spec: str) -> str:
    """A run by its folder's name; one of its files by both."""
    path = Path(spec).expanduser().absolute()
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"


def _architecture(name: str) -> Model:
    """The architecture that a checkpoint's own metadata names."""
    return _loaded(name, None, False)


def _unknown(spec: str) -> str:
    source, colon, _ = spec.partition(":")
    if colon:
        return f"no source {source!r} for models.{nearest(source, SOURCES)} Known: {', '.join(SOURCES)}."
    if "/" in spec or Path(spec).suffix in checkpoint.SUFFIXES or _is_folder(spec):
        return _no_file(spec)
    hint = nearest(spec, [*torchvision_models.names(), "toybox"])
    if timm_models.knows(spec):
        hint = f" Did you mean 'timm:{spec}'?"
    return (
        f"no model {spec[:200]!r}.{hint} `camlucida models` lists the names; a file or python:module:function does too."
    )


def _no_file(spec: str) -> str:
    if not _is_folder(spec):
        return f"there is no file {spec[:200]!r} here ({Path.cwd()})."
    if (Path(spec).expanduser() / "config.json").is_file():
        return f"{spec!r} is a folder. If timm saved it: timm:local-dir:{Path(spec).absolute()}."
    return f"{spec!r} is a folder: give the checkpoint file in it."


def _is_folder(spec: str) -> bool:
    try:
        return bool(spec) and Path(spec).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):
        return False
