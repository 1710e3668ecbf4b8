"""One pass of a model over a data set, part by part: interrupted, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from camlucida.attribution.error_context import describe_network_error, error_context, raised_by_network
from camlucida.attribution.explain import versions
from camlucida.attribution.outputs import to_network
from camlucida.data.datasets import Dataset, Item, dataset_hash
from camlucida.data.images import load_image
from camlucida.errors import CamlucidaError
from camlucida.evaluation.evaluate import outputs_of
from camlucida.evaluation.model_input import ModelInput
from camlucida.evaluation.store import Row, Store
from camlucida.models.model import Model
from camlucida.targets import class_label
from camlucida.types import Geometry, ProgressCallback

BATCH_SIZE = 16
"""Pictures in one part, which is also one batch: what an interruption loses at most."""

T = TypeVar("T")

BASE_COLUMNS = {
    "index": "int64",
    "picture": "string",
    "split": "string",
    "label": "string",
    "truth": "int64",
    "predicted": "int64",
    "said": "string",
    "correct": "bool",
    "confidence": "float64",
    "error": "string",
}
"""What every row says of a picture. `truth` and `predicted` are outputs of the model, `label` and `said` their names;
`truth` is missing where the model has no such class; `error` says why the rest is."""


@dataclass(frozen=True)
class DatasetPass:
    """A model and the pictures of a data set that it goes over."""

    model: Model
    data: Dataset
    indices: Sequence[int]
    outputs: tuple[int | None, ...]

    @classmethod
    def of(cls, model: Model, data: Dataset, indices: Sequence[int]) -> DatasetPass:
        return cls(model, data, indices, outputs_of(data.classes, model))

    def record(self) -> dict[str, Any]:
        """What decides the rows, for the store."""
        return {
            "model": self.model.name,
            "weights": self.model.weights_hash,
            "data": self.data.name,
            "pictures": len(self.indices),
            "data_hash": dataset_hash(self.data, self.indices),
            "labels": list(self.model.labels),
            "versions": versions(),
        }

    def output_of(self, label: int | None) -> int | None:
        """The model's output for a class of the data set."""
        return None if label is None else self.outputs[label]


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A picture that could be read, ready for the network: inputs (c, H, W)."""

    index: int
    item: Item
    inputs: Tensor
    geometry: Geometry

    def sight(self, dataset_pass: DatasetPass, logits: Tensor, target: int) -> ModelInput:
        """As metrics want it."""
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
    """Write a row for every picture, part by part, leaving out the parts that are there.

    ask       the network about a batch (b, c, H, W): one answer a picture
    describe  the row of a picture by its answer
    A picture that cannot be read, or makes the network fail, is a row with its reason.
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
    """A row for every picture of one part, in one batch; `ask` and `describe` as of `go`."""
    rows: dict[int, Row] = {}
    images: list[LoadedImage] = []
    for index in part:
        item = dataset_pass.data[index]
        rows[index] = {
            "index": index,
            "picture": item.name,
            "split": item.split,
            "label": _label_name(dataset_pass, item),
        }
        try:
            with error_context(dataset_pass.model, item.image):
                images.append(LoadedImage(index, item, *dataset_pass.model.preprocessing(load_image(item.image))))
        except CamlucidaError as error:
            rows[index]["error"] = str(error)
    for image, output in zip(images, _predict_or_error(dataset_pass.model, images, predict), strict=True):
        rows[image.index] |= {"error": output} if isinstance(output, str) else make_row(image, output)
    return list(rows.values())


def _predict_or_error(
    model: Model, images: Sequence[LoadedImage], predict: Callable[[Tensor], Sequence[T]]
) -> Sequence[T] | Sequence[T | str]:
    """Of a batch; where it fails, of one picture after the other, so that only what is to blame is lost."""
    if not images:
        return []
    try:
        return predict(torch.stack([image.inputs for image in images]))
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        if len(images) > 1:
            return [answer for one in images for answer in _predict_or_error(model, [one], predict)]
        return [str(error) if isinstance(error, CamlucidaError) else describe_network_error(error, model)]


def prediction_row(dataset_pass: DatasetPass, image: LoadedImage, logits: Tensor) -> Row:
    """What the network says (k,), beside the truth. A class that is right, too, counts as right."""
    probabilities = logits.double().softmax(0)
    predicted = int(logits.argmax())
    label = dataset_pass.output_of(image.item.label)
    correct_outputs = {label, *(dataset_pass.output_of(other) for other in image.item.also_correct)}
    return {
        "truth": label,
        "predicted": predicted,
        "said": class_label(predicted, dataset_pass.model.labels),
        "correct": None if label is None else predicted in correct_outputs,
        "confidence": float(probabilities[predicted]),
    }


def _label_name(dataset_pass: DatasetPass, item: Item) -> str | None:
    """The true class as the model calls it, or as the data set does where the model does not know it."""
    if item.label is None:
        return None
    output = dataset_pass.output_of(item.label)
    return (
        class_label(item.label, dataset_pass.data.classes)
        if output is None
        else class_label(output, dataset_pass.model.labels)
    )
