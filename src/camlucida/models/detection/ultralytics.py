"""Detectors of ultralytics (YOLO v5 to 12, 26 and variants) as networks that return their candidates.

The package ultralytics is optional, and only imported to read a checkpoint that the user trusts. A network or a `YOLO`
object is recognised by the names of its classes. It is neither fused nor modified.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from camlucida._optional import need
from camlucida.errors import ModelError
from camlucida.models.detection.candidates import Detector
from camlucida.models.detection.targets import DetectionTargets, detector_model
from camlucida.models.file_formats import pickled_classes
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing
from camlucida.models.quoting import printable

HEADS = frozenset({"Detect", "v10Detect", "Segment", "Segment26", "Pose", "Pose26"})
"""Heads whose boxes are upright and whose classes are fixed; of those of masks and keypoints, only boxes are read."""
SIZE_PX = 640
"""Input size of a network that does not store the one it was trained at."""
FILL = 114 / 255
"""Grey level of the letterbox padding."""
THRESHOLD, IOU = 0.25, 0.7
"""Smallest probability of a detection, and the intersection over union of suppression: the defaults of `predict`."""


class UltralyticsDetector(Detector):
    """A detector of ultralytics that returns its candidates, one per position of its grids, before suppression.

    Attributes:
        network: The network, a `DetectionModel`, which is not modified.
    """

    fixed_order = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the boxes `(b, n, 4)` in pixels of the input and the logits `(b, n, C)` before the sigmoid.

        A head with two branches has trained one of them, "one2one", to return one candidate per object. The network
        itself returns the most probable candidates of that branch, which are selected from these.
        """
        output = self.network(images)
        head: Any = detection_head(self.network)
        raw = output[1] if isinstance(output, tuple) and len(output) == 2 else None
        if isinstance(raw, dict) and "one2one" in raw:
            raw = raw["one2one" if head.end2end else "one2many"]
        if not isinstance(raw, dict) or not {"boxes", "scores"} <= raw.keys():
            raise ModelError(
                f"{type(self.network).__name__} returned {type(output).__name__} instead of decoded boxes and the "
                "scores that they were made of. Needed is ultralytics 8.4 or later, a network in eval mode, and a head "
                "that is not set to export."
            )
        logits: Tensor = raw["scores"].transpose(1, 2)
        decoded = head.decode_bboxes(head.dfl(raw["boxes"]), head.anchors.unsqueeze(0)) * head.strides
        boxes: Tensor = decoded.transpose(1, 2)
        if not (head.xyxy or head.end2end):
            centre, size = boxes.chunk(2, -1)
            boxes = torch.cat([centre - size / 2, centre + size / 2], -1)
        return {"boxes": boxes, "scores": logits}


def detection_head(network: Any) -> nn.Module | None:
    """Return the head of a detector of ultralytics, its last module; None if the network is none."""
    if not isinstance(network, nn.Module) or not _is_of(network, "ultralytics.nn"):
        return None
    layers = getattr(network, "model", None)
    last = layers[-1] if isinstance(layers, nn.Sequential) and len(layers) else None
    is_detection = last is not None and any(cls.__name__ in (*HEADS, "Detect") for cls in type(last).__mro__)
    return last if is_detection else None


def is_detector(value: Any) -> bool:
    """Return whether a value is a `YOLO` object with a detector, or the network of one."""
    return detection_head(inner_network(value)) is not None


def inner_network(value: Any) -> Any:
    """Return the network of a `YOLO` object; other values as they are."""
    is_wrapper = _is_of(value, "ultralytics.models") or _is_of(value, "ultralytics.engine")
    return getattr(value, "model", None) if is_wrapper else value


