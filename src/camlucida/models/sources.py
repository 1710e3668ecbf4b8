"""Sources of models: what the parts of a specification and the suffixes of files mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camlucida.errors import ModelError, nearest
from camlucida.models import (
    checkpoint,
    exported_program,
    http_scorer,
    hugging_face,
    onnx_network,
    open_clip_models,
    python_factory,
    small_cnn,
    timm_models,
    torchscript,
    torchvision_models,
    trained_run,
)
from camlucida.models import toybox_weights as built_in
from camlucida.models.detection import ultralytics
from camlucida.models.detection.torchvision import detector_names
from camlucida.models.file_formats import FOREIGN_SUFFIXES, has_index, is_torchscript
from camlucida.models.keras import applications as keras_applications
from camlucida.models.keras import load as keras_files
from camlucida.models.model import Model
from camlucida.models.recorded import architecture_named

SOURCES: dict[str, Callable[[str, bool], Model]] = {
    "torchvision": torchvision_models.load,
    "timm": timm_models.load,
    "hf": hugging_face.load,
    "openclip": open_clip_models.load,
    "toybox": built_in.load,
    "keras": keras_applications.load,
    "python": python_factory.load,
}
"""Loader of each source, the part of a specification before the colon: (remainder, pretrained) to a model."""

FILE_FORMATS: dict[str, Callable[[Path], Model]] = {
    ".onnx": onnx_network.load,
    ".pt2": exported_program.load,
    **dict.fromkeys(keras_files.SUFFIXES, keras_files.load_file),
}
"""Loader of each format that stores a network together with its weights, by suffix; other files are checkpoints."""


@dataclass(frozen=True)
class SpecificationLoader:
    """Loads the model that a specification, a file or a run names; the state of one call of `load`.

    Attributes:
        trust_code: Whether a run may name any architecture, and the code in a checkpoint of ultralytics may run.
        size: Size of the network input that the user gave, as of `make_preprocessing`; None if none was given.
        parents: The records being read, outermost first, since a run could name itself.
    """

    trust_code: bool
    size: Any = None
    parents: tuple[str, ...] = ()

    def from_spec(self, spec: str, arch: str | None, pretrained: bool) -> Model:
        """Return the model of a specification given by the user, which alone may be the address of a server."""
        if http_scorer.is_address(spec) and arch is None:
            return http_scorer.load(spec)
        source, colon, rest = spec.partition(":")
        is_file = checkpoint.looks_like_file(spec) or (arch is None and trained_run.run_folder(spec) is not None)
        if colon and source in SOURCES and arch is None and not is_file:
            return replace(SOURCES[source](rest, pretrained), spec=spec)
        if is_file:
            return self.from_file(spec, arch)
        if arch is not None:
            raise ModelError(
                f"--arch {arch} is only for checkpoint files, and {spec!r} is not one: {_no_file_message(spec)}"
            )
        if spec == "toybox":
            return replace(built_in.load("", pretrained), spec=spec)
        if spec == small_cnn.NAME:
            return replace(small_cnn.load(pretrained), spec=spec)
        if torchvision_models.is_known(spec):
            return replace(torchvision_models.load(spec, pretrained), spec=spec)
        raise ModelError(_unknown_model_message(spec))

    def from_file(self, path: str, arch: str | None) -> Model:
        """Return the model in a checkpoint file or in the folder of a training run."""
        if arch is None and trained_run.run_folder(path) is not None:
            return replace(trained_run.load(path, self._recorded_by_run), spec=_short_name(path))
        if not checkpoint.looks_like_file(path):
            raise ModelError(_no_file_message(path))
        file = Path(path).expanduser()
        if arch is None and (load_file := FILE_FORMATS.get(file.suffix.lower())) is not None:
            return replace(load_file(file), spec=file.name)
        if arch is None and is_torchscript(file):
            return replace(torchscript.load(file), spec=file.name)
        if arch is None and ultralytics.is_checkpoint(file):
            return replace(ultralytics.load(file, self.trust_code), spec=file.name)
        built = None if arch is None else self.from_spec(arch, None, False)
        return replace(checkpoint.load(file, built, self._recorded_by_file, self.size), spec=file.name)

    def _recorded_by_file(self, name: Any, by: str, instead: str) -> Model:
        """Return the architecture named by a weights file, which must be a registered one."""
        return self.from_spec(architecture_named(name, by=by, instead=instead), None, False)

    def _recorded_by_run(self, name: Any, by: str, instead: str) -> Model:
        """Return the architecture named by a training run, which may be any if the user trusts it."""
        if not self.trust_code or not isinstance(name, str) or http_scorer.is_address(name):
            return self.from_spec(architecture_named(name, by=by, instead=instead), None, False)
        if by in self.parents:
            raise ModelError(f"{by} names itself as its architecture.")
        return SpecificationLoader(True, parents=(*self.parents, by)).from_spec(name, None, False)


def _short_name(spec: str) -> str:
    """Return the folder name of a run, or the folder and file name of one of its files."""
    path = Path(spec).expanduser().absolute()
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"


def _unknown_model_message(spec: str) -> str:
    source, colon, _ = spec.partition(":")
    if colon:
        return f"unknown source of models {source!r}.{nearest(source, SOURCES)} Known: {', '.join(SOURCES)}."
    if "/" in spec or Path(spec).suffix.lower() in (*checkpoint.SUFFIXES, *FOREIGN_SUFFIXES) or _is_folder(spec):
        return _no_file_message(spec)
    hint = nearest(spec, [*torchvision_models.classifier_names(), *detector_names(), "toybox"])
    if timm_models.is_known(spec):
        hint = f" Did you mean 'timm:{spec}'?"
    return (
        f"unknown model {spec[:200]!r}.{hint} `camlucida models` lists the names. Files and python:module:function are "
        "accepted as well."
    )


def _no_file_message(spec: str) -> str:
    if not _is_folder(spec):
        return f"the file {spec[:200]!r} does not exist in {Path.cwd()}."
    if _is_of_transformers(Path(spec).expanduser() / "config.json"):
        return f"{spec!r} is a folder that transformers saved. Use hf:{Path(spec).expanduser().absolute()}."
    if (Path(spec).expanduser() / "saved_model.pb").is_file():
        return f"{spec!r} is a TensorFlow SavedModel. Convert it to PyTorch first, and save the state_dict."
    if has_index(Path(spec).expanduser()):
        return (
            f"{spec!r} contains a checkpoint in several files (shards). Join them into one dictionary, and save that."
        )
    if (Path(spec).expanduser() / "config.json").is_file():
        return f"{spec!r} is a folder. If timm saved it, use timm:local-dir:{Path(spec).absolute()}."
    return f"{spec!r} is a folder. Pass the checkpoint file in it."


def _is_of_transformers(config: Path) -> bool:
    try:
        return '"model_type"' in config.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _is_folder(spec: str) -> bool:
    try:
        return bool(spec) and Path(spec).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):
        return False
