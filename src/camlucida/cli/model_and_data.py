"""Opening of the model and the data set that the user names; a benchmark may provide or modify the model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from cyclopts import Parameter
from rich.markup import escape

from camlucida.cli.option_values import preprocessing_options, read_prompts
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
        return model.load(), validation_set(data, boxes, model.trust_code)
    if not data.startswith(PREFIX):
        dataset = open_dataset(data, boxes=boxes, count=count, seed=seed, split=split)  # before weights are downloaded
        return model.load(), dataset
    if boxes is not None:
        raise DataError(f"--boxes does not apply to {data}, which has exact annotations; it is for folders of images.")
    loaded = model.load() if benchmark(data).needs_model else None
    return open_benchmark(data, loaded, count=N_TOYBOX_SCENES if count is None else count, seed=seed)


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


def validation_set(run: str, boxes: str | Path | None, trust_code: bool) -> Dataset:
    from camlucida.training.training_data import validation_data

    if boxes is not None:
        raise DataError(f"--boxes does not apply to the training run {run}, which records its data: give it to train.")
    return validation_data(run, trust_code=trust_code)
