"""A map as shares of its sum."""

from __future__ import annotations

import torch
from torch import Tensor


def normalized_magnitudes(map_: Tensor) -> Tensor:
    """|L| / sum |L|, flat, float64; NaN where there is nothing."""
    magnitudes = map_.double().abs().flatten()
    total = magnitudes.sum()
    return magnitudes / total.where(total > 0, torch.nan)
