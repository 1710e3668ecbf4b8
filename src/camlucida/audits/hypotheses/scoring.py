"""Scores of edited images: the log-odds of a class, and whether it is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from camlucida.attribution.load_input import LoadedInput, load_input
from camlucida.attribution.output_reader import output_activation, predict
from camlucida.data.datasets import Dataset, Item
from camlucida.models.model import Model
from camlucida.tasks import OutputActivation

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

    def scores(self, inputs: Tensor) -> Tensor:
        """Return the class scores `(n, k)` of network inputs, on the CPU."""
        self.n_forwards += len(inputs)
        return torch.cat([predict(self.model, part)[0].double().cpu() for part in torch.split(inputs, BATCH_SIZE)])

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
