"""Which pictures are the same, or look it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from camlucida.data.inspecting import Look

BITS = 7
"""Near duplicates differ in at most so many of the hash's 64 bits ..."""
BANDS = 8
"""... so at least one of its 8 bytes is the same in both: only such pairs are looked at ..."""
COMMON = 2000
"""A byte that more pictures share (plain margins give such) is passed over, or the time would grow with the square of
their number; such a pair is found by another byte, or not. What is left is a near duplicate if ..."""
ALIKE = 0.95
"""... their thumbnails of 16 x 16 correlate at least so much."""
FLAT = 2.0
"""Grey levels of standard deviation: below, a picture has nothing to be known by."""


def exact(looks: Sequence[Look]) -> list[list[int]]:
    """Groups of pictures whose files are the same, byte for byte."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, look in enumerate(looks):
        if look.sha256:
            groups[look.sha256].append(number)
    return [group for group in groups.values() if len(group) > 1]


def near(looks: Sequence[Look]) -> list[list[int]]:
    """Groups of pictures that look the same though their files differ: scaled, compressed again, lightened.

    Each is like at least one other of its group. Of files that are the same only the first one is looked at.
    """
    first = {look.sha256: number for number, look in reversed(list(enumerate(looks))) if look.thumbnail is not None}
    chosen = sorted(first.values())
    signs = np.array([_sign(looks[number]) for number in chosen])
    rich = [i for i, sign in enumerate(signs) if sign.any()]
    chosen, signs = [chosen[i] for i in rich], signs[rich]
    hashes = np.array([looks[number].dhash for number in chosen], dtype=np.uint64)
    linked = [(chosen[a], chosen[b]) for a, b in _pairs(hashes) if float(signs[a] @ signs[b]) >= ALIKE]
    return _groups(linked)


def _sign(look: Look) -> NDArray[np.float64]:
    """The thumbnail with mean 0 and length 1; all zero for a flat one."""
    values = np.asarray(look.thumbnail, dtype=np.float64).ravel()
    values = values - values.mean()
    return values / np.linalg.norm(values) if values.std() >= FLAT else np.zeros_like(values)


def _pairs(hashes: NDArray[np.uint64]) -> Iterable[tuple[int, int]]:
    """Pairs that differ in at most `BITS` bits, each once; all of them, up to `COMMON` pictures."""
    found: set[tuple[int, int]] = set()
    octets = hashes.view(np.uint8).reshape(-1, 8)
    for band in range(BANDS):
        order = np.argsort(octets[:, band], kind="stable")
        edges = np.flatnonzero(np.diff(octets[order, band])) + 1
        for bucket in (b for b in np.split(order, edges) if len(b) <= COMMON):
            for place, one in enumerate(bucket[:-1]):
                others = bucket[place + 1 :]
                apart = np.unpackbits(octets[others] ^ octets[one], axis=1).sum(axis=1)
                found.update((int(min(one, o)), int(max(one, o))) for o in others[apart <= BITS])
    return sorted(found)


def _groups(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """What hangs together."""
    root: dict[int, int] = {}

    def top(number: int) -> int:
        while root.setdefault(number, number) != number:
            number = root[number]
        return number

    for one, other in pairs:
        a, b = sorted((top(one), top(other)))
        root[b] = a
    groups: dict[int, list[int]] = defaultdict(list)
    for number in sorted(root):
        groups[top(number)].append(number)
    return list(groups.values())
