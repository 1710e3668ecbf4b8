"""The plan of an audit: everything that determines its rows, and its record in plan.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from camlucida.attribution.request import AttributionRequest, MethodRequest
from camlucida.engine import LayerSpec
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.run_parts import BATCH_SIZE

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
class AuditPlan(DatasetPass):
    """Everything that determines the rows of an audit.

    Attributes:
        methods: The methods, each with all its options.
        layer: The layer of the methods that need one; None for the default layer.
        batch_size: Images that the network runs at once. Part of the plan, since sums depend on it in the last digits.
        chunk_images: Images per chunk.
        seed: Seed of all random numbers.
    """

    methods: tuple[MethodRequest, ...]
    layer: LayerSpec = None
    batch_size: int = BATCH_SIZE
    chunk_images: int = CHUNK_IMAGES
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """Return the plan as stored in plan.json. Equal records give equal rows."""
        return {
            "audit": 1,
            **super().record(),
            "methods": [{"name": method.name, "options": dict(options)} for method, options in self.methods],
            "arrays": list(self.array_names),
            "layer": self.layer,
            "classes": list(EXPLAINED_CLASSES),
            "batch_size": self.batch_size,
            "chunk_images": self.chunk_images,
            "seed": self.seed,
        }

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.indices) // self.chunk_images)

    def chunk(self, number: int) -> Sequence[int]:
        """Return the indices of the images of a chunk."""
        return self.indices[number * self.chunk_images : (number + 1) * self.chunk_images]

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

    def request(self, targets: Sequence[Any]) -> AttributionRequest:
        """Return the request for the maps of one batch."""
        return AttributionRequest(
            targets=targets, layers=[self.layer], methods=self.methods, channel_relevance=self.needs_layer
        )
