"""The plan of an audit: everything that determines its rows, and its record in plan.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from camlucida.attribution.explain_request import versions
from camlucida.attribution.output_reader import output_activation
from camlucida.attribution.request import AttributionRequest, MethodRequest
from camlucida.data.datasets import Dataset, dataset_hash
from camlucida.engine import LayerSpec
from camlucida.models.model import Model
from camlucida.tasks import OutputActivation

ExplainedClass: TypeAlias = Literal["predicted", "competing", "true"]
"""A class of each image: the predicted one, the one with the next highest score, or the labelled one."""
EXPLAINED_CLASSES: tuple[ExplainedClass, ...] = ("predicted", "competing", "true")

CHANNELS = "channels"
"""Name of the array of channel relevances."""
FEATURES = "features"
"""Name of the array of mean activations."""

CHUNK_IMAGES = 256
"""Images per chunk, which is the unit of work and the most that an interruption loses."""


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """Everything that determines the rows of an audit.

    Attributes:
        model: The model.
        data: The data set.
        indices: Indices of the images in the data set.
        outputs: For each class of the data set, the index of the model's output; None where the model has no such
            class.
        methods: The methods, each with all its options.
        layer: The layer of the methods that need one; None for the default layer.
        batch_size: Images that the network runs at once. Part of the plan, since sums depend on it in the last digits.
        chunk_images: Images per chunk.
        seed: Seed of all random numbers.
    """

    model: Model
    data: Dataset
    indices: Sequence[int]
    outputs: tuple[int | None, ...]
    methods: tuple[MethodRequest, ...]
    layer: LayerSpec = None
    batch_size: int = 16
    chunk_images: int = CHUNK_IMAGES
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """Return the plan as stored in plan.json. Equal records give equal rows."""
        return {
            "audit": 1,
            "model": self.model.name,
            "weights": self.model.weights_hash,
            "preprocessing": self.model.preprocessing.record(),
            "labels": list(self.model.labels),
            "data": self.data.name,
            "n_images": len(self.indices),
            "data_hash": dataset_hash(self.data, self.indices),
            "methods": [{"name": method.name, "options": dict(options)} for method, options in self.methods],
            "arrays": list(self.array_names),
            "layer": self.layer,
            "classes": list(EXPLAINED_CLASSES),
            "batch_size": self.batch_size,
            "chunk_images": self.chunk_images,
            "seed": self.seed,
            "versions": versions(),
        }

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.indices) // self.chunk_images)

    def chunk(self, number: int) -> Sequence[int]:
        """Return the indices of the images of a chunk."""
        return self.indices[number * self.chunk_images : (number + 1) * self.chunk_images]

    @cached_property
    def activation(self) -> OutputActivation:
        """How the class scores become probabilities."""
        return output_activation(self.model)

    @property
    def method_names(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(method.name for method, _ in self.methods)

    @property
    def array_names(self) -> tuple[str, ...]:
        """Names of the arrays of a chunk: one of maps per method, and those of the layer's channels."""
        return (*self.method_names, CHANNELS, FEATURES) if self.needs_layer else self.method_names

    @property
    def needs_layer(self) -> bool:
        """Whether a method maps a layer, and not the network input only."""
        return any(method.needs_layer for method, _ in self.methods)

    def output_of(self, label: int | None) -> int | None:
        """Return the index of the model's output for a class of the data set, or None."""
        return None if label is None else self.outputs[label]

    def request(self, targets: Sequence[Any]) -> AttributionRequest:
        """Return the request for the maps of one batch."""
        return AttributionRequest(
            targets=targets, layers=[self.layer], methods=self.methods, channel_relevance=self.needs_layer
        )
