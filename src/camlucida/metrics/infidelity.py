"""Infidelity: squared error between the map's sums over squares and the score drops when they are removed."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics.common.infill import pixel_remover
from camlucida.metrics.common.perturbation import Predict, logit
from camlucida.metrics.common.ranking import is_nonzero, require_image
from camlucida.metrics.registry import MetricOutput, metric, preset

Scale = Literal["positive", "any", "none"]

MAX_SIDE_FRACTION = 10 / 28
"""Largest side of a square, as a fraction of the shorter image side: 10 of 28 pixels in the authors' MNIST code."""


@metric(
    paper="Yeh et al., NeurIPS 2019, def. 2.1 with squares, and the authors' infid_sen_utils.py (scaling by beta)",
    deviation="the size of the squares scales with the input and their positions are random, where the authors use "
    "every position on 28 x 28 pixels; beta is at least 0, because otherwise the negated map would score equally "
    "(preset infid/yeh: any beta)",
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
    """Compute the mean squared error between relevance in random squares and the drop without them.

    `INFD = E_I[(I^T L - (f(x) - f(x - I)))^2]` (Yeh et al., 2019), with L scaled by a factor beta.

    Args:
        relevance: `(H, W)` the map at input resolution.
        inputs: `(c, H, W)` the network input.
        target: The explained class.
        pixel_scale: `(c, 1, 1)` the range from black to white in units of the network input.
        black_level: `(c, 1, 1)` a black pixel in units of the network input.
        predict: Computes class scores of modified inputs.
        random: Generator for the squares.
        samples: Number of squares, with sides from 1/28 to 10/28 of the shorter image side.
        scale: The factor beta by which the map is multiplied. "positive": the best non-negative one; "any": the best
            one; "none": 1.
        infill: What replaces removed pixels: zeros, black, mean, gaussian, rise_blur, road.

    Returns:
        `infidelity`, the mean squared error in squared units of the class score, at least 0; `infidelity_share`, the
        same divided by the error of predicting no drop at all: 0 is perfect, 1 is no better than that.

    Raises:
        MetricError: For an unknown `scale`, or fewer than 2 samples.

    forwards per map: one per square and one for the unmodified input, 101
    """
    if scale not in get_args(Scale) or samples < 2:
        raise MetricError(
            f"scale is one of {', '.join(get_args(Scale))}, and samples is at least 2, not {scale!r}, {samples}."
        )
    if not is_nonzero(relevance):
        return {"infidelity": float("nan"), "infidelity_share": float("nan")}
    corners = _squares(relevance.shape, samples, random).to(inputs.device)
    require_image(relevance, "infidelity")
    remove = pixel_remover(inputs, infill, pixel_scale=pixel_scale, black_level=black_level, random=random)

    def removed_pixels(indices: Tensor) -> Tensor:
        return _inside(corners[indices], relevance.shape)

    scores = logit(predict(lambda which: remove(removed_pixels(which)), len(corners)), target)
    drops = scores[0] - scores[1:]
    forecast = _sums_inside(relevance, corners)[1:]
    beta = 1.0 if scale == "none" else float((drops * forecast).sum() / forecast.square().sum())
    beta = max(0.0, beta) if scale == "positive" else beta
    if beta != beta:  # no square overlaps the map, which then predicts no drop
        beta = 0.0
    error, reference = float((beta * forecast - drops).square().mean()), float(drops.square().mean())
    return {"infidelity": error, "infidelity_share": error / reference if reference else float("nan")}


def _squares(size: torch.Size, samples: int, random: torch.Generator) -> Tensor:
    """Sample squares `(samples + 1, 4)`: top, left, bottom, right (exclusive); the first square is empty."""
    shorter_side = min(size)
    uniform = torch.rand((samples, 3), generator=random, dtype=torch.float64)
    tenths = (uniform[:, 0] * 10).floor() + 1
    side = (tenths / 10 * MAX_SIDE_FRACTION * shorter_side).round().clamp_min(1).long()
    top, left = ((uniform[:, 1 + i] * (size[i] - side + 1)).floor().long() for i in range(2))
    squares = torch.stack([top, left, top + side, left + side], dim=1)
    return torch.cat([torch.zeros((1, 4), dtype=torch.long), squares])


def _inside(corners: Tensor, size: torch.Size) -> Tensor:
    """Return the masks `(n, H, W)` of squares `(n, 4)`."""
    top, left, bottom, right = corners.T[:, :, None]
    y, x = (torch.arange(n, device=corners.device) for n in size)
    down, across = (y >= top) & (y < bottom), (x >= left) & (x < right)
    inside: Tensor = down[:, :, None] & across[:, None]
    return inside


def _sums_inside(relevance: Tensor, corners: Tensor) -> Tensor:
    """Return the sum of the relevance `(n,)` inside squares `(n, 4)` in float64, from an integral image."""
    integral = torch.nn.functional.pad(relevance.detach().cpu().double(), (1, 0, 1, 0)).cumsum(0).cumsum(1)
    top, left, bottom, right = corners.cpu().T
    inside: Tensor = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    return inside


preset("infid/yeh", infidelity, scale="any")
