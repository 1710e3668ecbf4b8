"""The regions of a segmented image as targets: "class:bus", "class:bus at 120,80", "at 120,80", a mask, or all."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from camlucida.class_lookup import class_index, class_label
from camlucida.errors import NothingFound, TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.models.segmentation.check import check_dense
from camlucida.models.segmentation.pixel_scores import Key, RegionScores
from camlucida.types import Region, RegionTarget

if TYPE_CHECKING:
    from camlucida.targets import TargetSpec

MIN_FRACTION = 0.01
"""Without a target, the classes that take at least this fraction of the pixels are explained."""
BACKGROUND_NAMES = frozenset({"background", "bg", "unlabeled", "unlabelled"})
_AT = re.compile(r"(?:^|\s+)at\s+(-?[0-9.eE+-]+)\s*,\s*(-?[0-9.eE+-]+)\s*$")
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
    """

    key: Key = None
    is_known: bool = False
    kind: str = "segmentation"

    def bind(self, model: Model, inputs: Tensor, spec: TargetSpec) -> tuple[BoundTarget, ...]:
        """Return the regions that a target means, see `ImageTargets.bind`.

        Args:
            model: The model.
            inputs: Network input `(1, c, H, W)`.
            spec: "class:bus": the pixels that are predicted as bus. "class:bus at 12,8": the connected part of them
                that contains the point, or the pixel itself if it is predicted as another class. "at 12,8": as before,
                for the class predicted there. A `RegionTarget`: any mask. None: every class of at least 1 % of the
                pixels, largest first, without the background. "class:bus rather than car": the region of bus, with the
                score of bus minus that of car.

        Raises:
            TargetError: The class is nowhere predicted, or the point is outside; the message lists the classes present.
        """
        if isinstance(spec, str):
            text = spec.strip()
            at = _AT.search(text)
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
            dense, threshold = check_dense(model, inputs, self.key, self.is_known)
        predicted = predicted_classes(dense, len(model.labels), threshold)[0]
        return _Segmented(model, predicted, self.key, tuple(inputs.shape[-2:]), dense.shape[1])


def predicted_classes(dense: Tensor, n_labels: int, threshold: float = 0.0) -> Tensor:
    """Return the predicted class of every pixel `(b, h, w)` of class scores per pixel `(b, k, h, w)`.

    A network with one channel predicts class 0 where its score exceeds the threshold, and no class (-1) elsewhere;
    with two class names they are classes 1 and 0.
    """
    if dense.shape[1] > 1:
        return dense.argmax(1)
    positive = (dense[:, 0] > threshold).long()
    return positive if n_labels == 2 else positive - 1


def background_index(labels: tuple[str, ...]) -> int | None:
    """Return the index of the class that is named as the background; None without one."""
    return next((i for i, name in enumerate(labels) if name.strip("_ ").lower() in BACKGROUND_NAMES), None)


