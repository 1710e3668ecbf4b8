"""A model on the page, and what was found out about it: its layers, its classes, what it says of samples."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property

import torch

from camlucida.data.datasets import DataSet
from camlucida.data.images import load_image
from camlucida.engine import Layer, candidates, twin_of
from camlucida.errors import CamlucidaError
from camlucida.evaluation.run import outputs_of
from camlucida.models.model import Model
from camlucida.outputs import placed


@dataclass(frozen=True)
class Said:
    """What a model said about a sample: the class with its probability, and whether that is right, if it is known.

    error   why it could not be asked; then the rest says nothing
    """

    name: str = ""
    confidence: float = 0.0
    correct: bool | None = None
    error: str = ""


@dataclass(eq=False)
class Served:
    """A model on the page: its layers are found once, on a picture.

    said   what it said about samples, by their number, so that none is asked about twice
    """

    model: Model
    data: DataSet
    said: dict[int, Said] = field(default_factory=dict)
    _once: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def layers(self) -> list[Layer]:
        """Those worth explaining, from edges to objects; the last is the default."""
        with self._once:  # many may ask at once, and first
            return self._layers

    @cached_property
    def _layers(self) -> list[Layer]:
        return candidates(twin_of(self.model.network), self.example)

    @property
    def example(self) -> torch.Tensor:
        """A picture (1, c, h, w) as the network wants it: the first that can be read, else noise."""
        with self._once:
            return self._example

    @cached_property
    def outputs(self) -> tuple[int | None, ...]:
        """The model's output for every class of the data set."""
        return outputs_of(self.data.classes, self.model)

    @cached_property
    def _example(self) -> torch.Tensor:
        return torch.as_tensor(placed(self.model.network, self._read()[None]))

    def _read(self) -> torch.Tensor:
        for index in range(min(len(self.data), 8)):
            try:
                return self.model.preprocessing(load_image(self.data[index].image))[0]
            except CamlucidaError:
                continue
        how = self.model.preprocessing
        return torch.randn((len(how.mean), *how.size), generator=torch.Generator().manual_seed(0))
