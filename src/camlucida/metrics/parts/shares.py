"""A map as shares of its sum."""

from __future__ import annotations

import torch
from torch import Tensor


def shares(map_: Tensor) -> Tensor:
    """|L| / sum |L|, flat, float64; NaN where there is nothing."""
    sizes = map_.double().abs().flatten()
    total = sizes.sum()
    return sizes / total.where(total > 0, torch.nan)
