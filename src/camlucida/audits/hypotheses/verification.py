"""Verification of a hypothesis by intervention: what is measured, and when a cue counts as verified."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch

from camlucida._optional import need
from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate, Floats, Indices
from camlucida.audits.hypotheses.interventions import Covered, Pasted, cover, transplant
from camlucida.audits.hypotheses.objects import ObjectEvidence, object_evidence
from camlucida.audits.hypotheses.regions import Regions, locate
from camlucida.audits.hypotheses.scoring import Scorer
from camlucida.audits.hypotheses.settings import Settings
from camlucida.evaluation.statistics import Interval, percentile_interval, resamples


@dataclass(frozen=True, eq=False)
class Verification:
    """What the interventions of one hypothesis showed.

    Attributes:
        rows: Rows of the tested members `(n,)`.
        regions: Region of the cue in each of them.
        covered: What becomes of the members' class when the region is covered.
        pasted: What becomes of images of other classes when the region is pasted.
        control_pasted: The same with the strongest evidence of images of the class that are not members.
        drop: Mean drop of the log-odds when covered, less that at other positions.
        gain: Fraction of the recipients that are predicted as the class with the cue, less that with the control
            patches.
        p_cover: One-sided p-value of the drop (Wilcoxon's signed-rank test over members).
        p_paste: One-sided p-value of the rise of the log-odds of recipients (Mann-Whitney test, members against control
            images).
        objects: What is known from boxes or masks; None without them.
        n_forwards: Number of images that the network was run on.
    """

    rows: Indices
    regions: Regions
    covered: Covered
    pasted: Pasted
    control_pasted: Pasted
    drop: Interval
    gain: Interval
    p_cover: float
    p_paste: float
    objects: ObjectEvidence | None
    n_forwards: int

    @property
    def p(self) -> float:
        """The p-value of the hypothesis: the larger one, since both interventions must have an effect."""
        return max(self.p_cover, self.p_paste)


def verify(scorer: Scorer, arrays: AuditArrays, candidate: Candidate, settings: Settings) -> Verification:
    """Test a hypothesis by intervention.

    Args:
        scorer: Runs the model.
        arrays: The audit.
        candidate: The group of images.
        settings: The settings.
    """
    rng = np.random.default_rng([settings.seed, key_of(candidate)])
    before = scorer.n_forwards
    members = _sample(candidate.members, settings.max_members, rng)
    others = _sample(candidate.others, settings.max_controls, rng)
    targets = _targets(arrays, candidate)
    size = (int(n) for n in scorer.load(_indices(arrays, members[:1])[0]).inputs.shape[-2:])
    own, controls = locate(arrays, candidate, members, others, tuple(size))  # type: ignore[arg-type]
    recipients = _recipients(arrays, candidate, settings, rng)
    images, control_images = _indices(arrays, members), _indices(arrays, others)
    covered = cover(scorer, images, torch.from_numpy(targets[members]), own, settings.n_positions, rng)
    recipient_scores = scorer.scores(scorer.inputs(recipients.tolist()))
    pasted, control_pasted = (
        transplant(
            scorer,
            indices,
            torch.from_numpy(targets[rows]),
            regions,
            recipients,
            recipient_scores,
            settings.max_controls,
        )
        for indices, rows, regions in ((images, members, own), (control_images, others, controls))
    )
    return Verification(
        members,
        own,
        covered,
        pasted,
        control_pasted,
        _mean_interval(covered.drops - covered.control_drops, settings.seed),
        _difference_interval(pasted.gained, control_pasted.gained, settings.seed),
        _signed_rank_p(covered.drops - covered.control_drops),
        _rank_sum_p(pasted.rises, control_pasted.rises),
        object_evidence(scorer, images, torch.from_numpy(targets[members]), own),
        scorer.n_forwards - before,
    )


def key_of(candidate: Candidate) -> int:
    """Return a number that identifies a candidate, for its random numbers and for resuming."""
    name = f"{candidate.kind}/{candidate.grouping}/{candidate.class_index}/{candidate.members.tolist()}"
    return zlib.crc32(name.encode())


def _sample(rows: Indices, n: int, rng: np.random.Generator) -> Indices:
    return np.sort(rng.choice(rows, n, replace=False)) if len(rows) > n else rows


def _indices(arrays: AuditArrays, rows: Indices) -> Indices:
    """Return the indices of rows in the data set."""
    return arrays.column("index")[rows].astype(np.int64)


def _targets(arrays: AuditArrays, candidate: Candidate) -> Indices:
    """Return the class of each row whose score is measured; -1 without one."""
    column = arrays.column("label_index" if candidate.grouping == "label" else "predicted_index")
    return np.where(np.isnan(column), -1, column).astype(np.int64)


def _recipients(
    arrays: AuditArrays, candidate: Candidate, settings: Settings, rng: np.random.Generator
) -> Indices:
    """Return indices of images into which patches are pasted: those of other classes, or any of all classes."""
    predicted, labels = arrays.column("predicted_index"), arrays.column("label_index")
    usable = ~np.isnan(predicted)
    if candidate.class_index is not None:
        usable &= (predicted != candidate.class_index) & (labels != candidate.class_index)
    return _indices(arrays, _sample(np.flatnonzero(usable), settings.max_controls, rng))


def _mean_interval(values: Floats, seed: int) -> Interval:
    drawn = np.concatenate([counts @ values / len(values) for counts in resamples(len(values), seed=seed)])
    return percentile_interval(float(values.mean()), drawn, len(values))


def _difference_interval(first: Floats, second: Floats, seed: int) -> Interval:
    """Return the difference of two means of independent groups with its bootstrap interval."""
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if not len(first) or not len(second):
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = [
        np.concatenate([counts @ values / len(values) for counts in resamples(len(values), seed=seed + i)])
        for i, values in enumerate((first, second))
    ]
    return percentile_interval(float(first.mean() - second.mean()), drawn[0] - drawn[1], min(len(first), len(second)))


def _signed_rank_p(differences: Floats) -> float:
    if not differences.any():
        return 1.0
    stats = need("scipy.stats", extra="analysis", what="testing a hypothesis")
    return float(stats.wilcoxon(differences, alternative="greater").pvalue)


def _rank_sum_p(first: Floats, second: Floats) -> float:
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if not len(first) or not len(second):
        return float("nan")
    stats = need("scipy.stats", extra="analysis", what="testing a hypothesis")
    return float(stats.mannwhitneyu(first, second, alternative="greater").pvalue)
