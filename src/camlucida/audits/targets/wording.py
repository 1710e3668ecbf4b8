"""How the results of an audit are called: by the task of the model, where its rows are boxes, regions or words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from camlucida.audits.audit_result import Audit
from camlucida.evaluation.matching import MIN_IOU

_IOU = f"an intersection over union of at least {MIN_IOU:g}"


@dataclass(frozen=True)
class Wording:
    """The words for the rows of an audit.

    Attributes:
        rows: What the rows are.
        predictions: What is predicted: detections.
        objects: What is to be found: objects.
        found: The objects that were found, which are counted by the recall.
        right: The predictions that are correct, which are counted by the precision.
        criterion: When a prediction is correct, as a sentence.
        own: What the energy of a map is measured in.
        areas: What covers a fraction of the images.
        pipeline_tag: The task in the words of the Hugging Face hub.
    """

    rows: str
    predictions: str
    objects: str
    found: str
    right: str
    criterion: str
    own: str
    areas: str
    pipeline_tag: str

    @property
    def wrong(self) -> str:
        """What is not correct, among all rows."""
        return f"false {self.predictions} and missed {self.objects}"


IMAGES = Wording(
    "images",
    "predictions",
    "images",
    "correct predictions",
    "correct predictions",
    "The predicted class is the label.",
    "the box",
    "boxes",
    "image-classification",
)
"""Of audits whose rows are images, with one predicted class each; they have accuracy in place of precision and recall.
"""

OF_TARGETS = {
    "detection": Wording(
        "targets",
        "detections",
        "objects",
        "detected objects",
        "correct detections",
        f"A detection is correct if its box has {_IOU} with an object of its class, as in COCO.",
        "its own box",
        "boxes",
        "object-detection",
    ),
    "segmentation": Wording(
        "targets",
        "regions",
        "annotated classes",
        "classes that were found",
        "correct regions",
        f"A region is correct if its mask has {_IOU} with the annotated masks of its class.",
        "its own region",
        "regions",
        "image-segmentation",
    ),
    "caption": Wording(
        "targets",
        "words",
        "classes of the images",
        "classes that were named",
        "words with the right object",
        "A word is correct if it names a class that the image has.",
        "the object of its word",
        "objects",
        "image-to-text",
    ),
}
"""By the kind of target."""


def kind_of_rows(audit: Audit) -> str:
    """Return the kind of the targets of an audit: "detection", "segmentation" or "caption"."""
    for target in audit.column("target"):
        if target is not None and target.startswith("word "):
            return "caption"
        if target is not None and target.startswith("class:"):
            return "segmentation"
    return "detection"


def wording_of(audit: Audit) -> Wording:
    """Return the words for the results of an audit."""
    return OF_TARGETS[kind_of_rows(audit)] if audit.has_targets else IMAGES


def target_sentences(audit: Audit) -> list[str]:
    """Return recall and precision of an audit of targets, in the words of its task."""
    words, counts = wording_of(audit), audit.summary
    n_correct, n_false, n_missed = (int(counts[f"n_{name}"]) for name in ("correct", "false", "missed"))
    sentences = []
    if counts["recall"] is not None:
        n = n_correct + n_missed
        sentences.append(f"{words.found}: {n_correct:,} of {n:,} (recall {counts['recall']:.1%}), {n_missed:,} missed")
    if counts["precision"] is not None:
        n, rate = n_correct + n_false, counts["precision"]
        sentences.append(f"{words.right}: {n_correct:,} of {n:,} (precision {rate:.1%}), {n_false:,} false")
    if counts["n_ignored"]:
        sentences[-1:] = [f"{line}, {counts['n_ignored']:,} ignored" for line in sentences[-1:]]
    if not sentences:
        return [f"{counts['n_rows']:,} {words.predictions}, none of which can be judged: the data name no objects"]
    iou = mean_iou(audit)
    further = "" if iou is None else f" Mean intersection over union of the correct ones: {iou:.2f}."
    return [*sentences, words.criterion + further]


def mean_iou(audit: Audit) -> float | None:
    """Return the mean intersection over union of correct boxes or masks with their objects; None for words."""
    values: Any = audit.column("iou").astype(np.float64)[audit.column("outcome") == "correct"]
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
