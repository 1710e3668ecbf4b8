"""Opening of the model and the data set that the user names; a benchmark may provide or modify the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.data.datasets import Dataset
    from camlucida.models.model import Model


def open_model_and_data(
    data: str,
    model: str,
    *,
    arch: str | None = None,
    trust_code: bool = False,
    labels: str | Path | None = None,
    boxes: str | Path | None = None,
    count: int | None = None,
    seed: int = 0,
    split: str | None = None,
) -> tuple[Model, Dataset]:
    """Open a model and the images to explain.

    Args:
        data: exact:… for a benchmark of `camlucida.evaluation.benchmarks`; a training folder for its validation images;
            or any data set.
        model: The model to explain.
        arch: The architecture that a checkpoint holds the weights of.
        trust_code: Whether the record of a training may name code or addresses.
        labels: A file with one class name per line.
        boxes: A CSV file of bounding boxes, for folders.
        count: The number of images to render, for rendered data sets.
        seed: The random seed of rendered data sets.
        split: Use only this split of a data set.

    Raises:
        DataError: If the data set cannot be opened, or an option does not apply to it.
        ModelError: If the model cannot be loaded.
    """
    from camlucida.data.open import N_TOYBOX_SCENES, open_dataset
    from camlucida.evaluation.benchmarks import PREFIX, benchmark, open_benchmark
    from camlucida.models.load import load

    if split is not None and (is_training_folder(data) or data.startswith(PREFIX)):
        raise DataError(f"{data} says itself which pictures it takes: --split is for data sets.")
    if is_training_folder(data):
        return load(model, arch=arch, trust_code=trust_code, labels=labels), _validation_set(data, boxes, trust_code)
    if not data.startswith(PREFIX):
        dataset = open_dataset(data, boxes=boxes, count=count, seed=seed, split=split)  # before weights are downloaded
        return load(model, arch=arch, trust_code=trust_code, labels=labels), dataset
    if boxes is not None:
        raise DataError(f"{data} knows what is where: --boxes is for folders.")
    loaded = load(model, arch=arch, trust_code=trust_code, labels=labels) if benchmark(data).needs_model else None
    return open_benchmark(data, loaded, count=N_TOYBOX_SCENES if count is None else count, seed=seed)


def reopen_model_and_data(
    source: Mapping[str, Any], *, record_path: str, seed: int, trust_code: bool
) -> tuple[Model, Dataset]:
    """Return the model and the data set that the record of an evaluation names, so that its images can be drawn.

    Args:
        source: The record: data, model, arch, labels, boxes, count and split. It may come from an untrusted author.
        record_path: The file of the record, for error messages.
        seed: The seed of the evaluation.
        trust_code: Whether the record may name any code, path or address.

    Raises:
        DataError: If the record is damaged, or names a data set on another machine.
        ModelError: If it names a model that a record may not name.
    """
    from camlucida.data.open import N_TOYBOX_SCENES, check_recorded_spec, open_dataset
    from camlucida.evaluation.benchmarks import PREFIX, benchmark, open_benchmark
    from camlucida.models.load import load_recorded

    fields = {key: source.get(key) for key in ("data", "model", "arch", "labels", "boxes", "split")}
    count = source.get("count")
    all_text = all(isinstance(value, str | None) for value in fields.values())
    if not all_text or fields["data"] is None or not isinstance(count, int | None):
        raise DataError(f"{record_path} does not say in a way that can be read which model and data it is about.")
    hint = "If you made it yourself, or trust whoever did: --trust-code; or --no-images."
    data, boxes = str(fields["data"]), fields["boxes"]
    if not trust_code:
        for spec in (data, boxes, fields["labels"]):
            check_recorded_spec(spec, by=record_path, instead=hint)

    def model() -> Model:
        return load_recorded(
            fields["model"],
            fields["arch"],
            labels=fields["labels"],
            by=record_path,
            instead=hint,
            trust_code=trust_code,
        )

    if data.startswith(PREFIX):
        loaded = model() if benchmark(data).needs_model else None
        return open_benchmark(data, loaded, count=N_TOYBOX_SCENES if count is None else count, seed=seed)
    if is_training_folder(data):
        return model(), _validation_set(data, boxes, trust_code)
    dataset = open_dataset(data, boxes=boxes, count=count, seed=seed, split=fields["split"])
    return model(), dataset


def is_training_folder(data: str) -> bool:
    """Return whether `data` is a folder that `camlucida train` wrote."""
    file = Path(data).expanduser() / "run.json"
    return file.is_file() and (file.parent / "model.json").is_file()


def _validation_set(run: str, boxes: str | Path | None, trust_code: bool) -> Dataset:
    from camlucida.training.training_data import validation_data

    if boxes is not None:
        raise DataError(f"{run} knows its own data: give --boxes when training.")
    return validation_data(run, trust_code=trust_code)