@dataclass(frozen=True, eq=False)
class _Segmented:
    """One segmented image: the predicted class of every cell `(h, w)` of the output's grid."""

    model: Model
    predicted: Tensor
    key: Key
    input_size: tuple[int, ...]
    n_channels: int

    def all(self) -> tuple[BoundTarget, ...]:
        counts = self._counts()
        background = background_index(self.model.labels)
        if objects := {k: n for k, n in counts.items() if k != background}:
            counts = objects
        if not counts:
            raise NothingFound(
                f"no pixel is predicted as {self._name(0)}. Name a point: 'class:{self._name(0)} at x,y'."
            )
        least = MIN_FRACTION * self.predicted.numel()
        chosen = [k for k, n in counts.items() if n >= least] or [next(iter(counts))]
        return tuple(self._bound(k, self.predicted == k, spec=f"class:{self._spelled(k)}") for k in chosen)

    def of_class(self, name: str) -> BoundTarget:
        index, target = self._target(name)
        mask = self.predicted == index
        if not mask.any():
            example = f"class:{name} at x,y"
            raise TargetError(
                f"no pixel is predicted as {self._name(index)}. {self._present()} To explain why a point is not "
                f"{self._name(index)}: {example!r}."
            )
        return self._bound(index, mask, target=target, label=name, spec=f"class:{name}")

    def at(self, name: str, x: float, y: float) -> BoundTarget:
        row, column = self._cell(x, y)
        there = int(self.predicted[row, column])
        index, target = self._target(name) if name else (there, there)
        if not name and there < 0:
            index = target = 0
        spelled = name or self._spelled(index)
        spec = f"class:{spelled} at {x:.6g},{y:.6g}"
        label = f"{name or self._name(index)} at {x:.0f},{y:.0f}"
        if index == there:
            mask = connected_part(self.predicted == index, row, column)
            return self._bound(index, mask, target=target, label=name or self._name(index), spec=spec)
        mask = torch.zeros_like(self.predicted, dtype=torch.bool)
        mask[row, column] = True
        label = f"missed {name or self._name(index)}"
        found = self._name(there) if there >= 0 else "background"
        bound = self._bound(index, mask, target=target, label=f"{label} (predicted {found})", spec=spec)
        assert bound.region is not None
        return replace(bound, region=Region(point=(x, y), name=label))

    def of_mask(self, wanted: RegionTarget) -> BoundTarget:
        mask = torch.as_tensor(wanted.mask)
        if tuple(mask.shape) != self.input_size:
            raise TargetError(f"the mask has the shape {tuple(mask.shape)}, the network input {self.input_size}.")
        inside = mask.to(self.predicted.device).float()
        height, width = self.predicted.shape
        covered = F.adaptive_avg_pool2d(inside[None, None], (height, width))[0, 0]
        if (height, width) != self.input_size and (height > self.input_size[0] or width > self.input_size[1]):
            covered = F.interpolate(inside[None, None], (height, width), mode="nearest")[0, 0]
        cells = covered >= 0.5
        if not cells.any():
            cells = covered > 0
        if not cells.any():
            raise TargetError(f"the region {wanted.name or 'mask'} has no pixel that the network sees.")
        if wanted.target is None:
            inside_classes = self.predicted[cells]
            index = int(inside_classes[inside_classes >= 0].mode().values) if bool((inside_classes >= 0).any()) else 0
            target: Any = index
            label = f"{self._name(index)} in {wanted.name or 'the region'}"
        else:
            index, target = self._target(str(wanted.target))
            label = f"{wanted.target} in {wanted.name or 'the region'}"
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
        region = Region(mask=at_input, name=label)
        return BoundTarget(model, index if target is None else target, label, spec, region)

    def _target(self, name: str) -> tuple[int, TargetSpec]:
        """Return the class whose region is meant, and the target of the bound model."""
        this, separator, that = name.partition(_RATHER_THAN)
        index = self._index(this)
        return (index, f"{index}{_RATHER_THAN}{self._index(that)}") if separator else (index, index)

    def _index(self, name: str) -> int:
        name = name.strip()
        n_classes = max(len(self.model.labels), self.n_channels)
        if re.fullmatch(r"[0-9]{1,6}", name) and int(name) < n_classes:
            return int(name)
        if not self.model.labels and (match := re.fullmatch(r"class ([0-9]{1,6})", name)):
            return int(match[1])
        return class_index(name, self.model.labels)

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        height, width = self.input_size
        if not (0 <= x < width and 0 <= y < height):
            raise TargetError(f"the point {x:g},{y:g} is outside of the network input of {width}×{height} pixels.")
        rows, columns = self.predicted.shape
        return min(int(y * rows / height), rows - 1), min(int(x * columns / width), columns - 1)

    def _counts(self) -> dict[int, int]:
        """Return the number of cells of every class that is predicted, largest first."""
        classes, counts = torch.unique(self.predicted[self.predicted >= 0], return_counts=True)
        order = counts.argsort(descending=True, stable=True)
        return dict(zip(classes[order].tolist(), counts[order].tolist(), strict=True))

    def _present(self) -> str:
        total = self.predicted.numel()
        found = [f"{self._name(k)} ({n / total:.1%})" for k, n in list(self._counts().items())[:8]]
        return f"Predicted are {', '.join(found)}." if found else "No class is predicted anywhere."

    def _name(self, index: int) -> str:
        return class_label(index, self.model.labels)

    def _spelled(self, index: int) -> str:
        """Return how a class is written in a target: its name if that means this class only, else its index."""
        labels = self.model.labels
        if index >= len(labels) or labels.count(labels[index]) > 1 or _RATHER_THAN in labels[index]:
            return str(index)
        return labels[index]


def connected_part(mask: Tensor, row: int, column: int) -> Tensor:
    """Return the cells of a mask `(h, w)` that are connected with one of its cells, also over corners."""
    part = torch.zeros_like(mask, dtype=torch.float32)
    part[row, column] = 1
    inside, size = mask.float(), 0
    while (new_size := int(part.sum())) > size:
        size = new_size
        for _ in range(8):
            part = F.max_pool2d(part[None, None], 3, stride=1, padding=1)[0, 0] * inside
    return part > 0
