"""Detectors of torchvision as models: Faster R-CNN (also of Mask and Keypoint R-CNN), RetinaNet, FCOS, SSD, SSDlite.

The adapters run the detector's own backbone, proposals and heads, and stop before non-maximum suppression. They take
network inputs that are resized and normalised already, in place of the detector's `transform`, whose mean, standard
deviation and size the preprocessing has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.detection.candidates import Detector, log_odds, pad_candidates
from camlucida.models.detection.resize_classes import number_of_outputs
from camlucida.models.detection.targets import DetectionTargets, detector_model
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing
from camlucida.models.triton_conflict import prevent_abort

MIN_PROBABILITY = 0.3
"""Smallest probability of a detection that is explained, where the detector's own threshold is lower.

Those of torchvision, 0.001 to 0.2, are made for precision-recall curves, and keep many boxes without an object.
"""
BACKGROUND = "__background__"
NO_CLASS = (BACKGROUND, "N/A")
"""Names of outputs that are no classes, in torchvision's categories of COCO."""


class TorchvisionDetector(Detector):
    """A detector of torchvision that returns its candidates, see `detection.candidates`.

    Args:
        detector: The detector, in eval mode.
        columns: Which outputs are classes: their labels in the detector's own numbering.
    """

    def __init__(self, detector: nn.Module, columns: Sequence[int]) -> None:
        super().__init__()
        self.detector = detector
        self.columns = list(columns)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the candidates of normalised network inputs `(b, 3, H, W)`."""
        from torchvision.models.detection.image_list import ImageList

        images = ImageList(x, [(x.shape[-2], x.shape[-1])] * len(x))
        detector: Any = self.detector
        features = detector.backbone(x)
        levels = {"0": features} if isinstance(features, Tensor) else features
        return self._candidates(detector, images, levels)

    def _candidates(self, detector: Any, images: Any, features: Any) -> dict[str, Tensor]:
        raise NotImplementedError


class TwoStageDetector(TorchvisionDetector):
    """Faster R-CNN: one candidate per proposal, with a box per class and a softmax that includes the background."""

    def _candidates(self, detector: Any, images: Any, features: Any) -> dict[str, Tensor]:
        proposals, _ = detector.rpn(images, features)
        heads = detector.roi_heads
        pooled = heads.box_head(heads.box_roi_pool(features, proposals, images.image_sizes))
        logits, regression = heads.box_predictor(pooled)
        boxes = _clipped(heads.box_coder.decode(regression, proposals), images)
        scores = log_odds(logits)[:, self.columns]
        counts = [len(boxes_of_image) for boxes_of_image in proposals]
        of_classes: Tensor = boxes[:, self.columns]
        return pad_candidates(list(zip(torch.split(of_classes, counts), torch.split(scores, counts), strict=True)))


class RetinaNetDetector(TorchvisionDetector):
    """RetinaNet: one candidate per anchor, and a sigmoid per class."""

    fixed_order = True

    def _candidates(self, detector: Any, images: Any, features: Any) -> dict[str, Tensor]:
        outputs, boxes = _dense_outputs(detector, images, features, detector.box_coder.decode_single)
        return {"boxes": boxes, "scores": outputs["cls_logits"][:, :, self.columns]}


class FCOSDetector(TorchvisionDetector):
    """FCOS: one candidate per cell, whose probability is the geometric mean of class probability and centerness."""

    fixed_order = True

    def _candidates(self, detector: Any, images: Any, features: Any) -> dict[str, Tensor]:
        outputs, boxes = _dense_outputs(detector, images, features, detector.box_coder.decode)
        logsigmoid = nn.functional.logsigmoid
        classes = outputs["cls_logits"][:, :, self.columns]
        log_probability = (logsigmoid(classes) + logsigmoid(outputs["bbox_ctrness"])) / 2
        scores = log_probability - (-torch.expm1(log_probability)).clamp_min(torch.finfo(classes.dtype).tiny).log()
        return {"boxes": boxes, "scores": scores}


class SSDDetector(TorchvisionDetector):
    """SSD and SSDlite: one candidate per default box, and a softmax that includes the background."""

    fixed_order = True

    def _candidates(self, detector: Any, images: Any, features: Any) -> dict[str, Tensor]:
        outputs, boxes = _dense_outputs(detector, images, features, detector.box_coder.decode_single)
        scores = log_odds(outputs["cls_logits"])[:, :, self.columns]
        return {"boxes": boxes, "scores": scores}


ADAPTERS: dict[str, type[TorchvisionDetector]] = {
    "GeneralizedRCNN": TwoStageDetector,
    "RetinaNet": RetinaNetDetector,
    "FCOS": FCOSDetector,
    "SSD": SSDDetector,
}
"""Adapter of each base class of `torchvision.models.detection`."""


def adapter_of(network: Any) -> type[TorchvisionDetector] | None:
    """Return the adapter of a detector of torchvision; None for other networks."""
    for cls in type(network).__mro__:
        if cls.__module__.startswith("torchvision.models.detection.") and cls.__name__ in ADAPTERS:
            return ADAPTERS[cls.__name__]
    return None


def is_detector(value: Any) -> bool:
    """Return whether a value is a detector of torchvision."""
    return adapter_of(value) is not None


def wrap_detector(
    detector: nn.Module,
    labels: Sequence[str] = (),
    *,
    preprocess: Any = None,
    layer: str | int | None = None,
    name: str = "",
    **numbers: Any,
) -> Model:
    """Return a detector of torchvision as a model.

    Args:
        detector: The detector. It is run in eval mode, as a copy if it is in training mode.
        labels: Class names: one per output of the detector, in which case "__background__" and "N/A" are no classes; or
            one per output without the background, which is the first. By default "class 1" and so on, in the detector's
            numbering.
        preprocess: The preprocessing; by default the size and normalisation of the detector's own transform.
        layer: The default layer; by default the last one of the backbone that all candidates depend on.
        name: The name to display.
        **numbers: Parameters of `make_preprocessing` that differ, such as size.

    Raises:
        ModelError: The network is no such detector, or the number of labels does not fit.
    """
    adapter = adapter_of(detector)
    if adapter is None:
        raise ModelError(f"{type(detector).__name__} is no detector of torchvision: those are {', '.join(ADAPTERS)}.")
    columns, names = _classes(detector, adapter, tuple(labels))
    base = _preprocessing(detector) if preprocess is None or _converts_only(preprocess) else preprocess
    own: Any = detector
    heads = own.roi_heads if adapter is TwoStageDetector else own
    targets = DetectionTargets(max(float(heads.score_thresh), MIN_PROBABILITY), float(heads.nms_thresh))
    network = adapter(detector, columns)
    network.training = detector.training  # not train(): the modules of the user's detector keep their modes
    chosen = _layer(detector) if layer is None else layer
    return detector_model(
        network, make_preprocessing(base, **numbers), names, targets, layer=chosen, spec=name or type(detector).__name__
    )


@cache
def detector_names() -> tuple[str, ...]:
    """Return the names of all detectors of torchvision."""
    prevent_abort()
    import torchvision.models as zoo

    return tuple(zoo.list_models(module=zoo.detection))


def is_known(name: str) -> bool:
    """Return whether `name`, optionally with @WEIGHTS, is a detector of torchvision."""
    return name.partition("@")[0].lower() in detector_names()


def build(name: str, **options: Any) -> nn.Module:
    """Return the architecture with random weights."""
    prevent_abort()
    import torchvision.models as zoo

    detector: nn.Module = zoo.get_model(name, weights=None, weights_backbone=None, **options)
    return detector.eval()


def _classes(
    detector: nn.Module, adapter: type[TorchvisionDetector], labels: tuple[str, ...]
) -> tuple[list[int], tuple[str, ...]]:
    """Return which outputs are classes, and their names."""
    n = number_of_outputs(detector)
    first = 1 if adapter in (TwoStageDetector, SSDDetector) else 0  # a softmax includes the background
    if not labels:
        return list(range(first, n)), tuple(f"class {k}" for k in range(first, n))
    if len(labels) == n - 1 and first:
        labels = (BACKGROUND, *labels)
    if len(labels) != n:
        raise ModelError(
            f"the detector has {n} outputs, and {len(labels)} labels were given: give one per output, with "
            f"{BACKGROUND!r} for the background{', or one per output without it' if first else ''}."
        )
    columns = [k for k in range(first, n) if labels[k] not in NO_CLASS]
    return columns, tuple(labels[k] for k in columns)


def _preprocessing(detector: Any) -> Preprocessing:
    """Return the preprocessing of a detector's own transform, for inputs of one size.

    A detector that resizes images to one size gets them so; others get a square with the image in its middle, whose
    side is the length that they resize the shorter side of an image to, rounded up to their stride.
    """
    transform = detector.transform
    mean, std = tuple(map(float, transform.image_mean)), tuple(map(float, transform.image_std))
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return Preprocessing((height, width), None, "squash", mean, std)
    stride = int(transform.size_divisible)
    side = -(-int(transform.min_size[-1]) // stride) * stride
    return Preprocessing((side, side), None, "letterbox", mean, std, fill=round(sum(mean) / len(mean), 3))


def _converts_only(preprocess: Any) -> bool:
    """Return whether transforms are those of torchvision's detectors, which only convert an image to a tensor."""
    return type(preprocess).__name__ == "ObjectDetection"


