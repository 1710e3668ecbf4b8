"""Detection of exact and near duplicates among images.

Near duplicates are found with a difference hash (dHash), whose candidates are confirmed by the correlation of
thumbnails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from camlucida.data.inspect_image import ImageInfo

MAX_HAMMING_DISTANCE = 7
"""Largest number of differing bits, of 64, between the hashes of near duplicates."""
N_BANDS = 8
"""Number of bytes in a hash. If at most 7 bits differ, at least one byte is equal, so only such pairs are compared."""
MAX_BUCKET_SIZE = 2000
"""Largest number of images that may share a byte. Larger buckets, which plain margins cause, are skipped, since the
time grows with the square of their size; such a pair is found through another byte or not at all.
"""
MIN_CORRELATION = 0.95
"""Smallest correlation between the 16 x 16 thumbnails of near duplicates."""
MIN_STD = 2.0
"""Smallest standard deviation of a thumbnail, in grey levels; flatter images are too uniform to compare."""


def exact_duplicates(infos: Sequence[ImageInfo]) -> list[list[int]]:
    """Return groups of indices of images whose files are identical byte for byte."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, info in enumerate(infos):
        if info.sha256:
            groups[info.sha256].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(infos: Sequence[ImageInfo]) -> list[list[int]]:
    """Return groups of indices of images that look the same although their files differ.

    Such images were scaled, recompressed or lightened. Each image is similar to at least one other image of its group.
    Identical files are represented by the first of them.
    """
    first_of_hash = {
        info.sha256: index for index, info in reversed(list(enumerate(infos))) if info.thumbnail is not None
    }
    chosen = sorted(first_of_hash.values())
    thumbnails = np.array([_standardise(infos[number]) for number in chosen])
    textured = [i for i, thumbnail in enumerate(thumbnails) if thumbnail.any()]
    chosen, thumbnails = [chosen[i] for i in textured], thumbnails[textured]
    hashes = np.array([infos[number].dhash for number in chosen], dtype=np.uint64)
    pairs = [
        (chosen[a], chosen[b])
        for a, b in _close_pairs(hashes)
        if float(thumbnails[a] @ thumbnails[b]) >= MIN_CORRELATION
    ]
    return _connected_components(pairs)


def _standardise(info: ImageInfo) -> NDArray[np.float64]:
    """Return the thumbnail with mean 0 and norm 1, flattened; all zeros for a uniform image."""
    values = np.asarray(info.thumbnail, dtype=np.float64).ravel()
    values = values - values.mean()
    return values / np.linalg.norm(values) if values.std() >= MIN_STD else np.zeros_like(values)


def _close_pairs(hashes: NDArray[np.uint64]) -> Iterable[tuple[int, int]]:
    """Return the pairs within `MAX_HAMMING_DISTANCE`, each once; pairs only in oversized buckets are missed."""
    pairs: set[tuple[int, int]] = set()
    octets = hashes.view(np.uint8).reshape(-1, 8)
    for band in range(N_BANDS):
        order = np.argsort(octets[:, band], kind="stable")
        edges = np.flatnonzero(np.diff(octets[order, band])) + 1
        for bucket in (b for b in np.split(order, edges) if len(b) <= MAX_BUCKET_SIZE):
            for position, first in enumerate(bucket[:-1]):
                others = bucket[position + 1 :]
                distances = np.unpackbits(octets[others] ^ octets[first], axis=1).sum(axis=1)
                pairs.update(
                    (int(min(first, other)), int(max(first, other)))
                    for other in others[distances <= MAX_HAMMING_DISTANCE]
                )
    return sorted(pairs)


def _connected_components(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the connected components of the graph whose edges are `pairs` (union-find)."""
    root: dict[int, int] = {}

    def top(number: int) -> int:
        while root.setdefault(number, number) != number:
            number = root[number]
        return number

    for first, second in pairs:
        a, b = sorted((top(first), top(second)))
        root[b] = a
    groups: dict[int, list[int]] = defaultdict(list)
    for index in sorted(root):
        groups[top(index)].append(index)
    return list(groups.values())
