"""Folder written by `camlucida train`: model.json describes the model whose weights are in model.safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from camlucida._files import atomic_write
from camlucida.errors import ModelError
from camlucida.models.checkpoint import read_weights
from camlucida.models.fit_weights import MAX_CLASSES, load_weights
from camlucida.models.heads import HEADS, Head, replace_head
from camlucida.models.labels import check_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, check_recorded_size
from camlucida.models.quoting import printable

MODEL_CARD_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
FORMAT_VERSION = 1
TRUST_HINT = "If you trained it yourself or trust its source: --trust-code, or trust_code=True in Python."
"""What a user can do about an architecture that a run may not name by default."""


@dataclass(frozen=True)
class ModelCard:
    """Content of model.json: everything needed to rebuild the network, and how it was trained.

    Attributes:
        arch: The specification of the architecture.
        head: How the last layers were replaced; see `camlucida.models.heads.replace_head`.
        classes: Class names in the order of the outputs.
        preprocessing: Converts an image to the network input.
        data: The training data: name, hash and number of images.
        training: All settings of the training.
        results: The results of the training.
        versions: Versions of the packages used.
    """

    arch: str
    head: Head
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write model.json to a folder, atomically."""
        content = {"format": FORMAT_VERSION, **asdict(self)}
        atomic_write(folder / MODEL_CARD_FILE, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_model_card(folder: Path) -> ModelCard:
    """Return the content of the model.json in a folder, with every field validated.

    The architecture is not validated here; see `load` and `camlucida.models.recorded`. Raises `ModelError` if the file
    is missing or invalid.
    """
    file = folder / MODEL_CARD_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content["format"], int):
            raise TypeError("not an object with a format")
        if content["format"] > FORMAT_VERSION:
            raise ModelError(f"{file} was written by a newer version of camlucida: update camlucida.")
        if content["head"] not in HEADS:
            raise KeyError("head")
        classes = check_names(content["classes"], source="classes")
        if not 1 <= len(classes) <= MAX_CLASSES:
            raise ModelError(f"{len(classes):,} classes: 1 to {MAX_CLASSES:,} are supported")
        rest = {key: content.get(key, {}) for key in ("data", "training", "results", "versions")}
        if not all(isinstance(value, dict) for value in rest.values()):
            raise TypeError("data, training, results and versions must be objects")
        preprocess = _parse_preprocessing(content["preprocessing"])
        return ModelCard(content["arch"], content["head"], classes, preprocess, **rest)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ModelError) as error:
        if isinstance(error, ModelError) and "newer version" in str(error):
            raise
        reason = printable(error, 300).rstrip(".")
        raise ModelError(f"{file} does not describe a model: {type(error).__name__}: {reason}.") from None


def _parse_preprocessing(record: Any) -> Preprocessing:
    lists = {key: tuple(record[key]) for key in ("size", "mean", "std")}
    if isinstance(record.get("resize"), list):
        lists["resize"] = tuple(record["resize"])
    preprocess = check_recorded_size(Preprocessing(**{**record, **lists}))
    if len(preprocess.mean) != 3 or len(preprocess.std) != 3:
        raise TypeError("mean and std must have three numbers each")
    return preprocess


def run_folder(spec: str) -> Path | None:
    """Return the folder of the run for its path or that of one of its weights files; None if it is neither."""
    try:
        path = Path(spec).expanduser()
        if path.is_dir():
            return path if (path / MODEL_CARD_FILE).is_file() else None
        parents = (path.parent, path.parent.parent)
        if path.suffix == ".safetensors" and path.is_file():
            return next((folder for folder in parents if (folder / MODEL_CARD_FILE).is_file()), None)
    except (OSError, RuntimeError, ValueError):  # name too long, unknown user after "~", null byte
        pass
    return None


def load(spec: str, architecture: Callable[[Any, str, str], Model]) -> Model:
    """Return the model of a run with its best weights, or with those in one of its files. Nothing is unpickled.

    Args:
        spec: The folder, or a weights file in it.
        architecture: Builds the architecture of a name found in model.json, given that name, the name of the file and a
            hint for the user; raises for names that a file may not use, unless the user trusts it. See
            `camlucida.models.recorded`.

    Raises:
        ModelError: If it is not a run, is damaged, or names an architecture that a file may not name.
    """
    path = Path(spec).expanduser()
    folder = run_folder(spec)
    if folder is None:
        raise ModelError(f"{spec!r} is not a training run: it has no {MODEL_CARD_FILE}.")
    file = folder / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ModelError(f"{folder} has no {WEIGHTS_FILE} yet: no epoch of its training has finished.")
    card = read_model_card(folder)
    state = read_weights(file)
    network = build_network(card, architecture(card.arch, str(folder / MODEL_CARD_FILE), TRUST_HINT).network)
    load_weights(network, state, source=str(file))
    return Model(network.eval(), card.preprocessing, card.classes)


def build_network(card: ModelCard, network: nn.Module) -> nn.Module:
    """Return the architecture with the head of the run."""
    return replace_head(network, len(card.classes), card.head, card.preprocessing.size)


def write_weights(network: nn.Module, file: Path) -> None:
    """Write the weights of a network as safetensors, atomically."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    atomic_write(file, save(state, {"format": "pt"}))
