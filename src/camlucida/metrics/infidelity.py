"""Infidelity: how far off the map's forecast is of what losing a square costs."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.infill import pixel_remover
from camlucida.metrics.common.perturbation import Predict, logit
from camlucida.metrics.common.ranking import is_nonzero
from camlucida.metrics.registry import MetricOutput, metric, preset

Scale = Literal["positive", "any", "none"]

MAX_SIDE_FRACTION = 10 / 28
"""Of the shorter side: the authors' squares of 1 to 10 pixels of MNIST's 28."""


@metric(
    paper="Yeh et al., NeurIPS 2019, def. 2.1 with squares, and the authors' infid_sen_utils.py (scaling by beta)",
    deviation="squares grow with the picture and are drawn at random, where the authors take every place on 28 pixels; "
    "beta is not below 0, or the map turned round would be as good (preset infid/yeh lets it)",
    outputs={"infidelity": MetricOutput("neither"), "infidelity_share": MetricOutput("low", worst=1.0)},
)
def infidelity(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    samples: int = 100,
    scale: Scale = "positive",
    infill: str = "zeros",
) -> dict[str, float]:
    """How far the relevance inside random squares is from how far the class score falls without them.

    relevance  (H, W)     the map on the network's input
    inputs     (c, H, W)  the picture
    samples    how many squares, of sides from 1/28 to 10/28 of the picture's shorter side
    scale      the map may be multiplied by the factor that suits it best (beta): "positive", "any" also below 0, "none"
    infill     what takes their place: zeros, black, mean, gaussian, rise_blur, road
    returns    infidelity, the mean square of the error, in squares of the class score, from 0 on; infidelity_share, of
               that of a map that forecasts nothing: 0 is perfect, 1 no better than that
    forwards   one a square, and one: 101
    """
    if scale not in get_args(Scale) or samples < 2:
        raise MetricError(
            f"scale is one of {', '.join(get_args(Scale))} and samples at least 2; not {scale!r}, {samples}."
        )
    if not is_nonzero(relevance):
        return {"infidelity": float("nan"), "infidelity_share": float("nan")}
    corners = _squares(relevance.shape, samples, random).to(inputs.device)
    remove = pixel_remover(inputs, infill, pixel_scale=pixel_scale, black_level=black_level, random=random)

    def removed_pixels(indices: Tensor) -> Tensor:
        return _inside(corners[indices], relevance.shape)

    scores = logit(predict(lambda which: remove(removed_pixels(which)), len(corners)), target)
    drops = scores[0] - scores[1:]
    forecast = _sums_inside(relevance, corners)[1:]
    beta = 1.0 if scale == "none" else float((drops * forecast).sum() / forecast.square().sum())
    beta = max(0.0, beta) if scale == "positive" else beta
    if beta != beta:  # no square meets the map anywhere: it forecasts nothing
        beta = 0.0
    error, reference = float((beta * forecast - drops).square().mean()), float(drops.square().mean())
    return {"infidelity": error, "infidelity_share": error / reference if reference else float("nan")}


def _squares(size: torch.Size, samples: int, random: torch.Generator) -> Tensor:
    """Squares (samples + 1, 4) as top, left, bottom, right, the latter two exclusive; the first is nothing at all."""
    shorter_side = min(size)
    uniform = torch.rand((samples, 3), generator=random, dtype=torch.float64)
    tenths = (uniform[:, 0] * 10).floor() + 1
    side = (tenths / 10 * MAX_SIDE_FRACTION * shorter_side).round().clamp_min(1).long()
    top, left = ((uniform[:, 1 + i] * (size[i] - side + 1)).floor().long() for i in range(2))
    squares = torch.stack([top, left, top + side, left + side], dim=1)
    return torch.cat([torch.zeros((1, 4), dtype=torch.long), squares])


def _inside(corners: Tensor, size: torch.Size) -> Tensor:
    """The pixels (n, H, W) of squares (n, 4)."""
    top, left, bottom, right = corners.T[:, :, None]
    y, x = (torch.arange(n, device=corners.device) for n in size)
    down, across = (y >= top) & (y < bottom), (x >= left) & (x < right)
    inside: Tensor = down[:, :, None] & across[:, None]
    return inside


def _sums_inside(relevance: Tensor, corners: Tensor) -> Tensor:
    """The relevance (n,) inside squares (n, 4), float64, from sums up to their corners."""
    integral = torch.nn.functional.pad(relevance.detach().cpu().double(), (1, 0, 1, 0)).cumsum(0).cumsum(1)
    top, left, bottom, right = corners.cpu().T
    inside: Tensor = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    return inside


preset("infid/yeh", infidelity, scale="any")
