"""A pass of a model over the images of a data set: what all commands over a data set share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from camlucida.attribution.output_reader import output_activation
from camlucida.attribution.reproduction import versions
from camlucida.class_lookup import class_index
from camlucida.data.datasets import Dataset, Item, dataset_hash
from camlucida.errors import TargetError
from camlucida.models.model import Model
from camlucida.targets import class_label
from camlucida.tasks import OutputActivation


@dataclass(frozen=True, eq=False)
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
        return DatasetPass(model, data, indices, outputs_of(data.classes, model))

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
        """How the class scores become probabilities."""
        return output_activation(self.model)

    def output_of(self, label: int | None) -> int | None:
        """Return the index of the model's output for a class of the data set, or None."""
        return None if label is None else self.outputs[label]

    def parts(self, n_images: int) -> dict[int, Sequence[int]]:
        """Return the indices of each part of `n_images` images, by number."""
        starts = range(0, len(self.indices), n_images)
        return {number: self.indices[start : start + n_images] for number, start in enumerate(starts)}

    def label_name(self, label: int | None) -> str | None:
        """Return a label as the model names it, or as the data set does where the model has no such class."""
        if label is None:
            return None
        output = self.output_of(label)
        return class_label(label, self.data.classes) if output is None else class_label(output, self.model.labels)

    def correct_outputs(self, item: Item) -> frozenset[int]:
        """Return the outputs that are correct for an image: those of its label and of every class in `also_correct`."""
        outputs = (self.output_of(label) for label in (item.label, *item.also_correct))
        return frozenset(output for output in outputs if output is not None)


def outputs_of(classes: Sequence[str], model: Model) -> tuple[int | None, ...]:
    """Return the model's output for each class of a data set; None for classes that the model does not have.

    Classes are matched by name, or by a part of it as for `--target`; a name that is a number is the index of an
    output.
    """
    if classes == model.labels:
        return tuple(range(len(classes)))
    return tuple(_output_of(name, model) for name in classes)


def _output_of(name: str, model: Model) -> int | None:
    if name.strip().isdigit():
        return int(name)
    try:
        return class_index(name, model.labels)
    except TargetError:
        return None
