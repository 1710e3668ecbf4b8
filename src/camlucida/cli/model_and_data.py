"""From what a user types to a model and its pictures: a benchmark brings its own model, or changes the one given."""

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
    """The model that is explained, and its pictures. exact:… is a benchmark of `camlucida.evaluation.benchmarks`, the folder of a
    training stands for the pictures that it was validated on, all else is a data set.

    trust_code  whether a training's record may name any code or address
    count   how many pictures are drawn, where they are
    split   of a data set: only those pictures
    """
    from camlucida.data.open import N_TOYBOX_SCENES, open_dataset
    from camlucida.evaluation.benchmarks import PREFIX, benchmark, open_benchmark
    from camlucida.models.load import load

    if split is not None and (is_training_folder(data) or data.startswith(PREFIX)):
        raise DataError(f"{data} says itself which pictures it takes: --split is for data sets.")
    if is_training_folder(data):
        return load(model, arch=arch, trust_code=trust_code, labels=labels), _validation_set(data, boxes, trust_code)
    if not data.startswith(PREFIX):
        dataset = open_dataset(data, boxes=boxes, count=count, seed=seed, split=split)  # before weights are fetched
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
        source: What the record says: data, model, arch, labels, boxes, count and split. It may come from somebody else.
        by: The file of the record.
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
    hint = "If you made it yourself, or trust whoever did: --trust-code; or --no-pictures."
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
    """Whether it is a folder that `camlucida train` wrote."""
    file = Path(data).expanduser() / "run.json"
    return file.is_file() and (file.parent / "model.json").is_file()


def _validation_set(run: str, boxes: str | Path | None, trust_code: bool) -> Dataset:
    from camlucida.training.run import validation_data

    if boxes is not None:
        raise DataError(f"{run} knows its own data: give --boxes when training.")
    return validation_data(run, trust_code=trust_code)