def wrap_detector(value: Any, preprocess: Any, numbers: dict[str, Any]) -> Model:
    """Return the model of a `YOLO` object or a `DetectionModel`.

    The image is resized to fit the input size, 640×640 unless the network stores another, and padded with grey on both
    sides.

    Args:
        value: The object or network.
        preprocess: As of `wrap`.
        numbers: Parameters of `make_preprocessing`.

    Raises:
        ModelError: The head has rotated boxes or classes from texts.
    """
    network = inner_network(value)
    head: Any = detection_head(network)
    kind = type(head).__name__
    if kind not in HEADS:
        raise ModelError(
            f"this {type(network).__name__} has the head {kind}, which is not supported: boxes of YOLO are explained "
            "for upright boxes of fixed classes (YOLOv5, v8 to v12, 26, also with masks or keypoints)."
        )
    if preprocess is None:
        side = _stored_size(value, network)
        preprocess = Preprocessing(side, None, "letterbox", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fill=FILL)
    return detector_model(
        UltralyticsDetector(network),
        make_preprocessing(preprocess, **numbers),
        class_labels(network),
        DetectionTargets(THRESHOLD, 1.0 if head.end2end else IOU),  # one candidate per object needs no suppression
        layer=last_backbone_layer(network),
    )


def last_backbone_layer(network: Any) -> str | None:
    """Return the name of the last layer of the backbone, which boxes of all sizes depend on; None where it is unknown.

    A later layer is read by the boxes of one grid of the head only.
    """
    described = getattr(network, "yaml", None)
    backbone = described.get("backbone") if isinstance(described, dict) else None
    if not isinstance(backbone, list) or not 0 < len(backbone) < len(network.model):
        return None
    return f"network.model.{len(backbone) - 1}"


def class_labels(network: Any) -> tuple[str, ...]:
    """Return the class names that a network stores; none where they are only 0, 1, 2, …"""
    names = getattr(network, "names", None)
    listed = [names.get(index) for index in range(len(names))] if isinstance(names, dict) else list(names or ())
    if not listed or None in listed or [str(name) for name in listed] == [str(i) for i in range(len(listed))]:
        return ()
    return tuple(str(name) for name in listed)


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is a checkpoint of ultralytics, which pickles the network. Nothing in it is executed."""
    return any(name.startswith("ultralytics.nn.") for name in pickled_classes(path))


def load(path: Path, trust_code: bool) -> Model:
    """Load a checkpoint of ultralytics, which executes the code in it.

    Args:
        path: The file.
        trust_code: Whether the user trusts that code.

    Raises:
        ModelError: The file is not trusted, cannot be read, or contains no detector.
    """
    name = printable(path.name)
    if not trust_code:
        raise ModelError(
            f"{name} is a checkpoint of ultralytics, which is code that runs when it is loaded. If you trust it: "
            f"load({name!r}, trust_code=True) (--trust-code), or wrap(YOLO({name!r}))."
        )
    with _offline():
        need("ultralytics", extra="ultralytics", what=name)
        try:
            content = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:  # pickles raise errors of any type
            raise ModelError(f"{name} cannot be loaded: {printable(error, 300)}") from None
    network: Any = (content.get("ema") or content.get("model")) if isinstance(content, dict) else content
    if not is_detector(network):
        raise ModelError(f"{name} contains {type(network).__name__}, which is not a detector of ultralytics.")
    return wrap_detector(network.float().eval(), None, {})


@contextmanager
def _offline() -> Iterator[None]:
    """Keep ultralytics from asking for a connection when it is imported."""
    before = os.environ.get("YOLO_OFFLINE")
    os.environ["YOLO_OFFLINE"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["YOLO_OFFLINE"]
        else:
            os.environ["YOLO_OFFLINE"] = before


def _stored_size(value: Any, network: Any) -> tuple[int, int]:
    """Return (height, width) of the input that a network was trained at."""
    for settings in (getattr(value, "overrides", None), getattr(network, "args", None)):
        get = settings.get if isinstance(settings, dict) else lambda key, s=settings: getattr(s, key, None)
        side = get("imgsz")
        if isinstance(side, int) and side > 0:
            return side, side
        if isinstance(side, list | tuple) and len(side) == 2 and all(isinstance(n, int) and n > 0 for n in side):
            return side[0], side[1]
    return SIZE_PX, SIZE_PX


def _is_of(value: Any, package: str) -> bool:
    return any(cls.__module__ == package or cls.__module__.startswith(f"{package}.") for cls in type(value).__mro__)
