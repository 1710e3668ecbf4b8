"""The regions of a segmented image as targets: "class:bus", "class:bus at 120,80", "at 120,80", a mask, or all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from camlucida.class_lookup import class_label, index_of
from camlucida.errors import NothingFound, TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.models.segmentation.check import check_dense
from camlucida.models.segmentation.pixel_scores import (
    ImageBox,
    Key,
    RegionScores,
    WholeImageScores,
    image_box,
    image_cells,
    whole_image_scores,
)
from camlucida.target_forms import POINT
from camlucida.types import Geometry, PredictedClasses, Region, RegionTarget

if TYPE_CHECKING:
    from camlucida.targets import TargetSpec

MIN_FRACTION = 0.01
"""Without a target, the classes that take at least this fraction of the pixels are explained."""
BACKGROUND_NAMES = frozenset({"background", "bg", "unlabeled", "unlabelled"})
_RATHER_THAN = " rather than "


@dataclass(frozen=True)
class SegmentationTargets:
    """The regions that a segmentation network predicts in an image.

    Every region M is a classifier of its own: its class scores are the mean of the logits over M, and M is that of the
    unmodified image. M is a set of cells of the output's own grid, which may be coarser than the network input.

    Attributes:
        key: The part of the network's output that holds the class scores per pixel; None to find it.
        is_known: Whether the network's library says that its output is class scores per pixel, see `check.check_dense`.
        kind: As of `ImageTargets`.
        is_multilabel: Whether the classes of a pixel do not exclude each other. Every class has a sigmoid of its own
            then, and a region is where its probability exceeds one half, so that regions may overlap.
        box: Where the image lies in the network input; None if it covers all of it. Pixels outside are of no class.
    """

    key: Key = None
    is_known: bool = False
    kind: str = "segmentation"
    is_multilabel: bool = False
    box: ImageBox | None = None

    def on_image(self, model: Model, geometry: Geometry) -> Model:
        """Return the model of one image, in which the border of the network input counts as no class."""
        box = image_box(geometry)
        if box == self.box:
            return model
        output = model.output
        if isinstance(output, WholeImageScores):
            output = whole_image_scores(output.background, output.key, box)
        return replace(model, output=output, image_targets=replace(self, box=box))

    def bind(self, model: Model, inputs: Tensor, spec: TargetSpec) -> tuple[BoundTarget, ...]:
        """Return the regions that a target means, see `ImageTargets.bind`.

        Args:
            model: The model.
            inputs: Network input `(1, c, H, W)`.
            spec: "class:bus": the pixels that are predicted as bus. "class:bus at 12,8": the connected part of them
                that contains the point, or the pixel itself if it is not predicted as bus. "at 12,8": as before, for
                the class predicted there. A `RegionTarget`: any mask. None: every class of at least 1 % of the
                pixels, largest first, without the background. "class:bus rather than car": the region of bus, with the
                score of bus minus that of car.

        Raises:
            TargetError: The class is nowhere predicted, or the point is outside; the message lists the classes present.
        """
        if isinstance(spec, str):
            text = spec.strip()
            at = POINT.search(text)
            name = text[: at.start()] if at else text
            if not at and not name.startswith("class:"):
                return ()
            segmented = self._segmented(model, inputs)
            name = name.removeprefix("class:").strip()
            if at:
                return (segmented.at(name, float(at[1]), float(at[2])),)
            return (segmented.of_class(name),)
        if isinstance(spec, RegionTarget):
            return (self._segmented(model, inputs).of_mask(spec),)
        return self._segmented(model, inputs).all() if spec is None else ()

    def _segmented(self, model: Model, inputs: Tensor) -> _Segmented:
        with torch.no_grad():
            dense, threshold = check_dense(model, inputs, self.key, self.is_known, self.is_multilabel)
        masks = predicted_masks(dense[0], len(model.labels), threshold, self.is_multilabel)
        rows, columns = image_cells(self.box, *masks.shape[1:])
        inside = torch.zeros_like(masks[0])
        inside[rows, columns] = True
        return _Segmented(model, masks & inside, rows, columns, self.key, tuple(inputs.shape[-2:]))


def predicted_masks(dense: Tensor, n_labels: int, threshold: float = 0.0, is_multilabel: bool = False) -> Tensor:
    """Return the pixels at which each class is predicted, `(k, h, w)`, bool.

    Args:
        dense: Class scores per pixel `(k, h, w)`. A network with one channel predicts class 0 where its score exceeds
            the threshold; with two class names they are class 1 there, and class 0 elsewhere.
        n_labels: Number of class names.
        threshold: Score from which on a class is predicted, where classes do not exclude each other.
        is_multilabel: Whether they do not exclude each other; else the class with the highest score is predicted.
    """
    above = dense > threshold
    if len(dense) == 1:
        return torch.cat([~above, above]) if n_labels == 2 else above
    if is_multilabel:
        return above
    return dense.argmax(0) == torch.arange(len(dense), device=dense.device)[:, None, None]


def background_index(labels: tuple[str, ...]) -> int | None:
    """Return the index of the class that is named as the background; None without one."""
    return next((i for i, name in enumerate(labels) if name.strip("_ ").lower() in BACKGROUND_NAMES), None)


def spelled_class(index: int, labels: tuple[str, ...]) -> str:
    """Return how a target names a class: by its name if that means this class only, else by its index."""
    if index >= len(labels):
        return str(index)
    name = labels[index]
    is_ambiguous = labels.count(name) > 1 or _RATHER_THAN in name or name.strip().isdigit() or POINT.search(name)
    return str(index) if is_ambiguous else name


@dataclass(frozen=True, eq=False)
class _Segmented:
    """One segmented image.

    Attributes:
        model: The model.
        masks: The cells of the output's grid at which each class is predicted `(k, h, w)`; none outside of the image.
        rows: The rows of the grid in which the image lies.
        columns: Its columns.
        key: As of `SegmentationTargets`.
        input_size: (height, width) of the network input.
    """

    model: Model
    masks: Tensor
    rows: slice
    columns: slice
    key: Key
    input_size: tuple[int, ...]

    def all(self) -> tuple[BoundTarget, ...]:
        counts = self._counts()
        background = background_index(self.model.labels)
        if objects := {k: n for k, n in counts.items() if k != background}:
            counts = objects
        if not counts:
            raise NothingFound(
                f"no pixel is predicted as {self._name(0)}. Name a point: 'class:{self._name(0)} at x,y'.",
                f"no region of {self._name(0)}",
            )
        least = MIN_FRACTION * self._n_cells
        chosen = [k for k, n in counts.items() if n >= least] or [next(iter(counts))]
        return tuple(self._bound(k, self.masks[k], spec=f"class:{self._spelled(k)}") for k in chosen)

    def of_class(self, name: str) -> BoundTarget:
        index, target = self._target(name)
        mask = self.masks[index]
        if not mask.any():
            example = f"class:{name} at x,y"
            raise TargetError(
                f"no pixel is predicted as {self._name(index)}. {self._present()} To explain why a point is not "
                f"{self._name(index)}: {example!r}."
            )
        return self._bound(index, mask, target=target, label=self._label(name), spec=f"class:{name}")

    def at(self, name: str, x: float, y: float) -> BoundTarget:
        row, column = self._cell(x, y)
        there = self.masks[:, row, column].nonzero()[:, 0].tolist()
        if not name and len(there) > 1:
            names = [self._spelled(k) for k in there]
            raise TargetError(
                f"several classes are predicted at {x:g},{y:g}: {', '.join(names)}. Name one: "
                f"{f'class:{names[0]} at {x:g},{y:g}'!r}."
            )
        index, target = self._target(name) if name else (there[0], there[0]) if there else (0, 0)
        spelled = name or self._spelled(index)
        spec = f"class:{spelled} at {x:.6g},{y:.6g}"
        named = self._label(name) if name else self._name(index)
        if index in there:
            mask = connected_part(self.masks[index], row, column)
            return self._bound(index, mask, target=target, label=named, spec=spec)
        mask = torch.zeros_like(self.masks[0])
        mask[row, column] = True
        label = f"missed {named}"
        found = ", ".join(map(self._name, there)) or "background"
        bound = self._bound(index, mask, target=target, label=f"{label} (predicted {found})", spec=spec)
        assert bound.region is not None
        region = Region(point=(x, y), name=label, index=index, classes=self.classes, is_missed=True)
        return replace(bound, region=region)

    def of_mask(self, wanted: RegionTarget) -> BoundTarget:
        mask = torch.as_tensor(wanted.mask)
        if tuple(mask.shape) != self.input_size:
            raise TargetError(f"the mask has the shape {tuple(mask.shape)}, the network input {self.input_size}.")
        inside = mask.to(self.masks.device).float()
        height, width = self.masks.shape[1:]
        covered = F.adaptive_avg_pool2d(inside[None, None], (height, width))[0, 0]
        if (height, width) != self.input_size and (height > self.input_size[0] or width > self.input_size[1]):
            covered = F.interpolate(inside[None, None], (height, width), mode="nearest")[0, 0]
        cells = covered >= 0.5
        if not cells.any():
            cells = covered > 0
        if not cells.any():
            raise TargetError(f"the region {wanted.name or 'mask'} has no pixel that the network sees.")
        if wanted.target is None:
            index = int((self.masks & cells).sum((1, 2)).argmax())
            target: Any = index
            label = f"{self._name(index)} in {wanted.name or 'the region'}"
        else:
            index, target = self._target(str(wanted.target))
            label = f"{self._label(str(wanted.target))} in {wanted.name or 'the region'}"
        bound = self._bound(index, cells, target=target, label=label, spec=wanted.spec)
        assert bound.region is not None
        return replace(bound, region=replace(bound.region, mask=inside >= 0.5))

    def _bound(
        self, index: int, mask: Tensor, *, target: TargetSpec = None, label: str = "", spec: str = ""
    ) -> BoundTarget:
        scores = RegionScores(mask.float(), self.key)
        model = replace(self.model, output=scores, image_targets=None)
        label = label or self._name(index)
        at_input = F.interpolate(mask[None, None].float(), self.input_size, mode="nearest")[0, 0] > 0.5
        region = Region(mask=at_input, name=label, index=index, classes=self.classes)
        return BoundTarget(model, index if target is None else target, label, spec, region)

    def _target(self, name: str) -> tuple[int, TargetSpec]:
        """Return the class whose region is meant, and the target of the bound model."""
        this, separator, that = name.partition(_RATHER_THAN)
        index = self._index(this)
        return (index, f"{index}{_RATHER_THAN}{self._index(that)}") if separator else (index, index)

    def _index(self, name: str) -> int:
        return index_of(name.strip(), self.model.labels, len(self.masks))

    def _label(self, name: str) -> str:
        """Return the class or comparison that a target names as text, with the names of classes for their indices."""
        parts = [part.strip() for part in name.split(_RATHER_THAN)]
        return _RATHER_THAN.join(self._name(int(part)) if part.isdecimal() else part for part in parts)

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        height, width = self.input_size
        if not (0 <= x < width and 0 <= y < height):
            raise TargetError(f"the point {x:g},{y:g} is outside of the network input of {width}×{height} pixels.")
        row, column = int(y * self.masks.shape[1] / height), int(x * self.masks.shape[2] / width)
        return _nearest(row, self.rows), _nearest(column, self.columns)

    @cached_property
    def classes(self) -> PredictedClasses:
        """The predicted class of every pixel of the network input."""
        found = list(self._counts())
        indices = torch.full(self.masks.shape[1:], -1, device=self.masks.device)
        for k in found:  # the smallest region last
            indices[self.masks[k]] = k
        on_input = F.interpolate(indices[None, None].double(), self.input_size, mode="nearest")[0, 0].long()
        return PredictedClasses(on_input, {k: self._name(k) for k in found}, background_index(self.model.labels))

    def _counts(self) -> dict[int, int]:
        """Return the number of cells of every class that is predicted, largest first."""
        counts = self.masks.sum((1, 2))
        order = counts.argsort(descending=True, stable=True)
        return {int(k): int(counts[k]) for k in order if int(counts[k])}

    @property
    def _n_cells(self) -> int:
        """Return the number of cells in the image."""
        return self.masks[0, self.rows, self.columns].numel()

    def _present(self) -> str:
        found = [f"{self._name(k)} ({n / self._n_cells:.1%})" for k, n in list(self._counts().items())[:8]]
        return f"Predicted are {', '.join(found)}." if found else "No class is predicted anywhere."

    def _name(self, index: int) -> str:
        return class_label(index, self.model.labels)

    def _spelled(self, index: int) -> str:
        """Return how a class is written in a target: its name if that means this class only, else its index."""
        return spelled_class(index, self.model.labels)


def _nearest(index: int, cells: slice) -> int:
    """Return the index of the cell of a range that is nearest to a cell."""
    return min(max(index, int(cells.start)), int(cells.stop) - 1)


def connected_part(mask: Tensor, row: int, column: int) -> Tensor:
    """Return the cells of a mask `(h, w)` that are connected with one of its cells, also over corners."""
    seed = torch.zeros_like(mask, dtype=torch.bool)
    seed[row, column] = True
    return connected_parts(mask, seed)


def connected_parts(mask: Tensor, seeds: Tensor) -> Tensor:
    """Return the cells of a mask `(h, w)` that are connected with any of the seeds `(h, w)` in it, over corners too."""
    inside, size = mask.float(), 0
    part = inside * seeds
    while (new_size := int(part.sum())) > size:
        size = new_size
        for _ in range(8):
            part = F.max_pool2d(part[None, None], 3, stride=1, padding=1)[0, 0] * inside
    return part > 0
