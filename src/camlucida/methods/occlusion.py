"""Occlusion: how far the score falls when a window of the picture is covered."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.methods.common.infill import Infill, infill_image
from camlucida.methods.common.masks import to_pixels, window_starts
from camlucida.methods.registry import method
from camlucida.options import Positive
from camlucida.types import Images, Map, ScoreInputs, Scores


@method(
    paper="Zeiler & Fergus, ECCV 2014, sec. 4.2: a grey square is moved over the picture; map = f(x) - f(x covered)",
    deviation="the fall of the score, not the score, and at each pixel its mean over the windows that cover it",
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
    """How far the score falls when a window is covered: one run for every place of the window, no chance in it.

    inputs   (b, c, H, W)        the pictures
    score    (b,)                the target on them
    score_inputs  variants -> scores  of other pictures
    window   side of the square: a share of the shorter side, or pixels from 1 on
    stride   from one window to the next, as `window`; the last ones lie flush with the border
    infill   what covers: "mean" (the mean colour: 0, after normalisation) or "blur" (the picture, blurred)
    returns  (b, H, W)           signed, in units of the score
    """
    height, width = inputs.shape[-2:]
    side, step = (to_pixels(value, min(height, width)) for value in (window, stride))
    corners = torch.cartesian_prod(window_starts(height, side, step), window_starts(width, side, step))
    hidden, y, x = infill_image(inputs, infill), torch.arange(height), torch.arange(width)

    def occlude(indices: Tensor) -> Tensor:
        top, left = corners[indices].T[:, :, None]
        inside = ((y >= top) & (y < top + side))[:, :, None] & ((x >= left) & (x < left + side))[:, None, :]
        return torch.where(inside[:, None, None].to(inputs.device), hidden, inputs)

    drops = score.double() - score_inputs(occlude, len(corners), shared=("occlusion", side, step, infill)).double()
    total = torch.zeros(len(inputs), height, width, dtype=torch.float64, device=inputs.device)
    n_windows = torch.zeros_like(total)
    for (top, left), drop in zip(corners.tolist(), drops, strict=True):
        total[:, top : top + side, left : left + side] += drop[:, None, None]
        n_windows[:, top : top + side, left : left + side] += 1
    return (total / n_windows).to(torch.promote_types(inputs.dtype, torch.float32))
