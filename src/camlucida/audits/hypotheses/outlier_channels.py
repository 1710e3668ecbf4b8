"""Groups of images in which one channel is far more relevant than in the rest of their class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_CHANNELS = 24
"""Channels with the largest gaps of which groups are returned."""
TAIL = 0.05
"""Fraction of the other images that may be as high as the members."""
FLOOR = 1e-4
"""Added to the median absolute deviation: smaller differences of the fraction of relevance do not count."""


def outlier_groups(vectors: Floats, min_members: int, max_members: int) -> list[tuple[int, NDArray[np.bool_], float]]:
    """Split the images of a class at each channel into those in which it is unusually relevant, and the rest.

    A cue that occurs together with the object of the class is a part of the evidence only. The clusters of all channels
    may then follow the object, while the channel of the cue stands out. Each channel's fraction of the relevance is
    measured in deviations from its median (median absolute deviation), as a logarithm, and split where the variance
    between both groups is largest (Otsu, 1979). Channels are ordered by their gap: from the 95th percentile of the
    other images to the median of the members.

    Args:
        vectors: Channel relevances `(n, c)`.
        min_members: Smallest group.
        max_members: Largest group.

    Returns:
        The channel, the members `(n,)` and the mean silhouette of the members on this channel, the largest gap first.
    """
    positive = np.clip(np.nan_to_num(vectors.astype(np.float64), nan=0.0), 0, None)
    fractions = positive / positive.sum(1, keepdims=True).clip(1e-12)
    center = np.median(fractions, 0)
    deviation = np.median(np.abs(fractions - center), 0) + FLOOR
    values = np.log1p(np.clip((fractions - center) / deviation, 0, None))
    n, max_members = len(values), min(max_members, len(values) - 1)
    if max_members < min_members:
        return []
    order = -np.sort(-values, axis=0)
    sums, total = np.cumsum(order, 0), order.sum(0)
    sizes = np.arange(min_members, max_members + 1)[:, None]
    high = sums[min_members - 1 : max_members]
    between = sizes * (n - sizes) * (high / sizes - (total - high) / (n - sizes)) ** 2 / n**2
    best = between.argmax(0)
    size = sizes[best, 0]
    columns = np.arange(values.shape[1])
    typical = order[size // 2, columns]
    highest_others = order[size + ((n - size) * TAIL).astype(int), columns]
    gaps = typical - highest_others
    groups = []
    for channel in np.argsort(-gaps)[:N_CHANNELS].tolist():
        threshold = order[int(size[channel]) - 1, channel]
        members = values[:, channel] >= threshold
        if threshold > 0 and min_members <= members.sum() <= max_members:
            groups.append((channel, members, _silhouette(values[:, channel], members)))
    return groups


def _silhouette(values: Floats, members: NDArray[np.bool_]) -> float:
    """Return the mean silhouette of the members on one axis."""
    inside, outside = values[members], values[~members]
    own = np.abs(inside[:, None] - inside).sum(1) / max(1, len(inside) - 1)
    rest = np.abs(inside[:, None] - outside).mean(1)
    return float(((rest - own) / np.maximum(rest, own).clip(1e-12)).mean())
