"""Opening of the model and the data set that the user names; a benchmark may provide or modify the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from cyclopts import Parameter
from rich.markup import escape

from camlucida.cli.options import (
    MODEL,
    Arch,
    Device,
    Fit,
    Labels,
    Mean,
    Probabilities,
    Prompts,
    Size,
    Std,
    TaskOption,
    Template,
    TrustCode,
    preprocessing_options,
    read_prompts,
)
from camlucida.errors import DataError, ModelError

if TYPE_CHECKING:
    from camlucida.cli.terminal import Terminal
    from camlucida.data.datasets import Dataset
    from camlucida.models.model import Model


MODEL_HELP = (
    "The model: a name (resnet50, timm:…, hf:…, openclip:…, keras:…, toybox), a checkpoint, a Keras, ONNX, TorchScript "
    "or torch.export file, the folder of a training run, the address of a server, or python:module:function; see "
    "`camlucida models`."
)

DEFAULT_MODEL = "resnet50"
"""The model of the commands over images, if none is given."""


def _default_model(_: object) -> str:
    return DEFAULT_MODEL  # not a lambda: cyclopts evaluates annotations outside of this module


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model of a command over a data set. Training runs and toybox come with a model, other data do not."""

    model: Annotated[
        str | None,
        Parameter(
            help=f"{MODEL_HELP} Required, except for data that come with a model: a training run, toybox and exact:…."
        ),
    ] = None
    arch: Arch = None
    labels: Labels = None
    trust_code: TrustCode = False
    task: TaskOption = None
    probabilities: Probabilities = None
    device: Device = "auto"
    size: Size = None
    fit: Fit = None
    mean: Mean = None
    std: Std = None
    prompts: Prompts = None
    template: Template = None

    @property
    def status(self) -> str:
        """The status line, as rich markup, that is displayed while the model is loaded."""
        return f"Loading {escape(self.model or 'the data')} …"

    def for_data(self, data: str) -> Self:
        """Return the options with the model that comes with the data, if no model is given and there is one."""
        return dataclasses.replace(self, model=self.model or model_of_data(data))

    def load(self) -> Model:
        """Load the model.

        Raises:
            ModelError: If no model is given, or it cannot be loaded.
        """
        from camlucida.models.load import load

        if self.model is None:
            raise ModelError(
                "--model is missing: name the model that predicts on these images, such as --model resnet50, a "
                "checkpoint, or the folder of a training run; see `camlucida models`. Only training runs and toybox "
                "come with a model."
            )
        return load(
            self.model,
            arch=self.arch,
            trust_code=self.trust_code,
            labels=self.labels,
            task=self.task,
            probabilities=self.probabilities,
            device=self.device,
            prompts=read_prompts(self.prompts),
            template=self.template,
            **preprocessing_options(self.size, self.fit, self.mean, self.std),
        )


@dataclass(frozen=True, kw_only=True)
class PretrainedModelOptions(ModelOptions):
    """The model of a command over images, ResNet-50 by default."""

    model: Annotated[str | None, Parameter(help=MODEL_HELP, show_default=_default_model)] = None

    def or_default(self, console: Terminal) -> Self:
        """Return the options with the default model, which is printed, if no model is given."""
        if self.model is not None:
            return self
        console.print_line(f"model: {DEFAULT_MODEL} (default)")
        return dataclasses.replace(self, model=DEFAULT_MODEL)


def open_model_and_data(
    data: str,
    model: ModelOptions,
    *,
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

    if split is not None and (is_training_folder(data) or data.startswith(PREFIX)):
        raise DataError(f"--split does not apply to {data}, which determines its images; it is for data sets.")
    if is_training_folder(data):
        return model.load(), _validation_set(data, boxes, model.trust_code)
    if not data.startswith(PREFIX):
        dataset = open_dataset(data, boxes=boxes, count=count, seed=seed, split=split)  # before weights are downloaded
        return model.load(), dataset
    if boxes is not None:
        raise DataError(f"--boxes does not apply to {data}, which has exact annotations; it is for folders of images.")
    loaded = model.load() if benchmark(data).needs_model else None
    return open_benchmark(data, loaded, count=N_TOYBOX_SCENES if count is None else count, seed=seed)


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
        return _validation_set(data, boxes, trust_code)
    return open_dataset(data, boxes=boxes, count=count, seed=seed, split=fields["split"])


def reopen_trusted(source: Mapping[str, Any], record_path: str, seed: int) -> tuple[Model, Dataset]:
    """Return the model and the data set of a command that runs: its workers open what its user named.

    Args:
        source: As `recorded_source` returned it in this command.
        record_path: The folder of the run, for error messages.
        seed: The seed of the command.
    """
    return reopen_model_and_data(source, record_path=record_path, seed=seed, trust_code=True)


def model_of_data(data: str) -> str | None:
    """Return the model that comes with a data set: of a training run its own, of toybox and exact:… toybox."""
    from camlucida.data.open import is_toybox
    from camlucida.evaluation.benchmarks import PREFIX

    if is_training_folder(data):
        return data
    return "toybox" if is_toybox(data) or data.startswith(PREFIX) else None


def is_training_folder(data: str) -> bool:
    """Return whether `data` is a folder that `camlucida train` wrote."""
    file = Path(data).expanduser() / "run.json"
    return file.is_file() and (file.parent / "model.json").is_file()


def _validation_set(run: str, boxes: str | Path | None, trust_code: bool) -> Dataset:
    from camlucida.training.training_data import validation_data

    if boxes is not None:
        raise DataError(f"--boxes does not apply to the training run {run}, which records its data: give it to train.")
    return validation_data(run, trust_code=trust_code)
