"""Verification of a hypothesis by intervention: what is measured, and when a cue counts as verified."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from camlucida._optional import need
from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate, Floats, Indices
from camlucida.audits.hypotheses.cue_maps import channel_weights, cue_maps
from camlucida.audits.hypotheses.interventions import Covered, Pasted, cover, transplant
from camlucida.audits.hypotheses.objects import ObjectEvidence, object_evidence
from camlucida.audits.hypotheses.regions import Box, Regions, locate
from camlucida.audits.hypotheses.scoring import Scorer
from camlucida.audits.hypotheses.settings import Settings
from camlucida.evaluation.statistics import Interval, percentile_interval, resamples

MIN_GAIN = 0.2
"""Smallest difference of the fractions of recipients that change their class: for further tests after the pilot, and
for a verified hypothesis."""
MIN_DROP = 0.5
"""Smallest drop of the log-odds of a verified hypothesis: a factor of 1.6 in the odds."""
MIN_OUTSIDE = 0.5
"""Smallest fraction of the region outside the object, where that is known, of a verified hypothesis."""


@dataclass(frozen=True, eq=False)
class Verification:
    """What the interventions of one hypothesis showed.

    Attributes:
        rows: Rows of the tested members `(n,)`.
        regions: Region of the cue in each of them.
        pasted: What becomes of images of other classes when the region is pasted.
        control_pasted: The same with the strongest evidence of images of the class that are not members.
        gain: Fraction of the recipients that are predicted as the class with the cue, less that with the control
            patches.
        p_paste: One-sided p-value of the rise of the log-odds of recipients (Mann-Whitney test, members against control
            images).
        covered: What becomes of the members' class when the region is covered; None after the pilot.
        drop: Mean drop of the log-odds when covered, less that at other positions; None likewise.
        p_cover: One-sided p-value of the drop (ranks among the other positions of the image); 1 likewise.
        objects: What is known from boxes or masks; None without them.
    """

    rows: Indices
    regions: Regions
    pasted: Pasted
    control_pasted: Pasted
    gain: Interval
    p_paste: float
    covered: Covered | None = None
    drop: Interval | None = None
    p_cover: float = 1.0
    objects: ObjectEvidence | None = None

    @property
    def p(self) -> float:
        """The p-value of the hypothesis: the larger one, since both interventions must have an effect.

        1 after the pilot alone.
        """
        return max(self.p_cover, self.p_paste)


@dataclass(eq=False)
class Verifier:
    """Tests hypotheses by intervention.

    Attributes:
        scorer: Runs the model.
        arrays: The audit.
        settings: The settings.
    """

    scorer: Scorer
    arrays: AuditArrays
    settings: Settings

    def pilot(self, candidate: Candidate) -> Verification:
        """Paste the cue of a few members, and the strongest evidence of a few control images, into other images."""
        n, (members, others, _) = self.settings.n_pilot, self._samples(candidate)
        return self._paste(candidate, members[:n], others[:n], n)

    def verify(self, candidate: Candidate) -> Verification:
        """Test a hypothesis by all interventions."""
        settings, (members, others, rng) = self.settings, self._samples(candidate)
        result = self._paste(candidate, members, others, settings.max_controls)
        images, targets = _indices(self.arrays, members), torch.from_numpy(_targets(self.arrays, candidate)[members])
        covered = cover(self.scorer, images, targets, result.regions, settings.n_positions, rng)
        differences = covered.drops - covered.control_drops.mean(1)
        return replace(
            result,
            covered=covered,
            drop=_mean_interval(differences, settings.seed),
            p_cover=rank_among_controls_p(covered.drops, covered.control_drops),
            objects=object_evidence(self.scorer, images, targets, result.regions),
        )

    def strength(self, outcome: Verification) -> float:
        """Return the effect by which hypotheses are ranked."""
        return outcome.gain.value

    def passes(self, outcome: Verification) -> bool:
        """Return whether the effect in the pilot is large enough for further tests."""
        return bool(outcome.gain.value >= MIN_GAIN)

    def has_effects(self, outcome: Verification) -> bool:
        """Return whether the effects of all interventions are large enough."""
        return self.passes(outcome) and outcome.drop is not None and outcome.drop.value >= MIN_DROP

    def recipients_for(self, candidate: Candidate, n: int) -> Tensor:
        """Return n network inputs `(n, c, H, W)` of other classes, into which patches are pasted for illustration."""
        indices, scores = self._recipients
        other = [i for i, score in enumerate(scores) if int(score.argmax()) != candidate.class_index]
        chosen = (other or list(range(len(indices)))) * n
        return self.scorer.inputs([int(indices[i]) for i in chosen[:n]])

    def _samples(self, candidate: Candidate) -> tuple[Indices, Indices, np.random.Generator]:
        """Return the rows of members and of control images, in random order, and the generator that drew them."""
        rng = np.random.default_rng([self.settings.seed, key_of(candidate)])
        members = rng.permutation(candidate.members)[: self.settings.max_members]
        return members, rng.permutation(candidate.others)[: self.settings.max_controls], rng

    def _paste(self, candidate: Candidate, members: Indices, others: Indices, n_pairs: int) -> Verification:
        """Locate the cue in the members, and paste it, and the strongest evidence of control images, elsewhere."""
        targets, images = _targets(self.arrays, candidate), _indices(self.arrays, members)
        size = tuple(int(n) for n in self.scorer.load(int(images[0])).inputs.shape[-2:])
        own_targets = torch.from_numpy(targets[members])
        own, controls = locate(
            self.arrays,
            candidate,
            members,
            others,
            (size[0], size[1]),
            lambda: self._cue_maps(candidate, images, own_targets),
            self._visible,
        )
        recipients, scores = self._recipients
        pasted = transplant(self.scorer, images, own_targets, own, recipients, scores, n_pairs)
        control_images, control_targets = _indices(self.arrays, others), torch.from_numpy(targets[others])
        control = transplant(self.scorer, control_images, control_targets, controls, recipients, scores, n_pairs)
        return Verification(
            members,
            own,
            pasted,
            control,
            _difference_interval(pasted.gained, control.gained, self.settings.seed),
            _rank_sum_p(pasted.rises, control.rises),
        )

    def _cue_maps(self, candidate: Candidate, images: Indices, targets: Tensor) -> Tensor:
        channels = self.arrays.channels(candidate.explained).astype(np.float64)
        weights = channel_weights(channels[candidate.others], channels[candidate.members])
        layer = self.arrays.audit.plan["layer"]
        maps: dict[int, Tensor] = {}
        for model, members in self.scorer.models_of(images.tolist()):
            inputs = self.scorer.inputs(images[members].tolist())
            maps |= zip(members, cue_maps(model, inputs, layer, targets[members], weights), strict=True)
        return torch.stack([maps[i] for i in range(len(images))])

    def _visible(self, rows: Indices) -> list[Box]:
        """Return the part of the network input that shows the image of each row."""
        return self.scorer.visible_boxes(_indices(self.arrays, rows).tolist())

    @cached_property
    def _recipients(self) -> tuple[Indices, Tensor]:
        """Indices of images into which patches are pasted, with their class scores."""
        usable = np.flatnonzero(~np.isnan(self.arrays.column("predicted_index")))
        rng = np.random.default_rng([self.settings.seed, len(usable)])
        chosen = _indices(self.arrays, np.sort(rng.permutation(usable)[: self.settings.max_controls]))
        return chosen, self.scorer.scores(self.scorer.inputs(chosen.tolist()), chosen.tolist())


def key_of(candidate: Candidate) -> int:
    """Return a number that identifies a candidate, for its random numbers and for resuming."""
    name = f"{candidate.kind}/{candidate.grouping}/{candidate.class_index}/{candidate.members.tolist()}"
    return zlib.crc32(name.encode())


def _indices(arrays: AuditArrays, rows: Indices) -> Indices:
    """Return the indices of rows in the data set."""
    return arrays.column("index")[rows].astype(np.int64)


def _targets(arrays: AuditArrays, candidate: Candidate) -> Indices:
    """Return the class of each row whose score is measured; -1 without one."""
    column = arrays.column("label_index" if candidate.grouping == "label" else "predicted_index")
    return np.where(np.isnan(column), -1, column).astype(np.int64)


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


def rank_among_controls_p(values: Floats, controls: Floats) -> float:
    """Return the one-sided p-value of values that should exceed those of controls in the same image.

    If the region matters as much as the other positions, its rank among the k + 1 values of its image is uniform, and
    the sum of the ranks over n images has the distribution of n dice with k + 1 faces. The test is exact, except that
    ties count in favour of the controls.

    Args:
        values: `(n,)`.
        controls: `(n, k)`.
    """
    n, k = controls.shape
    total = int((values[:, None] > controls).sum())
    distribution = np.ones(1)
    for _ in range(n):
        distribution = np.convolve(distribution, np.full(k + 1, 1 / (k + 1)))
    return float(min(1.0, distribution[total:].sum()))


def _rank_sum_p(first: Floats, second: Floats) -> float:
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if not len(first) or not len(second):
        return float("nan")
    stats = need("scipy.stats", extra="analysis", what="testing a hypothesis")
    return float(stats.mannwhitneyu(first, second, alternative="greater").pvalue)
