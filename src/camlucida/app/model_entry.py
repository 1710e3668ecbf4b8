"""A model of the app with its layers, its classes, and its predictions on samples."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from camlucida.attribution.bind_targets import bind_targets
from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.attribution.load_input import load_input
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_reader, predict
from camlucida.data.datasets import Dataset
from camlucida.engine import Layer, candidates, copy_of, resolve
from camlucida.errors import CamlucidaError, LayerError, ModelError, TargetError
from camlucida.evaluation.dataset_pass import DatasetPass, outputs_of
from camlucida.evaluation.prediction_rows import batch_rows, prediction_row
from camlucida.evaluation.read_images import LoadedImage, read_batches, stacked
from camlucida.evaluation.run_parts import BATCH_SIZE
from camlucida.models.model import Model

EXAMPLE_QUESTION = "What is this?"
"""The question with which the layers of a model that answers questions are found."""
EXAMPLE_TEXT = "text:a photo"
"""The text with which the layers of a model that compares images with texts are found."""


@dataclass(frozen=True)
class SamplePrediction:
    """The prediction of a model on a sample.

    Attributes:
        name: The predicted class.
        confidence: Its probability, in [0, 1]; None where the task has none (regression).
        correct: Whether it is the label; None if there is no label.
        error: Why there is no prediction; the other fields are then unset.
    """

    name: str = ""
    confidence: float | None = 0.0
    correct: bool | None = None
    error: str = ""


@dataclass(eq=False)
class Served:
    """A model of the app; its layers are found once, on an example image.

    Attributes:
        model: The model.
        data: The data set of the app.
        question: The question that is held by a model that answers questions; empty without one.
        predictions: Predictions by sample index, so that each sample is evaluated only once.
    """

    model: Model
    data: Dataset
    question: str = ""
    predictions: dict[int, SamplePrediction] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        """The name of the model in the app."""
        return self.model.name

    @property
    def layers(self) -> list[Layer]:
        """The recommended layers, from edges to objects; the last is the default. Raises the errors of `example`."""
        with self._lock:  # several threads may request it first
            return self._example_and_layers[1]

    @property
    def example(self) -> Any:
        """What the network takes for one image: the first readable image on which the network runs, else noise.

        Raises:
            ModelError: If the network runs on none of the candidates.
        """
        with self._lock:
            return self._example_and_layers[0]

    @property
    def probed(self) -> Model:
        """The model of which layers and methods are examined on `example`: its output is a list of class scores.

        Of a network without class scores of the whole image it is the model of one word, or of an example text. Raises
        the errors of `example`.
        """
        with self._lock:
            return self._example_and_layers[2]

    @cached_property
    def outputs(self) -> tuple[int | None, ...]:
        """The output of the model for each class of the data set, or None."""
        return outputs_of(self.data.classes, self.model)

    @cached_property
    def _example_and_layers(self) -> tuple[Any, list[Layer], Model]:
        first_error: Exception | None = None
        for image in self._candidate_inputs():
            try:
                model = _with_class_scores(self.model, image)
                example, copy = model_inputs(model, image[None]), copy_of(model.network)
                read = output_reader(model, copy, example)
                return example, _ending_with_default(model, candidates(copy, example, read), example), model
            except TargetError as error:  # nothing is written about this image
                first_error = first_error or error
            except Exception as error:
                if not raised_by_network(error):
                    raise
                first_error = first_error or error  # the error may be specific to this image
        assert first_error is not None
        raise ModelError(f"{self.name}: {describe_network_error(first_error, self.model)}") from first_error

    def _candidate_inputs(self) -> Iterator[torch.Tensor]:
        for index in range(min(len(self.data), 8)):
            try:
                yield load_input(self.model.preprocessing, self.data[index].image).inputs
            except CamlucidaError:
                continue
        how = self.model.preprocessing
        yield torch.randn((len(how.mean), *how.size), generator=torch.Generator().manual_seed(0), dtype=torch.float32)


def _with_class_scores(model: Model, inputs: Tensor) -> Model:
    """Return a model whose output is a list of class scores: of a model without them, that of one of its targets.

    Args:
        model: The model.
        inputs: Network input `(c, H, W)`.

    Raises:
        TargetError: The network writes nothing about this image.
    """
    kind = "" if model.image_targets is None else model.image_targets.kind
    if kind == "question":
        return _with_class_scores(model.with_question(EXAMPLE_QUESTION), inputs)
    if kind in ("caption", "image-text"):
        return bind_targets(model, inputs, [None if kind == "caption" else EXAMPLE_TEXT])[0].model
    return model


def _ending_with_default(model: Model, layers: list[Layer], example: Any) -> list[Layer]:
    """Return the layers up to the one that the model names as its default, which is appended if it is not there."""
    if model.layer is None or not layers:
        return layers
    copy = copy_of(model.network)
    try:
        found = resolve(copy, example, [model.layer], output_reader(model, copy, example))
    except LayerError:
        return layers  # reported by the request that needs it
    if len(found) != 1:
        return layers
    names = [layer.name for layer in layers]
    if found[0].name in names:
        return layers[: names.index(found[0].name) + 1]
    return [*layers, found[0]]


def predictions(served: Served, indices: Sequence[int]) -> Iterator[tuple[int, SamplePrediction]]:
    """Yield the index and prediction of each sample in order; missing predictions are computed in batches."""
    for start in range(0, len(indices), BATCH_SIZE):
        part = indices[start : start + BATCH_SIZE]
        if missing := [index for index in part if index not in served.predictions]:
            served.predictions.update(_predict(served, missing))
        yield from ((index, served.predictions[index]) for index in part)


def _predict(served: Served, indices: Sequence[int]) -> dict[int, SamplePrediction]:
    model = served.model
    run = DatasetPass(model, served.data, indices, served.outputs)

    def scores_of(images: Sequence[LoadedImage]) -> Sequence[Tensor]:
        return list(predict(images[0].model_of(run), stacked(images))[0].cpu())

    (batch,) = read_batches(run, [indices])
    rows = batch_rows(run, batch, scores_of, lambda image, logits: prediction_row(run, image, logits))
    return {row["index"]: _prediction(row) for row in rows}


def _prediction(row: dict[str, Any]) -> SamplePrediction:
    if error := row.get("error"):
        return SamplePrediction(error=error)
    confidence = row["confidence"]  # NaN where the task has no probabilities
    return SamplePrediction(row["predicted"], None if confidence != confidence else confidence, row["correct"])
