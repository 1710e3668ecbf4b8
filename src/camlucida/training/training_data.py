"""The data of a training: opened for `train`, and opened again from the record of a run for its validation images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camlucida.data.datasets import Dataset, ListDataset, check_dataset, sample_indices, subset
from camlucida.data.open import absolute_spec, check_recorded_spec, open_dataset
from camlucida.errors import DataError
from camlucida.models.trained_run import MODEL_CARD_FILE, TRUST_HINT, read_model_card
from camlucida.training.run_folder import RunFolder

N_TOYBOX_SCENES = 6000
"""Default number of toybox scenes to train on."""

TOYBOX_SEED_OFFSET = 1_000_000
"""Added to the seed of the toybox, so that `evaluate` and `explain` do not use scenes of the training set."""


def open_training_data(
    data: Dataset | str | Path, boxes: str | Path | None, limit: int | None, seed: int
) -> tuple[Dataset, dict[str, Any]]:
    """Return the dataset, and the arguments to open it again; none for a dataset made in Python."""
    if not isinstance(data, str | Path):
        check_dataset(data)
        return (data if limit is None else subset(data, sample_indices(len(data), limit, seed))), {}
    spec = str(data)
    is_toybox = spec.partition(":")[0] == "toybox" and not Path(spec).exists()
    if is_toybox:
        dataset = open_dataset(spec, boxes=boxes, count=limit or N_TOYBOX_SCENES, seed=TOYBOX_SEED_OFFSET + seed)
    else:
        dataset = open_dataset(data, boxes=boxes)
        if limit is not None and limit < len(dataset):
            dataset = subset(dataset, sample_indices(len(dataset), limit, seed))
        spec = absolute_spec(spec)
    return dataset, {"spec": spec, "boxes": None if boxes is None else str(Path(boxes).absolute()), "limit": limit}


def validation_data(path: str | Path, *, trust_code: bool = False) -> Dataset:
    """Return the validation images of a training, which it was not trained on.

    Args:
        path: The folder of the training.
        trust_code: Whether its record may name data at a URL.

    Raises:
        DataError: If there is no training, or its data no longer exist.
    """
    folder = RunFolder(Path(path).expanduser())
    record = folder.read()
    data = read_model_card(folder.path).data
    if not data.get("spec"):
        raise DataError(
            f"{folder.path} was trained on a data set that was created in Python. Name the data to evaluate on."
        )
    seed = _recorded_seed(record, data, folder.path)
    if not trust_code:
        for spec in (data["spec"], data.get("boxes")):
            check_recorded_spec(spec, by=str(folder.path / MODEL_CARD_FILE), instead=TRUST_HINT)
    dataset, _ = open_training_data(data["spec"], data.get("boxes"), data.get("limit"), seed)
    names = {row["image"] for row in folder.read_table("split.csv") if row["split"] == "val"}
    if not names:
        raise DataError(f"{folder.path} was trained without validation images. Name the data to evaluate on.")
    items = [item for item in (dataset[i] for i in range(len(dataset))) if item.name in names]
    if len(items) < len(names):
        raise DataError(
            f"{len(names) - len(items)} of the {len(names)} validation images of {folder.path} are no longer in "
            f"{data['spec']}."
        )
    exact = bool(getattr(dataset, "exact", False))
    return ListDataset(f"{dataset.name}, validation", items, dataset.classes, exact)


def _recorded_seed(record: Mapping[str, Any], data: Mapping[str, Any], path: Path) -> int:
    """Return the seed in a record. Raises `DataError` if a field of the record has the wrong type."""
    try:
        seed: Any = record["training"]["settings"]["seed"]
    except (KeyError, TypeError):
        seed = None
    valid = isinstance(data["spec"], str) and isinstance(data.get("limit"), int | None)
    if not (isinstance(seed, int) and valid and isinstance(data.get("boxes"), str | None)):
        raise DataError(f"the record of the training data in {path} is not valid. Name the data to evaluate on.")
    return seed
