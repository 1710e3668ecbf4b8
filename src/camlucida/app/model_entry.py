"""A model on the page, and what was found out about it: its layers, its classes, what it says of samples."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch

from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.attribution.outputs import to_network
from camlucida.data.datasets import Dataset
from camlucida.data.images import load_image
from camlucida.engine import Layer, candidates, copy_of
from camlucida.errors import CamlucidaError, ModelError
from camlucida.evaluation.evaluate import outputs_of
from camlucida.models.model import Model


@dataclass(frozen=True)
class SamplePrediction:
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
    data: Dataset
    said: dict[int, SamplePrediction] = field(default_factory=dict)
    _once: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def layers(self) -> list[Layer]:
        """Those worth explaining, from edges to objects; the last is the default. Raises as `example` does."""
        with self._once:  # many may ask at once, and first
            return self._found[1]

    @property
    def example(self) -> torch.Tensor:
        """A picture (1, c, h, w) as the network wants it: the first that can be read and that it runs on, else noise.

        Raises `ModelError` where it runs on none of those that are tried.
        """
        with self._once:
            return self._found[0]

    @cached_property
    def outputs(self) -> tuple[int | None, ...]:
        """The model's output for every class of the data set."""
        return outputs_of(self.data.classes, self.model)

    @cached_property
    def _found(self) -> tuple[torch.Tensor, list[Layer]]:
        fault: Exception | None = None
        for image in self._pictures():
            example = torch.as_tensor(to_network(self.model.network, image[None]))
            try:
                return example, candidates(copy_of(self.model.network), example)
            except Exception as error:
                if not raised_by_network(error):
                    raise
                fault = fault or error  # it may mind only this picture
        assert fault is not None
        raise ModelError(f"{self.name}: {describe_network_error(fault, self.model)}") from fault

    def _pictures(self) -> Iterator[torch.Tensor]:
        for index in range(min(len(self.data), 8)):
            try:
                yield self.model.preprocessing(load_image(self.data[index].image))[0]
            except CamlucidaError:
                continue
        how = self.model.preprocessing
        yield torch.randn((len(how.mean), *how.size), generator=torch.Generator().manual_seed(0))
