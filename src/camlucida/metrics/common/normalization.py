"""Normalisation of maps to fractions of their sum."""

from __future__ import annotations

import torch
from torch import Tensor


def normalized_magnitudes(map_: Tensor) -> Tensor:
    """Return |L| / sum |L| as a flat float64 tensor; NaN for a map that is zero everywhere."""
    magnitudes = map_.double().abs().flatten()
    total = magnitudes.sum()
    return magnitudes / total.where(total > 0, torch.nan)
