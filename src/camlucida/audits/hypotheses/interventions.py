"""Interventions: a cue is removed from the images that have it, and pasted into images that do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida.audits.hypotheses.candidates import Floats, Indices
from camlucida.audits.hypotheses.edits import paste, remove
from camlucida.audits.hypotheses.regions import Regions
from camlucida.audits.hypotheses.scoring import Scorer

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Covered:
    """What becomes of the class of n members when the region is covered.

    Attributes:
        drops: Drop of the log-odds of the class `(n,)` when the region is covered.
        control_drops: Drops `(n, positions)` when regions of the same size at other positions of the image are covered.
        predicted: Whether the class is predicted for the unmodified image `(n,)`.
        lost: Whether it is predicted for the unmodified image and not for the covered one `(n,)`.
        control_lost: The fraction of the other positions with which it is lost `(n,)`.
    """

    drops: Floats
    control_drops: Floats
    predicted: Bools
    lost: Bools
    control_lost: Floats


@dataclass(frozen=True, eq=False)
class Pasted:
    """What becomes of images of other classes when regions of n source images are pasted into them.

    Attributes:
        rises: Mean rise of the log-odds of the source's class `(n,)` over the recipients of each source.
        gained: Fraction of the recipients of each source that are predicted as its class `(n,)`.
        n_recipients: Number of recipients of each source `(n,)`.
    """

    rises: Floats
    gained: Floats
    n_recipients: NDArray[np.int64]


def cover(
    scorer: Scorer,
    rows: Indices,
    targets: Tensor,
    regions: Regions,
    n_positions: int,
    rng: np.random.Generator,
    scores: Callable[[Tensor], Tensor] | None = None,
) -> Covered:
    """Cover the region in each image, and regions of the same size at other positions.

    Args:
        scorer: Runs the model.
        rows: Indices of the images in the data set.
        targets: Class of each image `(n,)`.
        regions: Region of each image.
        n_positions: Number of other positions per image.
        rng: Generator of the other positions.
        scores: Returns the class scores `(n, k)` of the n images or of edits of them, in this order; None for those of
            the whole image.
    """
    indices = rows.tolist()
    inputs, scores_of = scorer.inputs(indices), scores or (lambda edited: scorer.scores(edited, indices))
    before = scores_of(inputs)
    after = scores_of(remove(inputs, regions.masks()))
    odds, predicted = scorer.log_odds(before, targets), scorer.is_predicted(before, targets)
    control_drops, control_lost = [], []
    for _ in range(1 if regions.is_border else n_positions):
        elsewhere = scores_of(remove(inputs, regions.masks_elsewhere(rng)))
        control_drops.append(odds - scorer.log_odds(elsewhere, targets))
        control_lost.append(predicted & ~scorer.is_predicted(elsewhere, targets))
    return Covered(
        (odds - scorer.log_odds(after, targets)).numpy(),
        torch.stack(control_drops, 1).numpy(),
        predicted.numpy(),
        (predicted & ~scorer.is_predicted(after, targets)).numpy(),
        torch.stack(control_lost, 1).double().mean(1).numpy(),
    )


def transplant(
    scorer: Scorer,
    rows: Indices,
    targets: Tensor,
    regions: Regions,
    recipients: Indices,
    recipient_scores: Tensor,
    n_pairs: int,
) -> Pasted:
    """Paste the region of each image into images of other classes.

    Args:
        scorer: Runs the model.
        rows: Indices of the source images in the data set.
        targets: Class of each source `(n,)`.
        regions: Region of each source.
        recipients: Indices of the images into which is pasted.
        recipient_scores: Their class scores `(r, k)`.
        n_pairs: Number of pairs of a source and a recipient, at most one per source and recipient.
    """
    per_source = max(1, min(len(recipients), n_pairs // max(1, len(rows))))
    pairs = _pairs(scorer, recipient_scores, targets, per_source)
    count = np.bincount(pairs[0], minlength=len(rows))
    if not len(pairs[0]):  # every recipient is predicted as the class, or there is no source
        return Pasted(np.full(len(rows), np.nan), np.full(len(rows), np.nan), count)
    sources, into = (torch.from_numpy(numbers) for numbers in pairs)
    own = targets[sources]
    edited = paste(
        scorer.inputs(recipients[pairs[1]].tolist()),
        scorer.inputs(rows[pairs[0]].tolist()),
        regions.masks()[sources],
    )
    after = scorer.scores(edited, recipients[pairs[1]].tolist())
    rises = (scorer.log_odds(after, own) - scorer.log_odds(recipient_scores[into], own)).numpy()
    gained = scorer.is_predicted(after, own).double().numpy()
    with np.errstate(invalid="ignore"):
        means = [np.bincount(pairs[0], values, minlength=len(rows)) / count for values in (rises, gained)]
    return Pasted(means[0], means[1], count)


def _pairs(scorer: Scorer, scores: Tensor, targets: Tensor, per_source: int) -> tuple[Indices, Indices]:
    """Return pairs of sources and recipients: the next recipients in turn whose predicted class is another one."""
    r, start = len(scores), 0
    sources: list[int] = []
    into: list[int] = []
    for source in range(len(targets)):
        other = ~scorer.is_predicted(scores, targets[source].expand(r))
        turn = ((start + step) % r for step in range(r))
        chosen = list(islice((recipient for recipient in turn if bool(other[recipient])), per_source))
        start = (chosen[-1] + 1) % r if chosen else start
        sources += [source] * len(chosen)
        into += chosen
    return np.array(sources, dtype=np.int64), np.array(into, dtype=np.int64)
