"""What ADCC and ARCC are composed of."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from camlucida.tensors import pearson


def coherency(heat: Tensor, explain: Callable[[Tensor], Tensor], seen: Tensor) -> float:
    """How alike the map (H, W) and that of what it lets through (1, c, H, W) are: (r + 1) / 2, 0 where one is even."""
    again = explain(seen)[0]
    found = float((pearson(heat.flatten()[None], again.to(heat).flatten()[None]) + 1) / 2)
    return found if found == found else 0.0


def harmonic_mean(*parts: float) -> float:
    """0 where a part is 0."""
    return len(parts) / sum(1 / part for part in parts) if all(part > 0 for part in parts) else 0.0
