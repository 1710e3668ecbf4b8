"""Scores of edited images: the log-odds of a class, and whether it is predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from camlucida.attribution.load_input import LoadedInput, load_input
from camlucida.attribution.output_reader import output_activation, predict
from camlucida.data.datasets import Dataset, Item
from camlucida.models.model import Model
from camlucida.tasks import OutputActivation
from camlucida.types import Geometry

BATCH_SIZE = 32
MAX_KEPT = 256
"""Images whose network inputs are kept in memory."""


@dataclass(eq=False)
class Scorer:
    """Runs the model on images of the data set and on edits of them.

    Attributes:
        model: The model.
        data: The data set.
        n_forwards: Number of images that the network was run on.
    """

    model: Model
    data: Dataset
    n_forwards: int = 0
    activation: OutputActivation = field(init=False)
    _kept: dict[int, LoadedInput] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.activation = output_activation(self.model)

    def item(self, index: int) -> Item:
        """Return an item of the data set."""
        return self.data[index]

    def load(self, index: int) -> LoadedInput:
        """Return an image of the data set with its network input."""
        if index not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[index] = load_input(self.model.preprocessing, self.item(index).image)
        return self._kept[index]

    def inputs(self, indices: Sequence[int]) -> Tensor:
        """Return the network inputs `(n, c, H, W)` of images of the data set."""
        return torch.stack([self.load(index).inputs for index in indices])

    def scores(self, inputs: Tensor, indices: Sequence[int]) -> Tensor:
        """Return the class scores `(n, k)` of network inputs, on the CPU.

        Args:
            inputs: Images of the data set, or edits of them.
            indices: Index of each image in the data set. Its position on the network input decides which positions of a
                segmentation network belong to the image.
        """
        self.n_forwards += len(inputs)
        read: dict[int, Tensor] = {}
        for model, members in self.models_of(indices):
            for part in torch.split(torch.tensor(members), BATCH_SIZE):
                read |= zip(part.tolist(), predict(model, inputs[part])[0].double().cpu(), strict=True)
        return torch.stack([read[i] for i in range(len(inputs))])

    def models_of(self, indices: Sequence[int]) -> list[tuple[Model, list[int]]]:
        """Return the model of each group of images with the same geometry, see `Model.on_image`, and their numbers."""
        if getattr(self.model.image_targets, "on_image", None) is None:
            return [(self.model, list(range(len(indices))))]
        groups: dict[Geometry, list[int]] = {}
        for i, index in enumerate(indices):
            groups.setdefault(self.load(index).geometry, []).append(i)
        return [(self.model.on_image(geometry), members) for geometry, members in groups.items()]

    def visible_boxes(self, indices: Sequence[int]) -> list[tuple[int, int, int, int]]:
        """Return the part of each network input that shows the image: left, top, right, bottom in pixels.

        It is the whole input but for a letterbox, whose border has no effect of its own.
        """
        return [_visible_box(self.load(index).geometry) for index in indices]

    def log_odds(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the log-odds `(n,)` of one class per image: log p / (1 - p); the score itself for a regression.

        Log-odds do not saturate: a region that takes the probability from 0.9999 to 0.99 costs as much as one that
        takes it from 0.5 to 0.01.
        """
        own = scores.gather(1, targets[:, None])[:, 0]
        if not self.activation.has_probabilities:
            return own
        if self.activation.is_probability:
            return torch.logit(own, eps=1e-9)
        if not self.activation.is_exclusive or scores.shape[1] == 1:
            return own
        return own - scores.scatter(1, targets[:, None], -torch.inf).logsumexp(1)

    def is_predicted(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return whether one class per image is predicted `(n,)`: the highest one, or p >= 0.5 if several may be."""
        if self.activation.has_probabilities and not self.activation.is_exclusive:
            return self.activation.probabilities(scores).gather(1, targets[:, None])[:, 0] >= 0.5
        return scores.argmax(1) == targets


def _visible_box(geometry: Geometry) -> tuple[int, int, int, int]:
    (left, top, right, bottom), (sx, sy), (ox, oy) = geometry.visible_box, geometry.scale, geometry.offset
    edges = left * sx + ox, top * sy + oy, right * sx + ox, bottom * sy + oy
    width, height = geometry.input
    x0, y0 = (max(0, math.ceil(round(edge, 6))) for edge in edges[:2])
    x1, y1 = (min(end, math.floor(round(edge, 6))) for edge, end in zip(edges[2:], (width, height), strict=True))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else (0, 0, width, height)
