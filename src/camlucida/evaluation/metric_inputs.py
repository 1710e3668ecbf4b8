"""The inputs that a metric can declare, computed on demand. They are listed in `camlucida.metrics.registry`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest, MethodRequest
from camlucida.engine import LayerSpec
from camlucida.evaluation.model_input import ModelInput
from camlucida.maps import to_image_grid, upsample
from camlucida.metrics.registry import MAP_INPUTS
from camlucida.models.model import Model
from camlucida.types import ProgressCallback


class Explainer(Protocol):
    """Anything that computes maps: a method at a layer, or a control.

    Attributes:
        name: Name in tables.
        relu: Whether negative values are clipped before the map is displayed.
    """

    @property
    def name(self) -> str: ...

    @property
    def relu(self) -> bool: ...

    def maps(self, model_input: ModelInput, images: Tensor, classes: Tensor) -> Tensor:
        """Compute raw maps `(n, h, w)` of inputs `(n, c, H, W)`, each for its class `(n,)`."""


@dataclass(frozen=True)
class MethodExplainer:
    """A method at one layer, as an explainer.

    Attributes:
        request: The method with its options.
        layer: The layer, or those that the method fuses.
        alias: Name in tables if it differs from the method's, for example because the method is used at several layers.
        progress: Called with the progress of methods that run the network many times.
    """

    request: MethodRequest
    layer: LayerSpec | Sequence[LayerSpec] = None
    alias: str = ""
    progress: ProgressCallback | None = None

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.alias or self.request[0].name

    @property
    def relu(self) -> bool:
        """Whether the method clips negative values."""
        return self.request[0].relu

    @property
    def layers(self) -> Sequence[LayerSpec]:
        """The layer, or those that the method fuses."""
        if self.layer is None or isinstance(self.layer, str | int | nn.Module):
            return [self.layer]
        return self.layer

    def maps(self, model_input: ModelInput, images: Tensor, classes: Tensor) -> Tensor:
        """Compute raw maps `(n, h, w)` of inputs `(n, c, H, W)`, each for its class `(n,)`."""
        return self.maps_of(model_input.model, images, classes)

    def maps_of(self, model: Model, images: Tensor, classes: Tensor) -> Tensor:
        """Compute raw maps as `maps` does, of a model."""
        result = attributions(
            model,
            images,
            AttributionRequest(targets=[classes], layers=self.layers, methods=[self.request], progress=self.progress),
        )
        return result.maps[0][0][0]


OWN_INPUTS = MAP_INPUTS | {"inputs", "random"}
"""Inputs that depend on the map, or whose form differs from the attribute of `ModelInput`."""


@dataclass(frozen=True, eq=False)
class MetricInputs:
    """One map of one image with all inputs that a metric can declare: properties here, or of `ModelInput`.

    Attributes:
        model_input: What all maps of the image share.
        explainer: The explainer of the map.
        raw: `(h, w)` the signed map at layer resolution.
        purpose: Selects the random numbers, usually the name of the preset.
    """

    model_input: ModelInput
    explainer: Explainer
    raw: Tensor
    purpose: str = ""

    def arguments(self, needs: Sequence[str]) -> list[Any]:
        """Return the inputs that a metric declares, in its order."""
        return [getattr(self if need in OWN_INPUTS else self.model_input, need) for need in needs]

    def first_missing(self, needs: Sequence[str]) -> str:
        """Return the name of the first input that is not available for this image, or ""."""
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
        known |= {"input_region": known["region"], "input_boxes": known["boxes"], "present_classes": known["label"]}
        return next((need for need in needs if need in known and known[need] is None), "")

    @cached_property
    def _rectified(self) -> Tensor:
        return self.raw.relu() if self.explainer.relu else self.raw

    @cached_property
    def display_map(self) -> Tensor:
        """The map on the original image `(height, width)`, non-negative."""
        return to_image_grid(self._rectified.cpu(), self.model_input.geometry).nan_to_num(nan=0.0).clamp_min(0)

    @cached_property
    def relevance(self) -> Tensor:
        """The map at input resolution `(H, W)`, clipped if the method has a ReLU."""
        return self._to_input_size(self._rectified[None])[0]

    @cached_property
    def signed(self) -> Tensor:
        """The map at input resolution `(H, W)`, without clipping."""
        return self._to_input_size(self.raw[None])[0]

    def explain(self, images: Tensor) -> Tensor:
        """Compute maps `(n, H, W)` of other inputs `(n, c, H, W)` for the same class."""
        classes = torch.full((len(images),), self.model_input.target)
        return self._explain_each(images, classes)

    def explain_class(self, classes: Sequence[int]) -> Tensor:
        """Compute maps `(n, H, W)` of the same image for other classes."""
        return self._explain_each(self.model_input.inputs.expand(len(classes), -1, -1, -1), torch.as_tensor(classes))

    def _explain_each(self, images: Tensor, classes: Tensor) -> Tensor:
        maps = self.explainer.maps(self.model_input, images, classes)
        return self._to_input_size(maps.relu() if self.explainer.relu else maps)

    def _to_input_size(self, maps: Tensor) -> Tensor:
        height, width = (int(n) for n in self.model_input.inputs.shape[-2:])
        return upsample(maps, (height, width))

    @property
    def inputs(self) -> Tensor:
        """The network input `(c, H, W)`."""
        return self.model_input.inputs[0]

    @property
    def random(self) -> torch.Generator:
        """A generator seeded by the image and the purpose."""
        return self.model_input.random(self.purpose)
