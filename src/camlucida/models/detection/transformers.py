"""Detectors of transformers: DETR and its variants, as networks that return their candidates.

A softmax detector (DETR, Table Transformer, YOLOS) has one more output than classes, "no object"; the others have a
sigmoid per class. Which of the two a class of transformers is, its own post-processing says, and the number of outputs
is checked against it in every forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.detection.aspect_ratio import measure_detector_preprocessing
from camlucida.models.detection.candidates import Detector, log_odds
from camlucida.models.detection.targets import DetectionTargets, detector_model
from camlucida.models.hugging_face_preprocessing import default_processor
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing

SOFTMAX = frozenset({"DetrForObjectDetection", "TableTransformerForObjectDetection", "YolosForObjectDetection"})
"""Detectors whose class probabilities are a softmax over the classes and "no object"."""
SIGMOID = frozenset(
    {
        "ConditionalDetrForObjectDetection",
        "DabDetrForObjectDetection",
        "DeformableDetrForObjectDetection",
        "DFineForObjectDetection",
        "LwDetrForObjectDetection",
        "RfDetrForObjectDetection",
        "RTDetrForObjectDetection",
        "RTDetrV2ForObjectDetection",
    }
)
"""Detectors with a sigmoid per class."""
DETECTORS = SOFTMAX | SIGMOID
LEARNED_QUERIES = SOFTMAX | {
    "ConditionalDetrForObjectDetection",
    "DabDetrForObjectDetection",
    "DeformableDetrForObjectDetection",
}
"""Detectors whose object queries are weights. Those of the others are selected from the positions of the encoder."""
THRESHOLD = 0.5
"""Smallest probability of a detection, the default of `post_process_object_detection`."""
FAMILIES = (
    "DETR", "conditional, deformable and DAB DETR", "RT-DETR", "D-FINE", "LW-DETR", "RF-DETR", "YOLOS",
    "Table Transformer",
)  # fmt: skip


class TransformersDetector(Detector):
    """A detector of transformers that returns its candidates, one per object query, before they are filtered.

    Attributes:
        network: The detector, which is not modified.
        is_softmax: Whether the last output of each query is "no object" in a softmax with the classes.
        n_classes: Number of classes, without "no object".
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training
        self.is_softmax = _class_name(network) in SOFTMAX
        config: Any = network.config
        self.n_classes = int(config.num_labels)
        self.fixed_order = _class_name(network) in LEARNED_QUERIES and not getattr(config, "two_stage", False)

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Return the boxes `(b, n, 4)` in pixels of the input and the log-odds `(b, n, C)` of the classes.

        The pixel mask is 1 everywhere: all images of a batch have the size of the batch.
        """
        output = self.network(pixel_values)
        logits: Tensor = output.logits
        if logits.shape[-1] != self.n_classes + self.is_softmax:
            raise ModelError(
                f"{_class_name(self.network)} has {logits.shape[-1]} outputs per box, but {self.n_classes} classes in "
                f"its configuration{' and one for no object' if self.is_softmax else ''}. Correct config.num_labels."
            )
        height, width = pixel_values.shape[-2:]
        centre, size = output.pred_boxes.split(2, -1)
        scale = torch.tensor([width, height, width, height]).to(centre)
        boxes = torch.cat([centre - size / 2, centre + size / 2], -1) * scale
        return {"boxes": boxes, "scores": log_odds(logits)[..., :-1] if self.is_softmax else logits}


def is_detector(network: Any) -> bool:
    """Return whether a value is a detector of transformers that this module supports, or of a subclass of one."""
    return isinstance(network, nn.Module) and _class_name(network) in DETECTORS


def wrap_detector(network: nn.Module, preprocess: Any, numbers: dict[str, Any]) -> Model:
    """Return the model of a detector, with the default image processor of its type unless others are given.

    Size, mean and standard deviation together replace it, also where it cannot be reproduced (RF-DETR resizes without
    antialiasing).

    Args:
        network: The detector.
        preprocess: As of `wrap`.
        numbers: Parameters of `make_preprocessing`.
    """
    import transformers

    name = type(network).__name__
    is_given = {"size", "mean", "std"} <= set(numbers)
    if (
        preprocess is None
        and not is_given
        and (processor := default_processor(transformers, network.config)) is not None
    ):
        preprocess = preprocessing_of(processor, name)
    elif hasattr(preprocess, "preprocess"):  # an image processor
        preprocess = preprocessing_of(preprocess, name)
    return detection_model(network, make_preprocessing(preprocess, **numbers))


def preprocessing_of(processor: Any, name: str) -> Preprocessing:
    """Return the preprocessing that was measured to equal an image processor, see `measure_detector_preprocessing`."""
    return measure_detector_preprocessing(processor, name).preprocessing


def detection_model(network: nn.Module, preprocessing: Preprocessing) -> Model:
    """Return the model of a detector, explained at the last stage of its backbone where that is known."""
    adapter = TransformersDetector(network)
    labels, targets = class_labels(network.config), DetectionTargets(THRESHOLD, iou=1.0)
    return detector_model(adapter, preprocessing, labels, targets, layer=default_layer(adapter))


def default_layer(network: nn.Module) -> str | None:
    """Return the name of the last stage of a backbone; None where its structure is not known.

    Without it, the engine chooses a layer, which is the output of the encoder in DETR, where attention has mixed all
    positions. YOLOS has no backbone: after its last attention, only the tokens of the boxes are read, and the norm
    before that attention is the last layer whose patches matter.
    """
    name: str
    for name, module in network.named_modules():
        parts = name.split(".")
        if isinstance(module, nn.ModuleList) and name.endswith("vit.encoder.layer"):
            return f"{name}.{len(module) - 1}.layernorm_before"
        if "backbone" not in parts:
            continue
        if isinstance(module, nn.ModuleList) and parts[-1] == "stages" and len(module):
            return f"{name}.{len(module) - 1}"
        if parts[-1] == "layer4":  # of a ResNet of timm
            return name
        if parts[-1] == "projector":  # of LW-DETR and RF-DETR, whose ViT computes in windows
            levels = getattr(module, "scale_layers", ())
            return f"{name}.scale_layers.{len(levels) - 1}" if len(levels) else name
    return None


def class_labels(config: Any) -> tuple[str, ...]:
    """Return the class names of a configuration; none where they are only LABEL_0, LABEL_1, …"""
    names = config.id2label
    if not isinstance(names, dict) or set(names) != set(range(len(names))):
        return ()
    if all(str(label) == f"LABEL_{index}" for index, label in names.items()):
        return ()
    return tuple(str(names[index]) for index in range(len(names)))


def _class_name(network: Any) -> str:
    """Return the name of the class of transformers that a network is of, also for a subclass of the user."""
    for cls in type(network).__mro__:
        if cls.__module__.startswith("transformers.") and cls.__name__ in DETECTORS:
            return cls.__name__
    return ""
