"""Bind the targets of one image, see `models.image_targets`: boxes, regions, prompts and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camlucida.attribution.outputs import to_network
from camlucida.attribution.region_masks import mask_to_input, read_region
from camlucida.attribution.similarity_targets import bind_like, is_like_spec
from camlucida.engine import copy_of
from camlucida.errors import TargetError
from camlucida.maps import to_image_grid
from camlucida.models.image_targets import BoundTarget, ImageTargets
from camlucida.models.model import Model
from camlucida.options import shown
from camlucida.target_forms import POINT
from camlucida.targets import RegionTarget, TargetSpec
from camlucida.types import Geometry, Region

_KINDS_WITH_POINTS = ("detection", "segmentation")
"""Kinds of targets that may name a point of the image."""
_NO_POINT = ("text:", "not text:", "like:")
"""Beginnings of targets that hold a text or a file name, in which "at" has no meaning of its own."""


def bind_targets(
    model: Model, inputs: Tensor, specs: Sequence[TargetSpec], geometry: Geometry | None = None
) -> list[BoundTarget]:
    """Return every target of one image as a target of an ordinary model, in order.

    Args:
        model: The model. Without `image_targets`, every target is one of its own.
        inputs: Network input `(c, H, W)`.
        specs: Targets as the user gave them. Points are in pixels of the original image.
        geometry: Position of the network input on the image; None if points are in pixels of the network input.

    Raises:
        TargetError: There is no such box, region or word in the image, or a point lies outside the network input.
    """
    return ImageBinder(model, inputs, geometry).bind(specs)


class ImageBinder:
    """Binds the targets of one image, also in several calls, for which the network need not run again.

    Args:
        model: As of `bind_targets`.
        inputs: As of `bind_targets`.
        geometry: As of `bind_targets`.
    """

    def __init__(self, model: Model, inputs: Tensor, geometry: Geometry | None = None) -> None:
        of_image = model if geometry is None else model.on_image(geometry)
        self._model, self._inputs, self._geometry = of_image, inputs, geometry
        self._network: nn.Module | None = None

    def bind(self, specs: Sequence[TargetSpec]) -> list[BoundTarget]:
        """Return every target as `bind_targets` does.

        Raises:
            TargetError: As of `bind_targets`.
        """
        model, geometry = self._model, self._geometry
        if not needs_binding(model, specs):
            return [BoundTarget(model, spec) for spec in specs]
        with torch.inference_mode(False), torch.no_grad():
            on_device = to_network(model.network, self._inputs[None])
            kind = "" if model.image_targets is None else model.image_targets.kind
            read = [read_region(spec) for spec in specs] if kind == "segmentation" else list(specs)
            moved = read
            if geometry is not None and kind in _KINDS_WITH_POINTS:
                moved = [_to_input(spec, geometry) for spec in read]
            images = [i for i, spec in enumerate(specs) if is_like_spec(spec, model.labels)]
            others = [i for i in range(len(specs)) if i not in images]
            found = dict(zip(others, self._bind_all(on_device, [moved[i] for i in others]), strict=True))
            found |= {i: (bind_like(model, on_device, str(specs[i])),) for i in images}
        return [item for i, spec in enumerate(specs) for item in found[i] or (BoundTarget(model, spec),)]

    def further(self) -> list[tuple[int, Region]]:
        """Return what was found beyond the targets that `bind([None])` returns, as pairs of a class and a region."""
        further = getattr(self._model.image_targets, "further", None)
        if further is None:
            return []
        with torch.inference_mode(False), torch.no_grad():
            on_device = to_network(self._model.network, self._inputs[None])
            of_copy = replace(self._model, network=self._network_of(self._model.image_targets))
            found: list[tuple[int, Region]] = further(of_copy, on_device)
        return found

    def _bind_all(self, inputs: Tensor, specs: Sequence[TargetSpec]) -> Sequence[tuple[BoundTarget, ...]]:
        """Return what each target means; at once, where the targets of one request belong together."""
        model, targets = self._model, self._model.image_targets
        if targets is None:
            return [()] * len(specs)
        of_copy = replace(model, network=self._network_of(targets))
        bind_all = getattr(targets, "bind_all", None)
        bound: Sequence[tuple[BoundTarget, ...]]
        if bind_all is None:
            bound = [targets.bind(of_copy, inputs, spec) for spec in specs]
        else:
            bound = bind_all(of_copy, inputs, specs)
        return [tuple(_of_original(item, of_copy, model) for item in items) for items in bound]

    def _network_of(self, targets: ImageTargets | None) -> nn.Module:
        """Return the copy of the network, which is in eval mode, also where that of the user is being trained."""
        if self._network is None:
            network = copy_of(self._model.network).module
            self._network = _RunsOnce(network) if getattr(targets, "reads_output_only", False) else network
        return self._network


class _RunsOnce(nn.Module):
    """A network that runs once on the inputs of one image, and returns the same output for them again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.training = False
        self.network = network
        self._output: Any = None

    def forward(self, inputs: Tensor) -> Any:
        """Return the output for the inputs, which are the same in every call."""
        if self._output is None:
            self._output = self.network(inputs)
        return self._output


