"""The plan of an audit: everything that determines its rows, and its record in plan.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from camlucida.attribution.request import AttributionRequest, MethodRequest
from camlucida.engine import LayerSpec
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.metric_inputs import MethodExplainer
from camlucida.evaluation.plan import describe_explainer
from camlucida.evaluation.run_parts import BATCH_SIZE
from camlucida.methods import find

ExplainedClass: TypeAlias = Literal["predicted", "competing", "true"]
"""A class of each image: the predicted one, the one with the next highest score, or the labelled one."""
EXPLAINED_CLASSES: tuple[ExplainedClass, ...] = ("predicted", "competing", "true")

AuditTarget: TypeAlias = Literal["all"]
"""What the rows are: all targets of an image."""

CHANNELS = "channels"
"""Name of the array of channel relevances."""
FEATURES = "features"
"""Name of the array of mean activations."""

CHUNK_IMAGES = 256
"""Images per chunk, which is the unit of work and the most that an interruption loses."""


@dataclass(frozen=True, eq=False)
class LayerRun:
    """The maps of an audit that come from one run of the network.

    Attributes:
        methods: The methods; one that maps a layer comes first.
        layers: The layers.
        cells: For each map, the position of its method in the plan, in `methods` and in `layers`.
        channels: Whether the run also gives the relevance and mean activation of the channels of its first layer.
    """

    methods: tuple[MethodRequest, ...]
    layers: tuple[LayerSpec, ...]
    cells: tuple[tuple[int, int, int], ...]
    channels: bool = False

    def request(self, targets: Sequence[Any]) -> AttributionRequest:
        """Return the request for the maps of one batch."""
        return AttributionRequest(
            targets=targets, layers=self.layers, methods=self.methods, channel_relevance=self.channels
        )


@dataclass(frozen=True, eq=False)
class AuditPlan(DatasetPass):
    """Everything that determines the rows of an audit.

    Attributes:
        explainers: The methods with all their options, each at one layer; None for the default layer.
        batch_size: Images that the network runs at once. Part of the plan, since sums depend on it in the last digits.
        chunk_images: Images per chunk.
        seed: Seed of all random numbers.
        target: "all" for one row for each target of an image, such as the boxes of a detector; None for one row for
            each image, whose classes are explained.
    """

    explainers: tuple[MethodExplainer, ...]
    batch_size: int = BATCH_SIZE
    chunk_images: int = CHUNK_IMAGES
    seed: int = 0
    target: AuditTarget | None = None

    def record(self) -> dict[str, Any]:
        """Return the plan as stored in plan.json. Equal records give equal rows."""
        return {
            "audit": 1,
            **super().record(),
            "methods": [describe_explainer(explainer) for explainer in self.explainers],
            "arrays": list(self.array_names),
            "layer": self.layer,
            "classes": list(EXPLAINED_CLASSES),
            "batch_size": self.batch_size,
            "chunk_images": self.chunk_images,
            "seed": self.seed,
            "target": self.target,
        } | self._target_record()

    def _target_record(self) -> dict[str, Any]:
        """Return what determines the rows beside the rest if they are targets; empty for those of whole images."""
        if self.target is None:
            return {}
        targets = self.model.image_targets
        settings = {name: getattr(targets, name) for name in getattr(targets, "__dataclass_fields__", {})}
        plain = {name: value for name, value in settings.items() if isinstance(value, int | float | str | tuple)}
        return {"targets": plain}

    def has_relu(self, name: str) -> bool:
        """Return whether a method, one of `method_names`, clips its maps at zero."""
        return self.explainers[self.method_names.index(name)].relu

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.indices) // self.chunk_images)

    def chunk(self, number: int) -> Sequence[int]:
        """Return the indices of the images of a chunk."""
        return self.indices[number * self.chunk_images : (number + 1) * self.chunk_images]

    @property
    def method_names(self) -> tuple[str, ...]:
        """Names of the methods, with the layer where several are explained: "grad_cam @ layer3"."""
        return tuple(explainer.name for explainer in self.explainers)

    @property
    def array_names(self) -> tuple[str, ...]:
        """Names of the arrays of a chunk: one of maps per method, and those of the layer's channels."""
        return (*self.method_names, CHANNELS, FEATURES) if self.needs_layer else self.method_names

    @property
    def needs_layer(self) -> bool:
        """Whether a method maps a layer, and not the network input only."""
        return any(explainer.request[0].needs_layer for explainer in self.explainers)

    @property
    def layer(self) -> LayerSpec:
        """The layer of the channels: the first one that a method names; None for the default layer."""
        layers = (run.layers[0] for run in self.runs if run.channels)
        return next(layers, None)

    @cached_property
    def runs(self) -> tuple[LayerRun, ...]:
        """The runs of the network that give all maps of a batch.

        One run gives the maps of all methods and layers. Methods that fuse layers have a run of their own, since they
        take all layers of a run for one map. The channels are those of the first layer that a method names.
        """
        single = [explainer for explainer in self.explainers if not explainer.request[0].fuses_layers]
        runs = [self._run_of(single)] if single else []
        fusing = [explainer for explainer in self.explainers if explainer.request[0].fuses_layers]
        runs += [self._run_of([explainer]) for explainer in fusing]
        if self.needs_layer and not any(run.channels for run in runs):
            method = find("grad_cam")
            runs.append(LayerRun(((method, method.with_options({})),), (None,), (), channels=True))
        return tuple(runs)

    def _run_of(self, explainers: Sequence[MethodExplainer]) -> LayerRun:
        """Return the run of explainers; those that map a layer come first, so that the run has channels."""
        ordered = sorted(explainers, key=lambda explainer: not explainer.request[0].needs_layer)
        layered = [explainer for explainer in ordered if explainer.request[0].needs_layer]
        requests = {explainer.request[0].name: explainer.request for explainer in ordered}
        layers = list(dict.fromkeys(spec for explainer in layered for spec in explainer.layers)) or [None]
        fused = any(explainer.request[0].fuses_layers for explainer in layered)
        cells = tuple(
            (
                self.explainers.index(explainer),
                list(requests).index(explainer.request[0].name),
                layers.index(explainer.layers[0]) if explainer in layered and not fused else 0,
            )
            for explainer in ordered
        )
        return LayerRun(tuple(requests.values()), tuple(layers), cells, channels=bool(layered) and not fused)
