"""What `camlucida train` leaves behind: a folder whose model.json says what model.safetensors holds the weights of."""

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
from camlucida.models.checkpoint import MAX_CLASSES, load_weights, read_weights
from camlucida.models.heads import HEADS, Head, replace_head
from camlucida.models.labels import check_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, check_recorded_size
from camlucida.models.quoting import printable

MODEL_CARD_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
FORMAT_VERSION = 1
TRUST_HINT = "If you trained it yourself, or trust whoever did: --trust-code, or trust_code=True in Python."
"""What a user can do about an architecture that a run may not name on its own."""


@dataclass(frozen=True)
class ModelCard:
    """model.json: all that is needed to build the network again, and how it came about.

    arch            a spec of the architecture that it was made of
    head            how its last layers were replaced: see `with_classes`
    classes         in the order of the outputs
    preprocessing   from a picture to its input
    data            what it learned from: name, hash, how many pictures
    training        how: every setting
    results         what came of it
    versions        of what took part
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
        """Whole or not at all."""
        content = {"format": FORMAT_VERSION, **asdict(self)}
        atomic_write(folder / MODEL_CARD_FILE, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_model_card(folder: Path) -> ModelCard:
    """Return what model.json in a folder says, every field checked; `ModelError` where it does not say it.

    The architecture is not: see `load`, and `camlucida.models.recorded`.
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
            raise ModelError(f"{len(classes):,} classes: 1 to {MAX_CLASSES:,} can be explained")
        rest = {key: content.get(key, {}) for key in ("data", "training", "results", "versions")}
        if not all(isinstance(value, dict) for value in rest.values()):
            raise TypeError("data, training, results and versions are objects")
        preprocess = _parse_preprocessing(content["preprocessing"])
        return ModelCard(content["arch"], content["head"], classes, preprocess, **rest)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ModelError) as error:
        if isinstance(error, ModelError) and "newer version" in str(error):
            raise
        reason = printable(error, 300).rstrip(".")
        raise ModelError(f"{file} does not describe a model: {type(error).__name__}: {reason}.") from None


def _parse_preprocessing(record: Any) -> Preprocessing:
    lists = {key: tuple(record[key]) for key in ("size", "mean", "std")}
    preprocess = check_recorded_size(Preprocessing(**{**record, **lists}))
    if len(preprocess.mean) != 3 or len(preprocess.std) != 3:
        raise TypeError("mean and std have three numbers")
    return preprocess


def run_folder(spec: str) -> Path | None:
    """The folder of the run that a spec means: itself, or one of its weights files; None if it means none."""
    try:
        path = Path(spec).expanduser()
        if path.is_dir():
            return path if (path / MODEL_CARD_FILE).is_file() else None
        parents = (path.parent, path.parent.parent)
        if path.suffix == ".safetensors" and path.is_file():
            return next((folder for folder in parents if (folder / MODEL_CARD_FILE).is_file()), None)
    except (OSError, RuntimeError, ValueError):  # too long for a name, "~nobody", a zero byte
        pass
    return None


def load(spec: str, architecture: Callable[[Any, str, str], Model]) -> Model:
    """Return the best weights of a run, or those in one of its files. Nothing is unpickled.

    Args:
        spec: The folder, or a weights file in it.
        architecture: Makes the network of a name in the file, the file's name and what to do otherwise; refuses
            what a file may not name, unless the user trusts it. See `camlucida.models.recorded`.

    Raises:
        ModelError: If it is no run, is damaged, or names an architecture that a file may not name.
    """
    path = Path(spec).expanduser()
    folder = run_folder(spec)
    if folder is None:
        raise ModelError(f"{spec!r} is no run: it has no {MODEL_CARD_FILE}.")
    file = folder / WEIGHTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise ModelError(f"{folder} has no {WEIGHTS_FILE} yet: its training has not come to the end of an epoch.")
    card = read_model_card(folder)
    state = read_weights(file)
    network = build_network(card, architecture(card.arch, str(folder / MODEL_CARD_FILE), TRUST_HINT).network)
    load_weights(network, state, source=str(file))
    return Model(network.eval(), card.preprocessing, card.classes)


def build_network(card: ModelCard, network: nn.Module) -> nn.Module:
    """The architecture with the head of the run."""
    return replace_head(network, len(card.classes), card.head, card.preprocessing.size)


def write_weights(network: nn.Module, file: Path) -> None:
    """As safetensors, whole or not at all."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    atomic_write(file, save(state, {"format": "pt"}))
