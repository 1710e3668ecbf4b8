"""Opening of the model and the data set that the record of a run names, from any folder and of any author."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camlucida.cli.model_and_data import ModelOptions, is_training_folder, validation_set
from camlucida.cli.option_values import preprocessing_options, read_prompts
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.data.datasets import Dataset
    from camlucida.models.model import Model


def recorded_source(data: str, model: ModelOptions, boxes: Path | None, dataset: Dataset) -> dict[str, Any]:
    """Return the specification from which the model and the data can be opened again, from any folder.

    Args:
        data: The data set as given by the user.
        model: The model as given by the user.
        boxes: The file of bounding boxes, if given.
        dataset: The opened data set.

    Returns:
        A JSON-serialisable mapping with absolute paths.
    """
    from camlucida.data.open import absolute_spec

    def absolute(path: str | Path | None) -> str | None:
        if path is None:
            return None
        file = Path(path).expanduser()
        return str(file.absolute()) if file.exists() else str(path)

    given = {"task": model.task, "probabilities": model.probabilities, "mean": model.mean, "std": model.std}
    given |= {"prompts": _lines(read_prompts(model.prompts)), "template": model.template}
    return {
        "data": absolute_spec(data),
        "count": len(dataset),
        "boxes": absolute(boxes),
        "model": absolute(model.model),
        "arch": model.arch,
        "labels": absolute(model.labels),
        **{name: value for name, value in given.items() if value is not None},
        "size": model.size,
        "fit": model.fit,
    }


def _lines(prompts: list[str] | None) -> str | None:
    return None if prompts is None else "".join(f"{prompt}\n" for prompt in prompts)


def reopen_model_and_data(
    source: Mapping[str, Any], *, record_path: str, seed: int, trust_code: bool
) -> tuple[Model, Dataset]:
    """Return the model and the data set that the record of an evaluation names, so that its images can be drawn.

    Args:
        source: The record: data, model, arch, labels, task, size, fit, mean, std, boxes, count and split. It may come
            from an untrusted author.
        record_path: The file of the record, for error messages.
        seed: The seed of the evaluation.
        trust_code: Whether the record may name any code, path or address.

    Raises:
        DataError: If the record is damaged, or names a data set on another machine.
        ModelError: If it names a model that a record may not name.
    """
    from camlucida.data.open import N_TOYBOX_SCENES
    from camlucida.evaluation.benchmarks import PREFIX, benchmark, open_benchmark
    from camlucida.models.load_recorded import load_recorded
    from camlucida.tasks import check_task

    fields, hint = _recorded_fields(source, record_path, trust_code)
    count = source.get("count")

    def model() -> Model:
        loaded = load_recorded(
            fields["model"],
            fields["arch"],
            labels=fields["labels"],
            by=record_path,
            instead=hint,
            trust_code=trust_code,
            prompts=None if fields["prompts"] is None else fields["prompts"].splitlines(),
            template=fields["template"],
            **preprocessing_options(fields["size"], fields["fit"], fields["mean"], fields["std"]),
        )
        if fields["prompts"] is not None:  # which decide both
            return loaded
        return dataclasses.replace(loaded, task=check_task(fields["task"]), probabilities=source.get("probabilities"))

    data = str(fields["data"])
    if data.startswith(PREFIX):
        loaded = model() if benchmark(data).needs_model else None
        return open_benchmark(data, loaded, count=N_TOYBOX_SCENES if count is None else count, seed=seed)
    return model(), _recorded_dataset(fields, count, seed, trust_code)


def reopen_data(source: Mapping[str, Any], *, record_path: str, seed: int, trust_code: bool) -> Dataset:
    """Return the data set that a record names, without its model unless the data set is made for it.

    Args:
        source: The record, as for `reopen_model_and_data`.
        record_path: The file of the record, for error messages.
        seed: The seed of the run.
        trust_code: Whether the record may name any code, path or address.

    Raises:
        DataError: If the record is damaged, or names a data set on another machine.
        ModelError: If the data set needs a model that a record may not name.
    """
    from camlucida.evaluation.benchmarks import PREFIX

    fields, _ = _recorded_fields(source, record_path, trust_code)
    if str(fields["data"]).startswith(PREFIX):
        return reopen_model_and_data(source, record_path=record_path, seed=seed, trust_code=trust_code)[1]
    return _recorded_dataset(fields, source.get("count"), seed, trust_code)


def _recorded_fields(source: Mapping[str, Any], record_path: str, trust_code: bool) -> tuple[dict[str, Any], str]:
    """Return the texts of a record after checking what they name, and the hint of the error messages."""
    from camlucida.data.open import check_recorded_spec

    fields = {
        key: source.get(key)
        for key in (
            "data",
            "model",
            "arch",
            "labels",
            "boxes",
            "split",
            "task",
            "size",
            "fit",
            "mean",
            "std",
            "prompts",
            "template",
        )
    }
    all_text = all(isinstance(value, str | None) for value in fields.values())
    readable = (
        all_text
        and isinstance(source.get("count"), int | None)
        and isinstance(source.get("probabilities"), bool | None)
    )
    if not readable or fields["data"] is None:
        raise DataError(f"{record_path} does not record its model and data in a readable form: the file is damaged.")
    hint = "If you trust its author, add --trust-code; otherwise --no-images writes a report without images."
    if not trust_code:
        for spec in (str(fields["data"]), fields["boxes"], fields["labels"]):
            check_recorded_spec(spec, by=record_path, instead=hint)
    return fields, hint


def _recorded_dataset(fields: Mapping[str, Any], count: int | None, seed: int, trust_code: bool) -> Dataset:
    """Open the data set that a checked record names."""
    from camlucida.data.open import open_dataset

    data, boxes = str(fields["data"]), fields["boxes"]
    if is_training_folder(data):
        return validation_set(data, boxes, trust_code)
    return open_dataset(data, boxes=boxes, count=count, seed=seed, split=fields["split"])


def reopen_trusted(source: Mapping[str, Any], record_path: str, seed: int) -> tuple[Model, Dataset]:
    """Return the model and the data set of a command that runs: its workers open what its user named.

    Args:
        source: As `recorded_source` returned it in this command.
        record_path: The folder of the run, for error messages.
        seed: The seed of the command.
    """
    return reopen_model_and_data(source, record_path=record_path, seed=seed, trust_code=True)
