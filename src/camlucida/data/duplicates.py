"""Which pictures are the same, or look it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from camlucida.data.inspect_image import ImageInfo

MAX_HAMMING_DISTANCE = 7
"""Near duplicates differ in at most so many of the hash's 64 bits ..."""
N_BANDS = 8
"""... so at least one of its 8 bytes is the same in both: only such pairs are looked at ..."""
MAX_BUCKET_SIZE = 2000
"""A byte that more pictures share (plain margins give such) is passed over, or the time would grow with the square of
their number; such a pair is found by another byte, or not. What is left is a near duplicate if ..."""
MIN_CORRELATION = 0.95
"""... their thumbnails of 16 x 16 correlate at least so much."""
MIN_STD = 2.0
"""Grey levels of standard deviation: below, a picture has nothing to be known by."""


def exact_duplicates(infos: Sequence[ImageInfo]) -> list[list[int]]:
    """Groups of pictures whose files are the same, byte for byte."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, info in enumerate(infos):
        if info.sha256:
            groups[info.sha256].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(infos: Sequence[ImageInfo]) -> list[list[int]]:
    """Groups of pictures that look the same though their files differ: scaled, compressed again, lightened.

    Each is like at least one other of its group. Of files that are the same only the first one is looked at.
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
    """The thumbnail with mean 0 and length 1; all zero for a flat one."""
    values = np.asarray(info.thumbnail, dtype=np.float64).ravel()
    values = values - values.mean()
    return values / np.linalg.norm(values) if values.std() >= MIN_STD else np.zeros_like(values)


def _close_pairs(hashes: NDArray[np.uint64]) -> Iterable[tuple[int, int]]:
    """Pairs that differ in at most `BITS` bits, each once; all of them, up to `COMMON` pictures."""
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
    """What hangs together."""
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
