"""A resumable pass of a model over a data set, stored in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from camlucida.attribution.error_context import describe_network_error, error_context, raised_by_network
from camlucida.attribution.explain_request import versions
from camlucida.attribution.load_input import load_input
from camlucida.attribution.output_reader import output_activation
from camlucida.attribution.outputs import to_network
from camlucida.data.datasets import Dataset, Item, dataset_hash
from camlucida.errors import CamlucidaError
from camlucida.evaluation.evaluate import outputs_of
from camlucida.evaluation.model_input import ModelInput
from camlucida.evaluation.store import Row, Store
from camlucida.models.model import Model
from camlucida.targets import class_label
from camlucida.tasks import OutputActivation
from camlucida.types import Geometry, ProgressCallback

BATCH_SIZE = 16
"""Images per part. A part is one batch, and an interruption loses at most one part."""

T = TypeVar("T")

BASE_COLUMNS = {
    "index": "int64",
    "image": "string",
    "split": "string",
    "label": "string",
    "label_index": "int64",
    "predicted_index": "int64",
    "predicted": "string",
    "correct": "bool",
    "confidence": "float64",
    "error": "string",
}
"""Columns of every row. `label_index` and `predicted_index` are indices of the model's outputs, `label` and `predicted`
the names of the labelled and the predicted class. `label_index` is missing where the model has no such class; `error`
states why the other columns are missing.
"""


@dataclass(frozen=True)
class DatasetPass:
    """A model and the images of a data set on which it is run.

    Attributes:
        model: The model.
        data: The data set.
        indices: Indices of the images in the data set.
        outputs: For each class of the data set, the index of the model's output; None where the model has no such
            class.
    """

    model: Model
    data: Dataset
    indices: Sequence[int]
    outputs: tuple[int | None, ...]

    @classmethod
    def of(cls, model: Model, data: Dataset, indices: Sequence[int]) -> DatasetPass:
        """Match the classes of a data set with the outputs of a model."""
        return cls(model, data, indices, outputs_of(data.classes, model))

    def record(self) -> dict[str, Any]:
        """Return what determines the rows; the store compares it before it resumes a pass."""
        return {
            "model": self.model.name,
            "weights": self.model.weights_hash,
            "preprocessing": self.model.preprocessing.record(),
            "data": self.data.name,
            "n_images": len(self.indices),
            "data_hash": dataset_hash(self.data, self.indices),
            "labels": list(self.model.labels),
            "versions": versions(),
        }

    @cached_property
    def activation(self) -> OutputActivation:
        """Return how the class scores become probabilities."""
        return output_activation(self.model)

    def output_of(self, label: int | None) -> int | None:
        """Return the index of the model's output for a class of the data set, or None."""
        return None if label is None else self.outputs[label]


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A loaded image, preprocessed for the network.

    Attributes:
        index: Index in the data set.
        item: The item of the data set.
        inputs: Network input `(c, H, W)`.
        geometry: Mapping between the image and the network input.
    """

    index: int
    item: Item
    inputs: Tensor
    geometry: Geometry

    def model_input(self, dataset_pass: DatasetPass, logits: Tensor, target: int) -> ModelInput:
        """Return the model input that metrics expect.

        Args:
            dataset_pass: The pass that loaded the image.
            logits: Class scores `(k,)`.
            target: Index of the class that is explained.

        Returns:
            The model input of this one image.
        """
        batch = to_network(dataset_pass.model.network, self.inputs[None])
        return ModelInput(
            dataset_pass.model, self.item, batch, self.geometry, logits, target, dataset_pass.output_of(self.item.label)
        )


def run_pass(
    store: Store,
    dataset_pass: DatasetPass,
    predict: Callable[[Tensor], Sequence[T]],
    make_row: Callable[[LoadedImage, T], Row],
    progress: ProgressCallback | None = None,
) -> None:
    """Write one row per image, part by part, and skip the parts that are already stored.

    An image that cannot be read, or on which the network fails, has a row with the error message.

    Args:
        store: Where the rows are written.
        dataset_pass: The model and the images.
        predict: Returns one output per image of a batch `(b, c, H, W)`.
        make_row: Returns the columns of an image from its output.
        progress: Called with the number of images done and the total number.
    """
    for part_number, start in enumerate(range(0, len(dataset_pass.indices), BATCH_SIZE)):
        part = dataset_pass.indices[start : start + BATCH_SIZE]
        if not store.has(part_number):
            store.write(part_number, make_rows(dataset_pass, part, predict, make_row))
        if progress:
            progress(start + len(part), len(dataset_pass.indices))
    store.finish()


def make_rows(
    dataset_pass: DatasetPass,
    part: Sequence[int],
    predict: Callable[[Tensor], Sequence[T]],
    make_row: Callable[[LoadedImage, T], Row],
) -> list[Row]:
    """Return one row per image of one part, run as one batch.

    Args:
        dataset_pass: The model and the images.
        part: Indices of the images.
        predict: As in `run_pass`.
        make_row: As in `run_pass`.

    Returns:
        The rows, in the order of `part`.
    """
    rows: dict[int, Row] = {}
    images: list[LoadedImage] = []
    for index in part:
        item = dataset_pass.data[index]
        rows[index] = {
            "index": index,
            "image": item.name,
            "split": item.split,
            "label": _label_name(dataset_pass, item),
        }
        try:
            with error_context(dataset_pass.model, item.image):
                loaded = load_input(dataset_pass.model.preprocessing, item.image)
                images.append(LoadedImage(index, item, loaded.inputs, loaded.geometry))
        except CamlucidaError as error:
            rows[index]["error"] = str(error)
    for image, output in zip(images, _predict_or_error(dataset_pass.model, images, predict), strict=True):
        rows[image.index] |= {"error": output} if isinstance(output, str) else make_row(image, output)
    return list(rows.values())


def _predict_or_error(
    model: Model, images: Sequence[LoadedImage], predict: Callable[[Tensor], Sequence[T]]
) -> Sequence[T] | Sequence[T | str]:
    """Return the outputs of a batch, with an error message in place of each output that failed.

    If the batch fails, its images are run one at a time, so that only those that cause the failure are lost.
    """
    if not images:
        return []
    try:
        return predict(torch.stack([image.inputs for image in images]))
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        if len(images) > 1:
            return [output for image in images for output in _predict_or_error(model, [image], predict)]
        return [str(error) if isinstance(error, CamlucidaError) else describe_network_error(error, model)]


def prediction_row(dataset_pass: DatasetPass, image: LoadedImage, logits: Tensor) -> Row:
    """Return the columns of the prediction.

    Args:
        dataset_pass: The model and the images.
        image: The image.
        logits: Class scores `(k,)`.

    Returns:
        Label, predicted class, whether it is correct, and the confidence (NaN without probabilities). Every class in
        `also_correct` counts as correct.
    """
    probabilities = dataset_pass.activation.probabilities(logits.double())
    predicted = int(logits.argmax())
    label = dataset_pass.output_of(image.item.label)
    correct_outputs = {label, *(dataset_pass.output_of(other) for other in image.item.also_correct)}
    return {
        "label_index": label,
        "predicted_index": predicted,
        "predicted": class_label(predicted, dataset_pass.model.labels),
        "correct": None if label is None else predicted in correct_outputs,
        "confidence": float(probabilities[predicted]),
    }


def _label_name(dataset_pass: DatasetPass, item: Item) -> str | None:
    """Return the label as the model names it, or as the data set does where the model has no such class."""
    if item.label is None:
        return None
    output = dataset_pass.output_of(item.label)
    return (
        class_label(item.label, dataset_pass.data.classes)
        if output is None
        else class_label(output, dataset_pass.model.labels)
    )
