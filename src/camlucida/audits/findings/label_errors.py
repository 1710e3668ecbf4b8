"""Likely label errors: confident learning on the outputs, and neighbors in feature space with another label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.feature_neighbors import neighbors, unit_features
from camlucida.audits.json_values import json_values, number
from camlucida.evaluation.statistics import Floats
from camlucida.types import ProgressCallback

N_NEIGHBORS = 10
MIN_DISAGREEMENT = 0.5
"""Fraction of the neighbors that must share one other label."""
MAX_LISTED = 1000
MAX_FRACTION = 0.3
"""Largest fraction of the labels that may be found wrong; of more, the model is rather wrong than the labels."""
CONFIDENT_LEARNING, NEIGHBORS = "confident learning", "neighbors"
"""Reasons for listing an image."""


@dataclass(frozen=True)
class LabelError:
    """An image whose label is likely wrong.

    Attributes:
        row: Index of the row.
        image: Name of the image.
        label: The label.
        suggested: The class that the label should probably be.
        score: In [0, 1], larger for images that are more likely mislabelled; see `LabelScores`.
        reasons: "confident learning", "neighbors", or both.
        label_confidence: Probability that the model gives the label.
        suggested_confidence: Probability of the most probable other class.
        disagreement: Fraction of the nearest neighbors with another label; NaN without features.
    """

    row: int
    image: str
    label: str
    suggested: str
    score: float
    reasons: tuple[str, ...]
    label_confidence: float
    suggested_confidence: float
    disagreement: float


@dataclass(frozen=True, eq=False)
class LabelScores:
    """How likely the label of each of n images is wrong; rows without a label have NaN and False.

    Attributes:
        score: In [0, 1]: the mean of the margin and the disagreement of the neighbors, where both are known.
        margin: Probability of the most probable other class minus that of the label, scaled to [0, 1].
        disagreement: Fraction of the nearest neighbors with another label.
        confident: Whether confident learning finds the label wrong (Northcutt et al., JAIR 2021): the class with the
            highest probability among those whose probability is at least its threshold is another one. The threshold
            of a class is the mean probability of the class over the images with this label. The table holds the two
            most probable classes and the label, so that a class of lower rank is never suggested.
        neighbor_label: The most frequent other label among the neighbors, if at least half of them have it; -1 if not.
        n_estimated: Estimated number of wrong labels: the confident joint, scaled to the number of images per label.
        exclusive: Whether the probabilities are those of exclusive classes. If not, only neighbors are used.
    """

    score: Floats
    margin: Floats
    disagreement: Floats
    confident: NDArray[np.bool_]
    neighbor_label: NDArray[np.int64]
    n_estimated: float
    exclusive: bool


@dataclass(frozen=True)
class LabelErrors:
    """The images of an audit whose labels are likely wrong, most likely first.

    Attributes:
        errors: At most `MAX_LISTED` of them.
        n_found: Number of all of them.
        n_estimated: Number of wrong labels that confident learning estimates; NaN if it could not be used.
        n_labelled: Number of images with a label that is a class of the model.
        n_train: Number of these in the split "train", whose labels the model may have learned.
        settings: What determines the result beside the data.
    """

    errors: tuple[LabelError, ...]
    n_found: int
    n_estimated: float
    n_labelled: int
    n_train: int
    settings: Mapping[str, Any]

    def sentences(self) -> list[str]:
        """Return the result in sentences."""
        if not self.n_labelled:
            return ["No image has a label that is a class of the model."]
        if self.n_found > MAX_FRACTION * self.n_labelled:
            return [
                f"The model disagrees with {self.n_found:,} of {self.n_labelled:,} labels. So many are rather "
                "errors of the model: its list of likely label errors is not reliable."
            ]
        sentences = [f"{self.n_found:,} of {self.n_labelled:,} labels are likely wrong."]
        if self.errors:
            first = self.errors[0]
            sentences.append(
                f"Most likely: {first.image} is labelled {first.label} and is probably {first.suggested} "
                f"(probability of the label {first.label_confidence:.2g}, {' and '.join(first.reasons)})."
            )
        if self.n_estimated == self.n_estimated:
            sentences.append(f"Confident learning estimates {self.n_estimated:.0f} wrong labels in all.")
        if self.n_train:
            sentences.append(
                f"{self.n_train:,} images are in the split train: a model that was trained on their labels agrees with "
                "wrong labels, too, so that errors among them are missed. Use a model that was not trained on them."
            )
        return sentences

    def record(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {"schema_version": 1, "sentences": self.sentences(), **json_values(self)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LabelErrors:
        """Return the finding from its JSON values."""
        numbers = ("score", "label_confidence", "suggested_confidence", "disagreement")
        errors = tuple(
            LabelError(**{**each, "reasons": tuple(each["reasons"]), **{key: number(each[key]) for key in numbers}})
            for each in record["errors"]
        )
        return cls(
            errors,
            n_found=int(record["n_found"]),
            n_estimated=number(record["n_estimated"]),
            n_labelled=int(record["n_labelled"]),
            n_train=int(record["n_train"]),
            settings=record["settings"],
        )


def find_label_errors(audit: Audit, *, seed: int = 0, progress: ProgressCallback | None = None) -> LabelErrors:
    """List the images of an audit whose labels are likely wrong.

    An image is listed if confident learning finds its label wrong, or if at least half of its nearest neighbors in
    feature space share one other label. A prediction that counts as correct is never listed.

    Args:
        audit: A complete audit.
        seed: Seed of the sample of neighbors in large data sets.
        progress: Called with the number of finished steps and their total.
    """
    scores = label_scores(audit, seed)
    if progress:
        progress(1, 1)
    correct = audit.column("correct")
    labelled = np.array([value is not None for value in correct])
    right = np.array([bool(value) for value in correct])
    found = np.flatnonzero(labelled & (scores.confident | (scores.neighbor_label >= 0)) & ~right)
    found = found[np.argsort(-scores.score[found], kind="stable")]
    train = (audit.column("split") == "train") & labelled
    return LabelErrors(
        tuple(_label_error(audit, int(row), scores) for row in found[:MAX_LISTED]),
        len(found),
        scores.n_estimated,
        int(labelled.sum()),
        int(train.sum()),
        {
            "seed": seed,
            "n_neighbors": N_NEIGHBORS,
            "min_disagreement": MIN_DISAGREEMENT,
            "max_listed": MAX_LISTED,
            "exclusive": scores.exclusive,
        },
    )


def label_scores(audit: Audit, seed: int = 0) -> LabelScores:
    """Compute how likely the label of each image of an audit is wrong."""
    label = np.nan_to_num(audit.column("label_index"), nan=-1).astype(np.int64)
    known = (label >= 0) & ~np.isnan(audit.column("confidence"))
    label = np.where(known, label, -1)
    confidence, competing = audit.column("confidence"), audit.column("competing_confidence")
    own = audit.column("label_confidence")
    predicted_label = known & (audit.column("predicted_index") == label)
    other = np.where(predicted_label, competing, confidence)
    exclusive = not bool(np.any(confidence + competing > 1 + 1e-4))
    margin = np.where(known, (other - own + 1) / 2, np.nan) if exclusive else np.full(len(label), np.nan)
    disagreement, neighbor_label = _neighbor_labels(audit, label, seed)
    parts = np.stack([margin, disagreement])
    counted = (~np.isnan(parts)).sum(0)
    score = np.divide(np.nansum(parts, axis=0), counted, out=np.full(len(label), np.nan), where=counted > 0)
    confident, n_estimated = np.zeros(len(label), dtype=np.bool_), float("nan")
    if exclusive and known.any():
        confident, n_estimated = _confident_learning(audit, label, known)
    return LabelScores(score, margin, disagreement, confident, neighbor_label, n_estimated, exclusive)


def _confident_learning(
    audit: Audit, label: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], float]:
    """Return which labels confident learning finds wrong, and the estimated number of wrong labels."""
    own = np.where(known, audit.column("label_confidence"), 0.0)
    classes = [np.nan_to_num(audit.column(f"{w}_index"), nan=0).astype(np.int64) for w in ("predicted", "competing")]
    highest = max(int(each.max(initial=0)) for each in (label, *classes)) + 1
    size = np.bincount(label[known], minlength=highest)
    sums = np.bincount(label[known], own[known], minlength=highest)
    threshold = np.divide(sums, size, out=np.full(highest, np.inf), where=size > 0)  # without images: never suggested
    passes = [
        known & (audit.column(column) >= threshold[index])
        for column, index in zip(("confidence", "competing_confidence"), classes, strict=True)
    ]
    by_rank = np.where(passes[0], classes[0], np.where(passes[1], classes[1], -1))
    # a label of a lower rank passes, and no class above it does
    assigned = np.where((by_rank < 0) & known & (own >= threshold[label.clip(0)]), label, by_rank)
    right = np.array([bool(value) for value in audit.column("correct")])
    off = known & (assigned >= 0) & (assigned != label) & ~right
    counted = np.bincount(label[known & (assigned >= 0)], minlength=highest)
    wrong = np.bincount(label[off], minlength=highest)
    fraction = np.divide(wrong, counted, out=np.zeros(highest), where=counted > 0)
    return off, float(fraction @ size)


def _neighbor_labels(audit: Audit, label: NDArray[np.int64], seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the fraction of neighbors with another label, and the label that at least half of them share, or -1."""
    disagreement, suggested = np.full(len(label), np.nan), np.full(len(label), -1, dtype=np.int64)
    features, rows = unit_features(audit)
    labelled = label[rows] >= 0 if len(rows) else np.zeros(0, dtype=np.bool_)
    features, rows = features[labelled], rows[labelled]
    indices, _ = neighbors(features, N_NEIGHBORS, seed)
    if not indices.size:
        return disagreement, suggested
    found = label[rows][indices]
    differs = found != label[rows][:, None]
    disagreement[rows] = differs.mean(1)
    ordered = np.sort(np.where(differs, found, -1), axis=1)
    for position in range(ordered.shape[1]):  # the label at this position, if it occurs often enough
        candidate = ordered[:, position]
        often = ((ordered == candidate[:, None]).mean(1) >= MIN_DISAGREEMENT) & (candidate >= 0)
        suggested[rows[often]] = candidate[often]
    return disagreement, suggested


def _label_error(audit: Audit, row: int, scores: LabelScores) -> LabelError:
    values = audit.table.slice(row, 1).to_pylist()[0]
    is_confident, neighbor = bool(scores.confident[row]), int(scores.neighbor_label[row])
    reasons = [CONFIDENT_LEARNING] * is_confident + [NEIGHBORS] * (neighbor >= 0)
    other = "competing" if values["predicted_index"] == values["label_index"] else "predicted"
    names = audit.plan["labels"]
    of_neighbors = names[neighbor] if 0 <= neighbor < len(names) else f"class {neighbor}"
    return LabelError(
        row=row,
        image=values["image"],
        label=values["label"],
        suggested=values[other] if is_confident else of_neighbors,
        score=float(scores.score[row]),
        reasons=tuple(reasons),
        label_confidence=float(values["label_confidence"]),
        suggested_confidence=float(values["competing_confidence" if other == "competing" else "confidence"]),
        disagreement=float(scores.disagreement[row]),
    )
