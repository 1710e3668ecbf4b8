"""Targets of a detector: every detection, one box, an edge of a box, an object at a point that was missed."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from camlucida.class_lookup import index_of
from camlucida.errors import NothingFound, TargetError
from camlucida.models.detection.candidates import Candidates, Detection, box_iou, detection_at, detections
from camlucida.models.detection.readers import EDGES, BoxEdge, ImageScores, reader_of
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.target_forms import POINT
from camlucida.types import Region

if TYPE_CHECKING:
    from camlucida.targets import TargetSpec

MAX_DETECTIONS = 20
"""Detections of one image that are explained at most; boxes are numbered up to here."""
MAX_COMPARED = 300
"""Detections of one image that are compared with its objects at most."""
SPECS = '"box 3", "box 3: cat rather than dog", "edge left of box 3", "dog at 120,80", or a class of the whole image'
_BOX = re.compile(r"box\s*#?(\d+)\s*(?::\s*(.+))?", re.IGNORECASE | re.DOTALL)
_EDGE = re.compile(r"(?:edge\s+(\w+)|(\w+)\s+edge)\s+of\s+box\s*#?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class DetectionTargets:
    """What can be asked about the output of a detector, whose format is that of `detection.candidates`.

    Attributes:
        threshold: Smallest probability of a detection.
        iou: Intersection over union above which non-maximum suppression removes the less probable of two detections of
            a class; 1 for detectors without it.
        n_before: Number of most probable candidates that are compared in it; 0 for all.
    """

    threshold: float = 0.3
    iou: float = 0.5
    n_before: int = 1000
    reads_output_only: ClassVar[bool] = True

    @property
    def kind(self) -> str:
        """Return "detection"."""
        return "detection"

    def detect(self, output: Any) -> list[Detection]:
        """Return the detections of the first image of a batch, most probable first, at most `MAX_DETECTIONS`."""
        candidates = Candidates.of(output)
        return detections(candidates, self.threshold, self.iou, MAX_DETECTIONS, n_before=self.n_before)

    def bind(self, model: Model, inputs: Tensor, spec: TargetSpec) -> tuple[BoundTarget, ...]:
        """Return what a target means for one image, see `ImageTargets.bind`.

        - None: every detection
        - "box 3": the third detection, in the order of their probabilities
        - "box 3: cat", "box 3: cat rather than dog", "box 3: not dog": another target of the same candidate
        - "edge left of box 3": the coordinate of its edge (left, top, right or bottom), in pixels of the network input
        - "dog at 120,80": the most probable detection of the class whose box contains the point; without one, the
          candidate of the class with the highest score whose box contains the point, or else whose centre is nearest:
          an object that was missed

        Raises:
            TargetError: There is no such box, edge or class, or nothing was detected.
        """
        if spec is not None and not isinstance(spec, str):
            return ()
        text = "" if spec is None else spec.strip()
        box, edge, point = _BOX.fullmatch(text), _EDGE.fullmatch(text), POINT.search(text)
        name = text[: point.start()].strip() if point else ""
        if spec is not None and not (box or edge or name):
            return ()
        with torch.no_grad():
            candidates = Candidates.of(_evaluated(model.network)(inputs))
        found = detections(candidates, self.threshold, self.iou, MAX_DETECTIONS, n_before=self.n_before)
        bound = _Binding(self, model, candidates, found)
        if box:
            return (bound.box(int(box[1]), box[2]),)
        if edge:
            return (bound.edge(edge[1] or edge[2], int(edge[3])),)
        if point:
            return (bound.at(name, (_number(point[1], text), _number(point[2], text))),)
        return bound.all()

    def further(self, model: Model, inputs: Tensor) -> list[tuple[int, Region]]:
        """Return the classes and boxes of the detections beyond the `MAX_DETECTIONS` that `bind` returns."""
        with torch.no_grad():
            candidates = Candidates.of(_evaluated(model.network)(inputs))
        found = detections(candidates, self.threshold, self.iou, MAX_COMPARED, n_before=self.n_before)
        return [(each.index, Region(each.box)) for each in found[MAX_DETECTIONS:]]


def detector_model(
    network: nn.Module,
    preprocessing: Preprocessing,
    labels: Sequence[str],
    targets: DetectionTargets,
    *,
    layer: str | int | None = None,
    spec: str = "",
) -> Model:
    """Return a detector as a model, whose classes are those of the whole image: the maximum over the candidates.

    Args:
        network: A network that returns candidates, see `detection.candidates`.
        preprocessing: The preprocessing.
        labels: Class names without the background, in the order of the scores.
        targets: What can be asked about one image.
        layer: The default layer; None to choose it automatically.
        spec: The specification that it was loaded from.
    """
    return Model(
        network,
        preprocessing,
        tuple(labels),
        layer,
        ImageScores(),
        spec,
        "multilabel",
        probabilities=False,
        image_targets=targets,
    )


@dataclass(frozen=True)
class _Binding:
    """The detections of one image.

    Attributes:
        targets: The settings.
        model: The detector.
        candidates: Its candidates.
        found: Its detections.
    """

    targets: DetectionTargets
    model: Model
    candidates: Candidates
    found: Sequence[Detection]

    def all(self) -> tuple[BoundTarget, ...]:
        if not self.found:
            raise NothingFound(
                f"nothing was detected with a probability of at least {self.targets.threshold:.0%}."
                f"{self._most_probable()} Ask why an object was missed, as class at x,y (in pixels), or explain a "
                "class of the whole image.",
                f"no detection above {self.targets.threshold:g}",
            )
        return tuple(self.box(number, None) for number in range(1, len(self.found) + 1))

    def box(self, number: int, target: str | None) -> BoundTarget:
        detection = self._numbered(number)
        spec = f"box {number}"
        if target is None:
            label = f"{self._name(detection)} ({spec})"
            return self._bound(detection, detection.index, label, spec, spec)
        asked = " ".join(target.split())
        return self._bound(detection, asked, f"{spec}: {asked}", f"{spec}: {asked}", spec)

    def edge(self, name: str, number: int) -> BoundTarget:
        detection = self._numbered(number)
        if name.lower() not in EDGES:
            raise TargetError(f"a box has no edge {name!r}: it has {', '.join(EDGES)}.")
        edge = EDGES.index(name.lower())
        label = f"{EDGES[edge]} edge of box {number}"
        reader = BoxEdge(reader_of(self.candidates, detection), edge)
        model = replace(
            self.model, output=reader, image_targets=None, labels=(label,), task="regression", probabilities=False
        )
        spec = f"edge {EDGES[edge]} of box {number}"
        return BoundTarget(model, 0, label, spec, self._region(detection, f"box {number}"))

    def at(self, name: str, point: tuple[float, float]) -> BoundTarget:
        name = name.strip()
        index = index_of(name, self.model.labels, self.candidates.scores.shape[2])
        for number, detection in enumerate(self.found, 1):
            if detection.index == index and _contains(torch.tensor(detection.box), point):
                return self.box(number, None)
        detection = self._missed(index, point)
        spec = f"{name} at {point[0]:.12g},{point[1]:.12g}"
        label = f"missed {self._name(detection)}{self._suppressed_by(detection)} at {point[0]:.12g},{point[1]:.12g}"
        bound = self._bound(detection, index, label, spec, f"missed {self._name(detection)}")
        assert bound.region is not None
        return replace(bound, region=replace(bound.region, is_missed=True))

    def _missed(self, index: int, point: tuple[float, float]) -> Detection:
        """Return the candidate of a class that is most probably at a point."""
        boxes, scores = self.candidates.boxes_of(index)[0].float(), self.candidates.scores[0, :, index]
        real = (boxes[:, 2:] > boxes[:, :2]).all(1)
        inside = real & _contains(boxes, point)
        if bool(inside.any()):
            row = int(scores.masked_fill(~inside, -torch.inf).argmax())
        else:
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            distances = (centres - torch.tensor(point, device=boxes.device)).norm(dim=1)
            row = int(distances.masked_fill(~real, torch.inf).argmin())
        return detection_at(self.candidates, row, index)

    def _suppressed_by(self, missed: Detection) -> str:
        """Return which detection of the same class suppressed a candidate, as text; empty if it is improbable."""
        if missed.probability <= self.targets.threshold:
            return ""
        for number, detection in enumerate(self.found, 1):
            if detection.index == missed.index:
                overlap = box_iou(torch.tensor(missed.box), torch.tensor(detection.box))
                if float(overlap) > self.targets.iou:
                    return f" (suppressed by box {number})"
        return ""

    def _numbered(self, number: int) -> Detection:
        if 1 <= number <= len(self.found):
            return self.found[number - 1]
        if not self.found:
            self.all()
        listed = ", ".join(f"box {i} ({self._described(d)})" for i, d in enumerate(self.found[:8], 1))
        more = f" and {len(self.found) - 8} more" if len(self.found) > 8 else ""
        raise TargetError(f"there is no box {number}: the detector found {listed}{more}. Targets are {SPECS}.")

    def _bound(self, detection: Detection, target: TargetSpec, label: str, spec: str, name: str) -> BoundTarget:
        reader = reader_of(self.candidates, detection)
        model = replace(self.model, output=reader, image_targets=None)
        return BoundTarget(model, target, label, spec, self._region(detection, name))

    def _region(self, detection: Detection, name: str) -> Region:
        probability, threshold = detection.probability, self.targets.threshold
        return Region(detection.box, name=name, probability=probability, index=detection.index, threshold=threshold)

    def _name(self, detection: Detection) -> str:
        labels = self.model.labels
        return labels[detection.index] if detection.index < len(labels) else f"class {detection.index}"

    def _described(self, detection: Detection) -> str:
        return f"{self._name(detection)} {detection.probability:.0%}"

    def _most_probable(self) -> str:
        """Return the most probable candidate as text."""
        scores = self.candidates.scores[0]
        row, index = divmod(int(scores.argmax()), scores.shape[1])
        best = detection_at(self.candidates, row, index)
        return f" The most probable candidate is {self._name(best)} with {best.probability:.1%}."


def _evaluated(network: nn.Module) -> nn.Module:
    """Return a network in eval mode, in which detectors return detections; a copy where it is in training mode."""
    if not any(module.training for module in network.modules()):
        return network
    return copy.deepcopy(network).eval()


def _contains(boxes: Tensor, point: tuple[float, float]) -> Tensor:
    """Return whether boxes `(..., 4)` contain a point."""
    x, y = point
    return (boxes[..., 0] <= x) & (x < boxes[..., 2]) & (boxes[..., 1] <= y) & (y < boxes[..., 3])


def _number(text: str, spec: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TargetError(f"{spec!r}: a point is x,y in pixels, such as 120,80.") from None
