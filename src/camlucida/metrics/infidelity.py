"""Infidelity: how far off the map's forecast is of what losing a square costs."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.parts.ranking import is_nonzero
from camlucida.metrics.parts.removal import Predict, logit
from camlucida.metrics.parts.substrates import without
from camlucida.metrics.registry import MetricOutput, metric, preset

Scale = Literal["positive", "any", "none"]

LARGEST = 10 / 28
"""Of the shorter side: the authors' squares of 1 to 10 pixels of MNIST's 28."""


@metric(
    paper="Yeh et al., NeurIPS 2019, def. 2.1 with squares, and the authors' infid_sen_utils.py (scaling by beta)",
    deviation="squares grow with the picture and are drawn at random, where the authors take every place on 28 pixels; "
    "beta is not below 0, or the map turned round would be as good (preset infid/yeh lets it)",
    gives={"infidelity": MetricOutput("neither"), "infidelity_share": MetricOutput("low", worst=1.0)},
)
def infidelity(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel: Tensor,
    black: Tensor,
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
    taken = without(inputs, infill, pixel=pixel, black=black, random=random)

    def missing(which: Tensor) -> Tensor:
        return _inside(corners[which], relevance.shape)

    found = logit(predict(lambda which: taken(missing(which)), len(corners)), target)
    fall = found[0] - found[1:]
    forecast = _sums_inside(relevance, corners)[1:]
    beta = 1.0 if scale == "none" else float((fall * forecast).sum() / forecast.square().sum())
    beta = max(0.0, beta) if scale == "positive" else beta
    if beta != beta:  # no square meets the map anywhere: it forecasts nothing
        beta = 0.0
    error, nothing = float((beta * forecast - fall).square().mean()), float(fall.square().mean())
    return {"infidelity": error, "infidelity_share": error / nothing if nothing else float("nan")}


def _squares(size: torch.Size, samples: int, random: torch.Generator) -> Tensor:
    """Squares (samples + 1, 4) as top, left, bottom, right, the latter two exclusive; the first is nothing at all."""
    shortest = min(size)
    drawn = torch.rand((samples, 3), generator=random, dtype=torch.float64)
    tenths = (drawn[:, 0] * 10).floor() + 1
    side = (tenths / 10 * LARGEST * shortest).round().clamp_min(1).long()
    top, left = ((drawn[:, 1 + i] * (size[i] - side + 1)).floor().long() for i in range(2))
    squares = torch.stack([top, left, top + side, left + side], dim=1)
    return torch.cat([torch.zeros((1, 4), dtype=torch.long), squares])


def _inside(corners: Tensor, size: torch.Size) -> Tensor:
    """The pixels (n, H, W) of squares (n, 4)."""
    top, left, bottom, right = corners.T[:, :, None]
    y, x = (torch.arange(n, device=corners.device) for n in size)
    down, across = (y >= top) & (y < bottom), (x >= left) & (x < right)
    found: Tensor = down[:, :, None] & across[:, None]
    return found


def _sums_inside(relevance: Tensor, corners: Tensor) -> Tensor:
    """The relevance (n,) inside squares (n, 4), float64, from sums up to their corners."""
    upto = torch.nn.functional.pad(relevance.detach().cpu().double(), (1, 0, 1, 0)).cumsum(0).cumsum(1)
    top, left, bottom, right = corners.cpu().T
    found: Tensor = upto[bottom, right] - upto[top, right] - upto[bottom, left] + upto[top, left]
    return found


preset("infid/yeh", infidelity, scale="any")
