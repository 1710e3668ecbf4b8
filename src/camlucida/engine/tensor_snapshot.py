"""Snapshots of the bytes of many small tensors, compared all at once: version counters miss writes through `.data`.

A network has a hundred buffers of a few hundred bytes. Comparing them one by one takes a microsecond each, so those
of one type on one device are concatenated first.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGE_NBYTES = 2**20
"""A tensor of more bytes is compared by itself: concatenating it would only copy it once more."""

_AS_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class _Group:
    """Tensors of one type on one device that are compared together.

    Attributes:
        positions: Their positions in the list of tensors.
        stacked: Whether they are scalars, which are stacked instead of concatenated.
        content: Their recorded values, as integers.
    """

    positions: tuple[int, ...]
    stacked: bool
    content: Tensor

    @staticmethod
    def of(tensors: Sequence[Tensor], positions: Sequence[int]) -> _Group:
        """Record the tensors at `positions`."""
        stacked = tensors[positions[0]].ndim == 0
        group = _Group(tuple(positions), stacked, torch.empty(0))
        return _Group(tuple(positions), stacked, group.joined(tensors, copy=True))

    def joined(self, tensors: Sequence[Tensor], *, copy: bool = False) -> Tensor:
        """Return the values of the group's tensors as one tensor of integers."""
        if len(self.positions) == 1:
            only = tensors[self.positions[0]].detach()
            return _bits(only.clone() if copy else only)
        parts = [tensors[i] for i in self.positions]
        return _bits(
            torch.stack(parts) if self.stacked else torch.cat([t if t.ndim == 1 else t.flatten() for t in parts])
        )


class TensorSnapshot:
    """A snapshot of the contents of a list of tensors.

    Args:
        tensors: The tensors, in an order that is the same later.

    Attributes:
        comparable: Whether all of them have readable bytes, which sparse and meta tensors do not.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._meta = _meta(tensors)
        grouped: dict[tuple[object, ...], list[int]] = {}
        for i, tensor in enumerate(tensors):
            key = (tensor.dtype, tensor.device, tensor.ndim == 0, i if tensor.nbytes > LARGE_NBYTES else None)
            grouped.setdefault(key, []).append(i)
        self.comparable = True
        self._groups: list[_Group] = []
        with torch.no_grad(), torch.inference_mode(False):
            try:
                self._groups = [_Group.of(tensors, positions) for positions in grouped.values()]
                self.comparable = self.same(tensors)
            except (RuntimeError, NotImplementedError, TypeError):
                self.comparable = False

    def same(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether the tensors have the same shapes, types, devices and bytes as before."""
        if _meta(tensors) != self._meta:
            return False
        with torch.no_grad(), torch.inference_mode(False):
            return all(torch.equal(group.joined(tensors), group.content) for group in self._groups)


def _meta(tensors: Sequence[Tensor]) -> list[tuple[torch.Size, torch.dtype, torch.device]]:
    return [(t.shape, t.dtype, t.device) for t in tensors]


def _bits(tensor: Tensor) -> Tensor:
    """Return the values as integers, so that NaN equals NaN and -0 differs from 0."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.view(_AS_INTEGERS[tensor.element_size()]) if tensor.is_floating_point() else tensor


def state_bytes(value: Any) -> Any:
    """Return the state of an array, a byte array or a random number generator as a comparable value."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, value.tobytes()
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    return bytes(value) if isinstance(value, bytearray) else pickle.dumps(value)
