"""Conversion of what functions, sessions and servers return into tensors, one row per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camlucida.errors import ModelError


def as_tensors(output: Any, n_images: int, reason: str) -> Any:
    """Return an output as a detached tensor, or a dict or tuple of tensors.

    Args:
        output: A tensor, an array, a list of numbers or rows; or a dict, tuple or list of these.
        n_images: Number of images that were given.
        reason: What returned the output, for messages.

    Raises:
        ModelError: The output holds something else, or not one row per image.
    """
    if isinstance(output, Mapping):
        return {key: as_tensors(value, n_images, f"{reason} (output {key!r})") for key, value in output.items()}
    if isinstance(output, tuple):
        return tuple(as_tensors(value, n_images, f"{reason} (output {i})") for i, value in enumerate(output))
    tensor = _as_tensor(output, reason)
    if tensor.ndim == 0 and n_images == 1:
        tensor = tensor[None]
    if not tensor.ndim or len(tensor) != n_images:
        raise ModelError(
            f"{reason} returned {_shape(tensor)} for {n_images} image{'s' * (n_images != 1)}: it must return one "
            f"row of "
            f"scores per image, ({n_images}, classes)."
        )
    return tensor


def _as_tensor(output: Any, reason: str) -> Tensor:
    if isinstance(output, Tensor):
        return output.detach().cpu()
    try:
        if isinstance(output, list) and output and all(isinstance(row, Tensor) for row in output):
            return torch.stack([row.detach().cpu() for row in output])
        array = np.asarray(output, dtype=np.float32 if isinstance(output, list | int | float) else None)
        if array.dtype.kind not in "fiub":
            raise TypeError
        return torch.from_numpy(np.array(array))  # a copy: the array may be read-only, or reused by its owner
    except (TypeError, ValueError, RuntimeError):
        raise ModelError(
            f"{reason} returned {type(output).__name__}, which is no array of numbers: it must return scores "
            "(images, classes) as a tensor, an array or a list."
        ) from None


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))}{',' * (tensor.ndim == 1)})"


def join_rows(outputs: Sequence[Any]) -> Any:
    """Return the outputs of several batches as one, in order."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.cat(list(outputs))
    if isinstance(first, tuple):
        return tuple(join_rows(parts) for parts in zip(*outputs, strict=True))
    return {key: join_rows([output[key] for output in outputs]) for key in first}


def select_rows(output: Any, n: int) -> Any:
    """Return the first n rows of every tensor of an output."""
    if isinstance(output, Tensor):
        return output[:n]
    if isinstance(output, tuple):
        return tuple(select_rows(part, n) for part in output)
    return {key: select_rows(part, n) for key, part in output.items()}


def are_close(first: Any, second: Any, relative: float) -> bool:
    """Return whether two outputs are equal, up to a fraction of the largest absolute value of each tensor."""
    if isinstance(first, Tensor):
        scale = float(second.abs().max()) if second.numel() else 0.0
        return first.shape == second.shape and not bool(((first - second).abs() > relative * scale).any())
    if isinstance(first, tuple):
        return len(first) == len(second) and all(are_close(a, b, relative) for a, b in zip(first, second, strict=True))
    return first.keys() == second.keys() and all(are_close(first[key], second[key], relative) for key in first)
