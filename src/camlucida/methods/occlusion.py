"""Occlusion: the drop in the score when a sliding window covers part of the input."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.methods.common.infill import Infill, infill_image
from camlucida.methods.common.masks import boxes, to_pixels, window_starts
from camlucida.methods.registry import method
from camlucida.options import Positive
from camlucida.types import Images, Map, ScoreInputs, Scores


@method(
    paper="Zeiler & Fergus, ECCV 2014, sec. 4.2: a grey square is moved over the image; map = f(x) - f(x covered)",
    deviation="the drop of the score, not the score, and at each pixel its mean over the windows that cover it",
    relu=False,
)
def occlusion(
    inputs: Images,
    score: Scores,
    score_inputs: ScoreInputs,
    *,
    window: Positive = 0.2,
    stride: Positive = 0.1,
    infill: Infill = "mean",
) -> Map:
    """Measure the drop in the score while a sliding window covers part of the input; deterministic.

    One evaluation of the network per position of the window. Called `Occlusion` in Captum.

    inputs        (b, c, H, W)        network inputs
    score         (b,)                score of the target on them
    score_inputs  variants -> (n, b)  scores of other network inputs
    window        side of the square window: below 1 a fraction of the shorter side, else pixels; of the box in a
                  volume, a fraction of each of its own sides, or voxels
    stride        distance between windows, in the units of `window`; the last windows are flush with the border
    infill        infill of covered pixels: "mean" (0, the mean colour after normalisation) or "blur" (blurred input)
    returns       (b, H, W)           signed, in units of the score
    """
    grid = inputs.shape[2:]
    lengths = [min(grid)] * 2 if len(grid) == 2 else list(grid)
    sides, steps = ([to_pixels(value, length) for length in lengths] for value in (window, stride))
    starts = [window_starts(*axis) for axis in zip(grid, sides, steps, strict=True)]
    corners = torch.cartesian_prod(*starts)
    hidden = infill_image(inputs, infill)

    def occlude(indices: Tensor) -> Tensor:
        return torch.where(boxes(corners[indices], sides, grid)[:, None, None].to(inputs.device), hidden, inputs)

    key = ("occlusion", *sides, *steps, infill)
    drops = score.double() - score_inputs(occlude, len(corners), shared=key).double()
    total = torch.zeros(len(inputs), *grid, dtype=torch.float64, device=inputs.device)
    n_windows = torch.zeros_like(total)
    for corner, drop in zip(corners.tolist(), drops, strict=True):
        box = (slice(None), *(slice(start, start + side) for start, side in zip(corner, sides, strict=True)))
        total[box] += drop.view(-1, *[1] * len(grid))
        n_windows[box] += 1
    return (total / n_windows).to(torch.promote_types(inputs.dtype, torch.float32))
