"""The batch size of a pass over many images, from a memory budget and the memory that the network needs per image."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

MAX_BYTES = 2**30
"""Default memory budget of one batch."""

MAX_BATCH_SIZE, MAX_GPU_BATCH_SIZE = 16, 128
"""Largest batch sizes, on a CPU and elsewhere. On a CPU, larger batches leave the cache: ResNet-18 takes 65 to 70 ms of
one core per image in batches of 4 to 16, and 88 ms in batches of 64."""

TOLERANCE, REDUCED_TOLERANCE = 1e-3, 3e-2
"""Largest difference between an image alone and in a batch, as a fraction of its largest value: for float32 on a CPU,
and for half precision and other devices, whose convolutions may round to 10 bits."""


def largest_batch_size(network: nn.Module) -> int:
    """Return the largest batch size for the device of a network."""
    return MAX_BATCH_SIZE if _device_type(network) == "cpu" else MAX_GPU_BATCH_SIZE


def fitting_batch_size(largest: int, bytes_per_image: int, fixed_bytes: int = 0, max_bytes: int = MAX_BYTES) -> int:
    """Return the largest power of two, at most `largest`, for which a batch fits into a memory budget; at least 1."""
    n = (max_bytes - fixed_bytes) // max(1, bytes_per_image)
    return min(largest, 1 << max(0, n.bit_length() - 1)) if n > 0 else 1


def is_same_image(network: nn.Module, alone: Tensor, together: Tensor) -> bool:
    """Return whether what was computed of an image alone and in a batch agrees, up to rounding.

    It does not for networks that compare the images of a batch, such as batch normalisation without stored statistics.

    Args:
        network: The network.
        alone: Scores or a map of the image alone.
        together: The same of the image in a batch with others.
    """
    if alone.shape != together.shape:
        return False
    is_exact = _device_type(network) == "cpu" and all(p.dtype.itemsize > 2 for p in network.parameters())
    difference, scale = (alone - together).abs().amax(), alone.abs().amax()
    return bool(difference <= (TOLERANCE if is_exact else REDUCED_TOLERANCE) * scale)


def _device_type(network: nn.Module) -> str:
    return next((parameter.device.type for parameter in network.parameters()), "cpu")


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that counts the bytes of all tensors that operations return, until they are freed.

    Attributes:
        peak: The largest number of bytes that existed at the same time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bytes: dict[int, int] = {}
        self._current = self.peak = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False, so that PyTorch does not import its compiler to wrap this class, which takes over a second."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(out):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self._bytes:
                self._bytes[storage._cdata] = storage.nbytes()
                self._current += storage.nbytes()
                weakref.finalize(storage, self._freed, storage._cdata)
        self.peak = max(self.peak, self._current)
        return out

    def _freed(self, key: int) -> None:
        self._current -= self._bytes.pop(key, 0)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
