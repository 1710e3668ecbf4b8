"""Hypotheses as sentences."""

from __future__ import annotations

from camlucida.audits.hypotheses.candidates import Candidate
from camlucida.audits.hypotheses.verification import Verification

THIRDS = (1 / 3, 2 / 3)


def position_name(region: tuple[float, ...]) -> str:
    """Return the position of a region as text: "at the lower left", "in the middle".

    Args:
        region: Left, top, right, bottom as fractions of the image.
    """
    x, y = (region[0] + region[2]) / 2, (region[1] + region[3]) / 2
    down = "upper" if y < THIRDS[0] else "lower" if y > THIRDS[1] else ""
    across = "left" if x < THIRDS[0] else "right" if x > THIRDS[1] else ""
    if down and across:
        return f"at the {down} {across}"
    if down:
        return "at the top" if down == "upper" else "at the bottom"
    return f"at the {across}" if across else "in the middle"


def cue_name(candidate: Candidate, region: tuple[float, ...] | None) -> str:
    """Return what is covered, as text."""
    if candidate.kind == "border":
        return "evidence at the border"
    if candidate.kind == "fixed position" and region is not None:
        return f"a mark {position_name(region)}"
    return "a mark of changing position"


def description(candidate: Candidate, noun: str = "images") -> str:
    """Return how a group of rows was found, which are images or targets."""
    if candidate.kind == "border":
        return f"{len(candidate.members)} {noun} of all classes with at least half of the map in the outer tenth"
    grouped = {
        "predicted": f"{noun} predicted as this class",
        "label": f"{noun} labelled as this class",
        "all": f"{noun} of all classes, which are too few each",
    }[candidate.grouping]
    if candidate.channel is not None:
        return f"those of {candidate.n_class} {grouped} in which channel {candidate.channel} stands out"
    what = "maps" if candidate.kind == "fixed position" else "channel relevances"
    return (
        f"a cluster of the {what} of {candidate.n_class} {grouped} ({candidate.n_clusters} clusters, "
        f"eigengap {candidate.eigengap:.2f})"
    )


def sentence(
    candidate: Candidate, class_name: str, region: tuple[float, ...] | None, result: Verification, verified: bool
) -> str:
    """Return the result of the interventions as one sentence, or two."""
    if not result.pasted.n_recipients.any() and result.p_paste == 0:
        return _target_sentence(candidate, class_name, region, result, verified)
    images = f"{class_name!r} images" if class_name else "images"
    cue, n = cue_name(candidate, region), len(candidate.members)
    became = f"become {class_name!r}" if class_name else "take the class of the image it comes from"
    pasted, control = _percent(result.pasted), _percent(result.control_pasted)
    paste = (
        f"{pasted} of other images {became} when it is pasted into them, and {control} with a patch of the same size "
        "from the strongest evidence in other images of the class"
    )
    if class_name == "":
        paste = paste.replace("in other images of the class", "in other images")
    covered = result.covered
    if covered is None:
        return f"{n} {images} share {cue}, but it does not decide the class: {paste}."
    n_predicted, n_lost = int(covered.predicted.sum()), int(covered.lost.sum())
    elsewhere = round(float(covered.control_lost[covered.predicted].sum()), 1)
    lose = (
        f"{n_lost} of {n_predicted} {images} with {cue} lose the class when it is covered "
        f"({elsewhere:g} when regions of the same size elsewhere are)"
    )
    text = f"{lose}; {paste}."
    if objects := result.objects:
        text += (
            f" {objects.outside:.0%} of the mark lies outside the object, and {objects.n_survived} of "
            f"{objects.n_predicted} images keep the class when the object is hidden."
        )
    return text if verified else f"Not verified: {text}"


def _target_sentence(
    candidate: Candidate, class_name: str, region: tuple[float, ...] | None, result: Verification, verified: bool
) -> str:
    """Return the result of covering the cue of targets, one of each image."""
    targets = f"{class_name!r} targets" if class_name else "targets"
    cue, covered = cue_name(candidate, region), result.covered
    if covered is None or result.drop is None:
        return (
            f"{len(candidate.members)} {targets} share {cue}, but it does not decide their score, or it lies on the "
            "targets themselves."
        )
    n_lost, n_predicted = int(covered.lost.sum()), int(covered.predicted.sum())
    elsewhere = round(float(covered.control_lost[covered.predicted].sum()), 1)
    text = (
        f"The log-odds of {len(result.rows)} {targets} fall by {result.drop.value:.2f} more when {cue} is covered than "
        f"when regions of the same size elsewhere are; {n_lost} of {n_predicted} are lost then ({elsewhere:g} "
        "elsewhere)."
    )
    if result.objects is not None:
        text += f" {result.objects.outside:.0%} of the mark lies outside the target's own box."
    return text if verified else f"Not verified: {text}"


def _percent(pasted: object) -> str:
    gained = pasted.gained[pasted.n_recipients > 0]  # type: ignore[attr-defined]
    return f"{gained.mean():.0%}" if len(gained) else "none"