def _layer(detector: Any) -> str | None:
    """Return the last layer of the backbone on which the candidates of all sizes depend.

    The levels of a feature pyramid are sums with what comes from above, and the further levels of SSD are computed
    from the first.
    """
    backbone = detector.backbone
    body, returned = getattr(backbone, "body", None), getattr(getattr(backbone, "body", None), "return_layers", None)
    if body is not None and returned:
        return f"detector.backbone.body.{list(returned)[-1]}"
    features = getattr(backbone, "features", None)
    if isinstance(features, nn.Sequential):
        is_lite = isinstance(features[0], nn.Sequential)
        return "detector.backbone.features.0" if is_lite else "detector.backbone.features"
    return None


def _dense_outputs(detector: Any, images: Any, features: Any, decode: Any) -> tuple[dict[str, Tensor], Tensor]:
    """Return what the head of a one-stage detector returns for all levels, and the boxes `(b, n, 4)` of its deltas."""
    levels = list(features.values())
    outputs: dict[str, Tensor] = detector.head(levels)
    anchors = detector.anchor_generator(images, levels)
    boxes = [decode(deltas, own) for deltas, own in zip(outputs["bbox_regression"], anchors, strict=True)]
    return outputs, _clipped(torch.stack(boxes), images)


def _clipped(boxes: Tensor, images: Any) -> Tensor:
    """Return boxes `(..., 4)` clipped to the network input, as the detectors do."""
    height, width = images.image_sizes[0]
    limits = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp_min(0), limits)
