"""A model of the app with its layers, its classes, and its predictions on samples."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch

from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.attribution.outputs import ScoreSelector, to_network
from camlucida.data.datasets import Dataset
from camlucida.data.images import load_image
from camlucida.engine import Layer, candidates, copy_of
from camlucida.errors import CamlucidaError, ModelError
from camlucida.evaluation.evaluate import outputs_of
from camlucida.models.model import Model


@dataclass(frozen=True)
class SamplePrediction:
    """The prediction of a model on a sample.

    Attributes:
        name: The predicted class.
        confidence: Its probability, in [0, 1].
        correct: Whether it is the label; None if there is no label.
        error: Why there is no prediction; the other fields are then unset.
    """

    name: str = ""
    confidence: float = 0.0
    correct: bool | None = None
    error: str = ""


@dataclass(eq=False)
class Served:
    """A model of the app; its layers are found once, on an example image.

    Attributes:
        model: The model.
        data: The data set of the app.
        said: Predictions by sample index, so that each sample is evaluated only once.
    """

    model: Model
    data: Dataset
    said: dict[int, SamplePrediction] = field(default_factory=dict)
    _once: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        """The name of the model in the app."""
        return self.model.name

    @property
    def layers(self) -> list[Layer]:
        """The recommended layers, from edges to objects; the last is the default. Raises the errors of `example`."""
        with self._once:  # several threads may request it first
            return self._found[1]

    @property
    def example(self) -> torch.Tensor:
        """A network input `(1, c, h, w)`: the first readable image on which the network runs, else noise.

        Raises:
            ModelError: If the network runs on none of the candidates.
        """
        with self._once:
            return self._found[0]

    @cached_property
    def outputs(self) -> tuple[int | None, ...]:
        """The output of the model for each class of the data set, or None."""
        return outputs_of(self.data.classes, self.model)

    @cached_property
    def _found(self) -> tuple[torch.Tensor, list[Layer]]:
        fault: Exception | None = None
        for image in self._pictures():
            example = torch.as_tensor(to_network(self.model.network, image[None]))
            try:
                return example, candidates(copy_of(self.model.network), example, ScoreSelector(self.model.output))
            except Exception as error:
                if not raised_by_network(error):
                    raise
                fault = fault or error  # the error may be specific to this image
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
