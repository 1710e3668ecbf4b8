"""Verification of hypotheses about the targets of images: the score of the same box, region or word must fall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from camlucida.attribution.bind_targets import ImageBinder
from camlucida.attribution.output_reader import output_activation, predict
from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate, Indices
from camlucida.audits.hypotheses.cue_maps import channel_weights, cue_maps
from camlucida.audits.hypotheses.interventions import Pasted, cover
from camlucida.audits.hypotheses.objects import ObjectEvidence
from camlucida.audits.hypotheses.regions import Regions, box_mask, locate
from camlucida.audits.hypotheses.scoring import Scorer
from camlucida.audits.hypotheses.verification import (
    MIN_DROP,
    Verification,
    Verifier,
    _mean_interval,
    rank_among_controls_p,
)
from camlucida.evaluation.statistics import Interval
from camlucida.models.image_targets import BoundTarget

MAX_KEPT = 512
"""Targets that are kept bound."""


@dataclass(eq=False)
class TargetScorer(Scorer):
    """Runs the model on images and edits of them, and reads the class scores of the target of a row.

    Attributes:
        arrays: The audit, whose rows are targets.
    """

    arrays: AuditArrays = field(kw_only=True)
    _bound: dict[int, BoundTarget] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Read how the class scores of the first target become probabilities."""
        rows = np.flatnonzero([target is not None for target in self.arrays.column("target")])
        self.activation = output_activation(self.bound(int(rows[0])).model if len(rows) else self.model)

    def bound(self, row: int) -> BoundTarget:
        """Return the target of a row of the audit, which is bound to its unmodified image."""
        if row not in self._bound:
            if len(self._bound) >= MAX_KEPT:
                self._bound.pop(next(iter(self._bound)))
            loaded = self.load(int(self.arrays.column("index")[row]))
            (self._bound[row],) = ImageBinder(self.model, loaded.inputs, loaded.geometry).bind(
                [self.arrays.column("target")[row]]
            )
        return self._bound[row]

    def scores_of(self, rows: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """Return a function that returns the class scores `(n, k)` of the targets of n rows on their edited images."""

        def scores(inputs: Tensor) -> Tensor:
            self.n_forwards += len(inputs)
            read = [predict(self.bound(row).model, inputs[i : i + 1])[0] for i, row in enumerate(rows)]
            return torch.cat(read).double().cpu()

        return scores


class TargetVerifier(Verifier):
    """Tests hypotheses about the targets of images by covering the region of the cue.

    A cue is not pasted into other images: there is no candidate or region there whose score could rise. Of several
    targets of one image one is tested, so that the tested ones are independent.
    """

    scorer: TargetScorer

    def pilot(self, candidate: Candidate) -> Verification:
        """Cover the cue of a few members."""
        members, others, rng = self._samples(candidate)
        n = self.settings.n_pilot
        return self._covered(candidate, members[:n], others[:n], rng, is_pilot=True)

    def verify(self, candidate: Candidate) -> Verification:
        """Cover the cue of all members, and regions of the same size elsewhere in the same images."""
        members, others, rng = self._samples(candidate)
        return self._covered(candidate, members, others, rng, is_pilot=False)

    def strength(self, outcome: Verification) -> float:
        """Return the effect by which hypotheses are ranked: that of covering."""
        return outcome.gain.value if outcome.drop is None else outcome.drop.value

    def passes(self, outcome: Verification) -> bool:
        """Return whether the drop in the pilot is large enough, and the cue lies outside of the targets."""
        return bool(outcome.gain.value >= MIN_DROP)

    def has_effects(self, outcome: Verification) -> bool:
        """Return whether the drop is large enough."""
        return outcome.drop is not None and outcome.drop.value >= MIN_DROP

    def _samples(self, candidate: Candidate) -> tuple[Indices, Indices, np.random.Generator]:
        members, others, rng = super()._samples(candidate)
        return self._one_per_image(members), self._one_per_image(others), rng

    def _one_per_image(self, rows: Indices) -> Indices:
        """Return the first row of each image, in their order."""
        _, first = np.unique(self.arrays.column("index")[rows], return_index=True)
        return rows[np.sort(first)]

    def _covered(
        self, candidate: Candidate, members: Indices, others: Indices, rng: np.random.Generator, *, is_pilot: bool
    ) -> Verification:
        """Locate the cue in the members and cover it.

        The gain of a pilot is the drop of the log-odds in it, so that weak effects are not tested further.
        """
        settings, scorer = self.settings, self.scorer
        images = self.arrays.column("index")[members].astype(np.int64)
        height, width = (int(n) for n in scorer.load(int(images[0])).inputs.shape[-2:])
        targets = torch.tensor([_class_of(scorer.bound(int(row))) for row in members])
        regions, _ = locate(
            self.arrays,
            candidate,
            members,
            others,
            (height, width),
            lambda: self._maps_of_cue(candidate, members),
            self._visible,
        )
        none = Pasted(np.full(len(members), np.nan), np.full(len(members), np.nan), np.zeros(len(members), np.int64))
        covered = cover(scorer, images, targets, regions, settings.n_positions, rng, scorer.scores_of(members.tolist()))
        drop = _mean_interval(covered.drops - covered.control_drops.mean(1), settings.seed)
        objects = self._own_regions(members, regions)
        is_outside = objects is None or objects.outside >= MIN_OUTSIDE_IN_PILOT
        gain = drop if is_outside else Interval(float("nan"), float("nan"), float("nan"))
        if is_pilot:
            return Verification(members, regions, none, none, gain, 0.0)
        p = rank_among_controls_p(covered.drops, covered.control_drops)
        return Verification(members, regions, none, none, gain, 0.0, covered, drop, p, objects)

    def _maps_of_cue(self, candidate: Candidate, members: Indices) -> Tensor:
        """Return where the channels of the cue are relevant for the target of each member `(n, h, w)`."""
        channels = self.arrays.channels(candidate.explained).astype(np.float64)
        weights = channel_weights(channels[candidate.others], channels[candidate.members])
        layer = self.arrays.audit.plan["layer"]
        maps = []
        for row in members.tolist():
            bound, index = self.scorer.bound(row), int(self.arrays.column("index")[row])
            own = torch.tensor([_class_of(bound)])
            maps.append(cue_maps(bound.model, self.scorer.inputs([index]), layer, own, weights))
        return torch.cat(maps)

    def _own_regions(self, members: Indices, regions: Regions) -> ObjectEvidence | None:
        """Return how much of the cue lies outside of the members' own boxes or regions; None if these are unknown.

        The row's box is the detection's own, or that of a missed object.
        """
        masks, outside = regions.masks(), []
        sides = ("left", "top", "right", "bottom")
        for i, row in enumerate(members.tolist()):
            is_missed = self.arrays.column("outcome")[row] == "missed"
            names = [f"true_{side}" if is_missed else side for side in sides]
            box = np.array([self.arrays.column(name)[row] for name in names], dtype=np.float64)
            if np.isnan(box).any():
                continue
            geometry = self.scorer.load(int(self.arrays.column("index")[row])).geometry
            scale, offset = np.array([*geometry.scale] * 2), np.array([*geometry.offset] * 2)
            height, width = regions.size
            limits = np.array([width, height] * 2)
            left, top, right, bottom = np.clip(np.round(box * scale + offset), 0, limits).astype(int).tolist()
            own = box_mask((left, top, right, bottom), regions.size)
            outside.append(1 - float((own & masks[i]).sum() / masks[i].sum().clamp_min(1)))
        if not outside:
            return None
        return ObjectEvidence(len(outside), float(np.mean(outside)), 0, 0)


MIN_OUTSIDE_IN_PILOT = 0.5
"""Smallest fraction of the region outside of the targets' own boxes: covering a box itself says nothing."""


def _class_of(bound: BoundTarget) -> int:
    return int(bound.target)  # type: ignore[arg-type]
