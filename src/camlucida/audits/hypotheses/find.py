"""The search: candidates, pilot, interventions, correction for many tests, ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from camlucida.audits.audit_result import Audit
from camlucida.audits.hypotheses.arrays import AuditArrays
from camlucida.audits.hypotheses.candidates import Candidate, distinct, find_candidates
from camlucida.audits.hypotheses.images import write_evidence
from camlucida.audits.hypotheses.partial import Partial
from camlucida.audits.hypotheses.regions import box_in_image
from camlucida.audits.hypotheses.result import Effect, Hypotheses, Hypothesis
from camlucida.audits.hypotheses.scoring import Scorer
from camlucida.audits.hypotheses.sentences import description, sentence
from camlucida.audits.hypotheses.settings import Settings
from camlucida.audits.hypotheses.spray import MIN_ITEMS
from camlucida.audits.hypotheses.suspicion import suspicion_of
from camlucida.audits.hypotheses.target_verification import TargetScorer, TargetVerifier
from camlucida.audits.hypotheses.verification import MIN_OUTSIDE, Verification, Verifier
from camlucida.data.datasets import Dataset
from camlucida.evaluation.statistics import SIGNIFICANCE_LEVEL, Interval, benjamini_hochberg
from camlucida.models.model import Model
from camlucida.targets import class_label
from camlucida.types import ProgressCallback

MIN_SHARED = 0.5
"""Fraction of the images of the smaller of two groups that both must have for one cue."""


def find_hypotheses(
    audit: Audit,
    *,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    settings: Settings | None = None,
    with_images: bool = True,
) -> Hypotheses:
    """Search an audit for spurious cues, and verify each suspicion by intervention.

    Groups of images are found by SpRAy (Lapuschkin et al., 2019) on the maps and on the channel relevances of each
    class. The cue of a group is located, pasted into other images and covered in its own. No boxes or masks are needed.

    Args:
        audit: A complete audit, with its model and data.
        seed: Seed of all random numbers.
        progress: Called with the number of finished tests and the largest possible number of tests.
        settings: The settings; None for the default ones with this seed.
        with_images: Whether to write the evidence images of the hypotheses that were tested by all interventions.

    Returns:
        The hypotheses by rank: verified ones first.

    Raises:
        DataError: If the model or the data are not available, or are not those of the audit.
    """
    model, data = audit.require_model_and_data("Testing a hypothesis by intervention")
    settings = settings or Settings(seed=seed)
    arrays = AuditArrays(audit)
    candidates = suspicious_candidates(arrays, settings)
    verifier = verifier_of(model, data, arrays, settings)
    outcomes = _test(verifier, candidates, progress or (lambda done, total: None))
    p_values = [outcome.p if outcome.covered is not None else 1.0 for outcome in outcomes]
    corrected = benjamini_hochberg(p_values).tolist()
    verified = [_is_verified(verifier, outcome, p) for outcome, p in zip(outcomes, corrected, strict=True)]
    suspicions = [suspicion_of(arrays, candidate) for candidate in candidates]
    order = sorted(
        range(len(candidates)),
        key=lambda i: (
            not verified[i],
            -verifier.strength(outcomes[i]) if verified[i] else 0.0,
            -suspicions[i].value,
        ),
    )
    same_as = repetitions([candidates[i] for i in order if verified[i]])
    hypotheses = []
    for rank, i in enumerate(order, start=1):
        candidate, outcome = candidates[i], outcomes[i]
        name = "" if candidate.class_index is None else _class_name(model, candidate.class_index)
        region = _region(verifier.scorer, arrays, candidate, outcome)
        is_tested = outcome.covered is not None
        images = write_evidence(audit, verifier, candidate, outcome, rank) if is_tested and with_images else ()
        hypotheses.append(
            Hypothesis(
                rank,
                name,
                candidate.class_index,
                candidate.kind,
                candidate.grouping,
                candidate.n_class,
                tuple(candidate.members.tolist()),
                candidate.medoid,
                region,
                description(candidate, "targets" if arrays.audit.has_targets else "images"),
                suspicions[i].value,
                vars(suspicions[i]),
                *_effects(outcome, arrays.audit.has_targets),
                _counts(outcome),
                outcome.p if is_tested else None,
                corrected[i] if is_tested else None,
                verified[i],
                sentence(candidate, name, region, outcome, verified[i]),
                images,
                same_as.get(rank),
            )
        )
    return Hypotheses(tuple(hypotheses), settings.record(), verifier.scorer.n_forwards, notes(arrays))


def repetitions(verified: Sequence[Candidate]) -> dict[int, int]:
    """Return, by rank, the rank of the first group of the same class with at least `MIN_SHARED` of the smaller one.

    Args:
        verified: The verified candidates by rank.
    """
    same_as: dict[int, int] = {}
    for rank, candidate in enumerate(verified, start=1):
        for other_rank, other in enumerate(verified[: rank - 1], start=1):
            if other_rank in same_as or other.class_index != candidate.class_index:
                continue
            shared = len(np.intersect1d(candidate.members, other.members))
            if shared >= MIN_SHARED * min(len(candidate.members), len(other.members)):
                same_as[rank] = other_rank
                break
    return same_as


def suspicious_candidates(arrays: AuditArrays, settings: Settings) -> list[Candidate]:
    """Return the candidates to test, without repetitions.

    The clearest group of every class, of maps, channel relevances and single channels each, comes first, then the
    second ones; among these the most suspicious ones. So a cue is tested even if it is less suspicious than many groups
    of other classes.
    """
    candidates = find_candidates(arrays, settings)
    candidates.sort(key=lambda candidate: (candidate.order, -suspicion_of(arrays, candidate).value))
    return distinct(candidates)[: settings.max_hypotheses]


def notes(arrays: AuditArrays) -> tuple[str, ...]:
    """Return what could not be searched, as sentences."""
    predicted = arrays.column("predicted_index")
    counts = np.unique(predicted[~np.isnan(predicted)], return_counts=True)[1]
    small = int((counts < MIN_ITEMS).sum())
    found = []
    if small == len(counts):
        found.append(
            f"No class has {MIN_ITEMS} images, so that classes could not be clustered one by one: all images were "
            "clustered together, which finds a cue only if several classes share it."
        )
    elif small:
        found.append(f"{small} of {len(counts)} predicted classes have fewer than {MIN_ITEMS} images: not clustered.")
    if not arrays.has_channels:
        found.append("The methods map the network input only: cues at changing positions were not searched.")
    return tuple(found)


def _test(verifier: Verifier, candidates: list[Candidate], progress: ProgressCallback) -> list[Verification]:
    """Run the pilot of all candidates, and all interventions of those with the largest effects in it."""
    settings, partial = verifier.settings, Partial(verifier.arrays.audit, verifier.settings)
    total = len(candidates) + min(len(candidates), settings.max_verified)
    outcomes: list[Verification] = []
    for done, candidate in enumerate(candidates, start=1):
        outcomes.append(partial.kept("pilot", candidate, verifier.pilot))
        progress(done, total)
    passed = [i for i, outcome in enumerate(outcomes) if verifier.passes(outcome)]
    passed = sorted(passed, key=lambda i: -verifier.strength(outcomes[i]))[: settings.max_verified]
    for done, i in enumerate(passed, start=len(candidates) + 1):
        outcomes[i] = partial.kept("verify", candidates[i], verifier.verify)
        progress(done, total)
    progress(total, total)
    partial.remove()
    return outcomes


def _class_name(model: Model, index: int) -> str:
    """Return the name of a class; of a network that writes texts, the word."""
    decode = getattr(model.image_targets, "decode", None)
    return class_label(index, model.labels) if decode is None else str(decode([index])).strip()


def verifier_of(model: Model, data: Dataset, arrays: AuditArrays, settings: Settings) -> Verifier:
    """Return what tests the hypotheses of an audit: on whole images, or on the targets of images."""
    if arrays.audit.has_targets:
        return TargetVerifier(TargetScorer(model, data, arrays=arrays), arrays, settings)
    return Verifier(Scorer(model, data), arrays, settings)


def _is_verified(verifier: Verifier, outcome: Verification, p_corrected: float) -> bool:
    """Return whether all interventions have an effect, and the cue does not lie on the object where that is known."""
    if outcome.drop is None or (outcome.objects is not None and outcome.objects.outside < MIN_OUTSIDE):
        return False
    return bool(p_corrected <= SIGNIFICANCE_LEVEL and verifier.has_effects(outcome))


def _region(scorer: Scorer, arrays: AuditArrays, candidate: Candidate, outcome: Verification) -> Any:
    """Return the region in the medoid (or in another member), as fractions of the image; None for the border."""
    if candidate.kind == "border":
        return None
    rows = outcome.rows.tolist()
    i = rows.index(candidate.medoid) if candidate.medoid in rows else 0
    geometry = scorer.load(int(arrays.column("index")[rows[i]])).geometry
    return tuple(box_in_image(outcome.regions.boxes[i], geometry))


def _effects(outcome: Verification, of_targets: bool) -> tuple[Effect, Effect | None]:
    """Return the effect of pasting and that of covering; of targets, which are only covered, the latter alone."""
    covered = None
    if outcome.drop is not None:
        covered = _effect(
            f"drop of the log-odds of the {'same target' if of_targets else 'class'} when the cue is covered",
            outcome.drop,
            len(outcome.rows),
            "regions of the same size at other positions of the same images",
        )
    if of_targets and covered is not None:
        return covered, None
    pasted = _effect(
        "fraction of other images that are predicted as the class when the cue is pasted into them",
        outcome.gain,
        int(outcome.pasted.n_recipients.sum()),
        "the strongest evidence in other images of the class, in a patch of the same size",
    )
    return pasted, covered


def _effect(name: str, interval: Interval, n: int, control: str) -> Effect:
    value, low, high = (None if number != number else float(number) for number in _numbers(interval))
    return Effect(name, 0.0 if value is None else value, low, high, n, control)


def _numbers(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _counts(outcome: Verification) -> dict[str, int | float]:
    """Return the numbers of images of the interventions."""
    counts: dict[str, int | float] = {
        "pasted": int(outcome.pasted.n_recipients.sum()),
        "gained": round(float(np.nansum(outcome.pasted.gained * outcome.pasted.n_recipients)), 3),
        "control_pasted": int(outcome.control_pasted.n_recipients.sum()),
        "control_gained": round(
            float(np.nansum(outcome.control_pasted.gained * outcome.control_pasted.n_recipients)), 3
        ),
    }
    if covered := outcome.covered:
        counts |= {
            "covered": len(covered.lost),
            "predicted": int(covered.predicted.sum()),
            "lost": int(covered.lost.sum()),
            "control_lost": round(float(covered.control_lost.sum()), 3),
        }
    if objects := outcome.objects:
        counts |= {
            "with_object": objects.n,
            "outside_object": round(objects.outside, 4),
            "object_hidden": objects.n_predicted,
            "survived": objects.n_survived,
        }
    return counts
