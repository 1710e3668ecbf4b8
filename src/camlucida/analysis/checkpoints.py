"""The checkpoints of a training: paths, order and names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camlucida.errors import ModelError
from camlucida.models.checkpoint import SUFFIXES
from camlucida.models.model import Model
from camlucida.options import is_path, shown

EPOCHS_FOLDER = "epochs"
"""Folder in which a training run stores the weights of every epoch; 000 holds those before the first epoch."""


def checkpoints(models: Sequence[Any] | Mapping[str, Any] | str | os.PathLike[str]) -> list[tuple[str, Any]]:
    """Return the name of each checkpoint with the model, or with what `load` accepts.

    The files of a folder are sorted by the numbers in their names. The folder of a run that `camlucida train
    --keep-epochs` wrote is accepted as well.

    Args:
        models: A sequence of models or of what `load` accepts, a mapping from names to them, or a folder of
            checkpoints.

    Returns:
        Pairs of a unique name and a model, in the order of the training.

    Raises:
        ModelError: If the folder does not exist, or there are no checkpoints.
    """
    if isinstance(models, str | os.PathLike):
        folder = Path(models).expanduser()
        if not is_path(models) or not folder.is_dir():
            raise ModelError(f"the folder of checkpoints {shown(str(models))} does not exist.")
        folder = folder / EPOCHS_FOLDER if (folder / EPOCHS_FOLDER).is_dir() else folder
        files = [file for file in folder.iterdir() if file.suffix in SUFFIXES and not file.name.startswith(".")]
        models = sorted(files, key=lambda file: _natural_key(file.name))
        if not models:
            raise ModelError(f"no checkpoints in {folder}. Expected files with these suffixes: {', '.join(SUFFIXES)}.")
    if isinstance(models, Mapping):
        named = [(str(name), model) for name, model in models.items()]
    elif not isinstance(models, Sequence):
        raise ModelError(f"models must be a list, a dict or a folder of checkpoints, not {shown(models)}.")
    else:
        named = [(_checkpoint_name(model, i), model) for i, model in enumerate(models, start=1)]
    if not named:
        raise ModelError("film needs one or more checkpoints; none were given.")
    duplicates = {name for i, (name, _) in enumerate(named) if name in [n for n, _ in named[:i]]}
    return [(f"{name} ({i})" if name in duplicates else name, model) for i, (name, model) in enumerate(named, start=1)]


def _checkpoint_name(model: Any, number: int) -> str:
    """Return the stem of the file name, "epoch 3" for a number, or else "checkpoint" with the position in the list."""
    spec = model.spec if isinstance(model, Model) else model
    if not isinstance(spec, str | os.PathLike) or not str(spec):
        return f"checkpoint {number}"
    stem = Path(spec).stem if Path(spec).suffix in SUFFIXES else str(spec)
    match = re.fullmatch(r"(epoch|step|)[-_= ]?0*(\d+)", stem)
    if not match:
        return stem
    return f"{match[1] or 'epoch'} {match[2]}" if int(match[2]) else "start"


def _natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that puts epoch-9 before epoch-10, and numbers before words: 010 before last."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
