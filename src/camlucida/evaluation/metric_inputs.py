"""What metrics may ask for by naming it, computed when it is asked for. The table is in `metrics/registry.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from camlucida.attribution.attribute import attributions
from camlucida.attribution.request import AttributionRequest, MethodRequest
from camlucida.engine import LayerSpec
from camlucida.evaluation.model_input import ModelInput
from camlucida.maps import to_image_grid, upsample
from camlucida.types import ProgressCallback


class Explainer(Protocol):
    """What makes maps: a method at a layer, or a control that only looks like one.

    name   in tables
    relu   whether what is below zero is cut off before it is shown
    """

    @property
    def name(self) -> str: ...

    @property
    def relu(self) -> bool: ...

    def maps(self, model_input: ModelInput, images: Tensor, classes: Tensor) -> Tensor:
        """Raw maps (n, h, w) of pictures (n, c, H, W), each for its class (n,)."""


@dataclass(frozen=True)
class MethodExplainer:
    """A method at one layer, as an explainer.

    named   its name in tables, if it is not the method's: the same method may be there at another layer, too
    tick    is told about the progress of methods that run the network many times
    """

    request: MethodRequest
    layer: LayerSpec | Sequence[LayerSpec] = None
    alias: str = ""
    progress: ProgressCallback | None = None

    @property
    def name(self) -> str:
        return self.alias or self.request[0].name

    @property
    def relu(self) -> bool:
        return self.request[0].relu

    @property
    def layers(self) -> Sequence[LayerSpec]:
        """The layer, or those that the method fuses."""
        if self.layer is None or isinstance(self.layer, str | int):
            return [self.layer]
        return self.layer

    def maps(self, model_input: ModelInput, images: Tensor, classes: Tensor) -> Tensor:
        model = model_input.model
        result = attributions(
            model,
            images,
            AttributionRequest(targets=[classes], layers=self.layers, methods=[self.request], progress=self.progress),
        )
        return result.maps[0][0][0]


MAP_INPUTS = frozenset({"raw", "shown", "relevance", "signed", "explain", "explain_class", "inputs", "random"})
"""What a metric may ask for that depends on the map, or that it gets in another form than `Sight` has it."""


@dataclass(frozen=True, eq=False)
class MetricInputs:
    """One map of one image, and whatever a metric may ask for by naming it: a property here, or one of `Sight`."""

    model_input: ModelInput
    explainer: Explainer
    raw: Tensor
    purpose: str = ""

    def arguments(self, needs: Sequence[str]) -> list[Any]:
        """Return what a metric asks for, in its order; what all maps of an image share comes from its `Sight`."""
        return [getattr(self if need in MAP_INPUTS else self.model_input, need) for need in needs]

    def first_missing(self, needs: Sequence[str]) -> str:
        """Which of `needs` is not known of this picture, or nothing."""
        known: dict[str, Any] = {
            "boxes": self.model_input.item.boxes,
            "mask": self.model_input.item.mask,
            "region": self.model_input.item.boxes if self.model_input.item.mask is None else self.model_input.item.mask,
            "label": self.model_input.label,
        }
        known |= {
            "other_objects_mask": self.model_input.item.other_objects_mask,
            "parts": self.model_input.item.parts,
            "part_score_drops": self.model_input.item.render_without,
        }
        known |= {"region_seen": known["region"], "boxes_seen": known["boxes"], "present_classes": known["label"]}
        return next((need for need in needs if need in known and known[need] is None), "")

    @cached_property
    def _rectified(self) -> Tensor:
        return self.raw.relu() if self.explainer.relu else self.raw

    @cached_property
    def shown(self) -> Tensor:
        return to_image_grid(self._rectified.cpu(), self.model_input.geometry).nan_to_num(nan=0.0).clamp_min(0)

    @cached_property
    def relevance(self) -> Tensor:
        return self._to_input_size(self._rectified[None])[0]

    @cached_property
    def signed(self) -> Tensor:
        return self._to_input_size(self.raw[None])[0]

    def explain(self, images: Tensor) -> Tensor:
        classes = torch.full((len(images),), self.model_input.target)
        return self._explain_each(images, classes)

    def explain_class(self, classes: Sequence[int]) -> Tensor:
        return self._explain_each(self.model_input.inputs.expand(len(classes), -1, -1, -1), torch.as_tensor(classes))

    def _explain_each(self, images: Tensor, classes: Tensor) -> Tensor:
        maps = self.explainer.maps(self.model_input, images, classes)
        return self._to_input_size(maps.relu() if self.explainer.relu else maps)

    def _to_input_size(self, maps: Tensor) -> Tensor:
        height, width = (int(n) for n in self.model_input.inputs.shape[-2:])
        return upsample(maps, (height, width))

    @property
    def inputs(self) -> Tensor:
        return self.model_input.inputs[0]

    @property
    def random(self) -> torch.Generator:
        return self.model_input.random(self.purpose)
