"""The map of a detection relative to what a detection needs, which changes its sign where an object is removed.

The score of a box is a log-odds, and a map by HiResCAM adds up to the part of it that comes from the activations. The
rest comes from the biases of the layers after them, and is the network's answer where it finds nothing: about -4 in a
detector that was trained on few objects among many candidates. Where an object is missing, its map is therefore close
to zero and not negative: the network has no evidence for the object, and needs none against it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from camlucida.errors import MethodError, TargetError
from camlucida.types import Geometry

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation

METHODS = ("hires_cam", "input_x_gradient")
"""Methods whose maps are in units of the score: gradient times activation, element by element."""
Box = tuple[float, float, float, float]


def detection_margin(explanation: Explanation) -> Explanation:
    """Return the map of a detection minus the evidence that a detection needs, spread evenly over its box.

    With the map m, the score s (log-odds) and the smallest probability t of a detection, the map is

        m(x) + f(x) (s - log(t / (1 - t)) - sum m),   where f(x) is the fraction of the box that lies in the cell x.

    It adds up to s - log(t / (1 - t)): its sum is positive for what the network detects, before suppression, and
    negative for what it misses.

    Args:
        explanation: The explanation of one box of a detector, by one of `METHODS`, with score="logit".

    Raises:
        TargetError: The explanation is not of a box of a detector.
        MethodError: The map is not in units of the log-odds.
    """
    region = explanation.region
    if region is None or region.box is None or not region.threshold or explanation.index is None:
        raise TargetError(
            f"the margin to a detection needs the class of one box of a detector, such as 'box 1' or 'dog at 120,80', "
            f"and this explanation is of {explanation.target!r}."
        )
    if explanation.method not in METHODS or explanation.score_kind != "logit":
        raise MethodError(
            f"the margin to a detection needs a map in units of the logit, by {' or '.join(METHODS)} with "
            f"score='logit'; this one is by {explanation.method}, of the {explanation.score_kind}."
        )
    raw = explanation.raw
    margin = explanation.score - math.log(region.threshold / (1 - region.threshold))
    fractions = cell_fractions(region.box, (raw.shape[0], raw.shape[1]), explanation.geometry)
    rest = margin - float(raw.double().sum())
    return replace(
        explanation,
        raw=raw + rest * fractions.to(raw),
        relu=False,
        display=replace(explanation.display, signed=True),
        target=f"{explanation.target}, margin to a detection",
        index=None,
        spec="",
        score=margin,
        score_kind="score",
        notes={**explanation.notes, "sum_of_map": margin - rest, "spread_over_box": rest},
    )


def cell_fractions(box: Box, grid: tuple[int, int], geometry: Geometry) -> Tensor:
    """Return the fraction of a box of the image that lies in each cell of a grid on the network input, `(h, w)`.

    The part of the box that the network input does not contain is left out; a box outside is in the nearest cell.
    """
    fractions = []
    for axis, n in ((1, grid[0]), (0, grid[1])):
        scale, offset = geometry.scale[axis], geometry.offset[axis]
        low, high = ((box[axis + i] * scale + offset) * n / geometry.input[axis] for i in (0, 2))
        starts = torch.arange(n, dtype=torch.float64)
        overlap = (starts + 1).clamp_max(high) - starts.clamp_min(low)
        overlap = overlap.clamp_min(0)
        if not bool(overlap.any()):
            overlap[min(max(int((low + high) / 2), 0), n - 1)] = 1
        fractions.append(overlap / overlap.sum())
    return fractions[0][:, None] * fractions[1][None]