def needs_binding(model: Model, specs: Sequence[TargetSpec]) -> bool:
    """Return whether a target may depend on the image: a box, region, prompt or word, or the similarity to an image."""
    return model.image_targets is not None or any(is_like_spec(spec, model.labels) for spec in specs)


def _of_original(bound: BoundTarget, of_copy: Model, model: Model) -> BoundTarget:
    """Return a target that was bound to the copy of a network as one of the network itself."""
    if bound.model.network is not of_copy.network:
        return bound
    return replace(bound, model=replace(bound.model, network=model.network))


def bind_one(model: Model, inputs: Tensor, spec: TargetSpec, geometry: Geometry | None, what: str) -> BoundTarget:
    """Return the only target that a spec means; the first for None, which is the most confident detection or region.

    Args:
        model: As of `bind_targets`.
        inputs: As of `bind_targets`.
        spec: As of `bind_targets`.
        geometry: As of `bind_targets`.
        what: What needs one target, for messages: "trust tests".

    Raises:
        TargetError: As of `bind_targets`; or the spec means several targets.
    """
    bound = bind_targets(model, inputs, [spec], geometry)
    if spec is not None and len(bound) > 1:
        names = ", ".join(item.label for item in bound[:8])
        raise TargetError(f"{what} one target, and {shown(spec)} means {len(bound)}: {names}. Choose one.")
    return bound[0]


def region_on_image(region: Region | None, geometry: Geometry) -> Region | None:
    """Return a region of the network input in pixels of the original image."""
    if region is None:
        return None
    (sx, sy), (ox, oy), (width, height) = geometry.scale, geometry.offset, geometry.original
    box, point, mask = region.box, region.point, region.mask
    if box is not None:
        left, right = (min(max((x - ox) / sx, 0.0), float(width)) for x in (box[0], box[2]))
        top, bottom = (min(max((y - oy) / sy, 0.0), float(height)) for y in (box[1], box[3]))
        box = left, top, right, bottom
    if point is not None:
        point = (point[0] - ox) / sx, (point[1] - oy) / sy
    if mask is not None:
        mask = to_image_grid(mask.float().cpu(), geometry).nan_to_num() >= 0.5
    classes = region.classes
    if classes is not None:
        classes = replace(classes, indices=_indices_on_image(classes.indices, geometry))
    return replace(region, box=box, mask=mask, point=point, classes=classes)


def _indices_on_image(indices: Tensor, geometry: Geometry) -> Tensor:
    """Return the index at the centre of every pixel of the image `(height, width)`; -1 outside the network input."""
    width, height = geometry.original
    x, y = (
        ((torch.arange(n, dtype=torch.float64) + 0.5) * geometry.scale[axis] + geometry.offset[axis]).floor().long()
        for axis, n in enumerate((width, height))
    )
    padded = torch.nn.functional.pad(indices.cpu(), (1, 1, 1, 1), value=-1)
    rows, columns = (v.clamp(-1, n).add(1) for v, n in zip((y, x), indices.shape, strict=True))
    return padded[rows][:, columns]


def spec_on_image(spec: str, geometry: Geometry) -> str:
    """Return a target whose point, if it names one, is in pixels of the original image, not of the network input."""
    if spec.startswith(_NO_POINT) or (match := POINT.search(spec)) is None:
        return spec
    x, y = ((float(match[1 + i]) - geometry.offset[i]) / geometry.scale[i] for i in (0, 1))
    return f"{spec[: match.start()]} at {x:.6g},{y:.6g}".strip()


def mask_of(region: Region, height: int, width: int) -> NDArray[np.bool_] | None:
    """Return the pixels of an image that a region covers `(height, width)`, or None for a point or a name only.

    A pixel belongs to a box if its centre does.

    Args:
        region: The region, in pixels of that image.
        height: Height of the image.
        width: Width of the image.
    """
    if region.mask is not None:
        mask: NDArray[np.bool_] = region.mask.cpu().numpy().astype(bool)
        return mask
    if region.box is None:
        return None
    left, top, right, bottom = region.box
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    inside: NDArray[np.bool_] = ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None]
    return inside


def _to_input(spec: Any, geometry: Geometry) -> Any:
    """Return a target whose point or mask, if it has one, is in pixels of the network input."""
    if isinstance(spec, RegionTarget):
        return replace(spec, mask=mask_to_input(spec.mask, geometry))
    of_image = isinstance(spec, str) and not spec.lstrip().startswith(_NO_POINT)
    if not of_image or (match := POINT.search(spec)) is None:
        return spec
    try:
        x, y = float(match[1]), float(match[2])
    except ValueError:
        raise TargetError(f"{spec!r}: a point is x,y in pixels of the image, such as 120,80.") from None
    width, height = geometry.original
    left, top, right, bottom = geometry.visible_box
    if not (left <= x < right and top <= y < bottom):
        seen = f"the network sees {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f} of it"
        raise TargetError(f"the point {x:g},{y:g} is outside: the image has {width}×{height} pixels, and {seen}.")
    (sx, sy), (ox, oy) = geometry.scale, geometry.offset
    return f"{spec[: match.start()]} at {x * sx + ox:.12g},{y * sy + oy:.12g}".strip()
