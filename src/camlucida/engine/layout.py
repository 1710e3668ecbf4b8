"""Layouts: how a layer's output is arranged in memory, and its conversion to (b, c, h, w) and back.

Convolutions return (b, c, h, w); inside Swin and ConvNeXt outputs are (b, h, w, c); transformers return tokens
(b, t, c) with any number of class or register tokens in front, or (t, b, c); window attention returns
(b * windows, t, c). Methods only receive (b, c, h, w). The conversion is what `reshape_transform` does in
pytorch-grad-cam; here it is inferred.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

LayoutKind = Literal["nchw", "nhwc", "tokens", "tokens_first", "windows"]

MAX_PREFIX_TOKENS = 16  # class, distillation and register tokens: 1 to 9 in the known networks


@dataclass(frozen=True)
class Layout:
    """How an output maps to a spatial grid.

    Attributes:
        kind: Arrangement of the output.
        grid: (h, w) of the layer.
        prefix: Number of tokens before those of the patches (class, registers), which have no spatial position.
        window: (h, w) of one window, for the kind "windows".
        shift: (h, w) by which the grid was rolled before it was split into windows.
    """

    kind: LayoutKind
    grid: tuple[int, int]
    prefix: int = 0
    window: tuple[int, int] = (1, 1)
    shift: tuple[int, int] = (0, 0)

    def to_grid(self, tensor: Tensor) -> Tensor:
        """Return a tensor in the layer's layout as (b, c, h, w), without the tokens that have no position."""
        h, w = self.grid
        if self.kind == "nchw":
            return tensor
        if self.kind == "nhwc":
            return tensor.permute(0, 3, 1, 2)
        if self.kind == "windows":
            return self._merge_windows(tensor)
        tokens = tensor.transpose(0, 1) if self.kind == "tokens_first" else tensor
        patches = tokens[:, self.prefix : self.prefix + h * w]
        return patches.transpose(1, 2).reshape(patches.shape[0], -1, h, w)

    def from_grid(self, grid: Tensor, like: Tensor) -> Tensor:
        """Return a (b, c, h, w) tensor in the layer's layout.

        Args:
            grid: The tensor.
            like: An output of the layer, which provides the tokens that have no position.
        """
        if self.kind == "nchw":
            return grid
        if self.kind == "nhwc":
            return grid.permute(0, 2, 3, 1)
        if self.kind == "windows":
            return self._split_windows(grid)
        tokens = like.transpose(0, 1).clone() if self.kind == "tokens_first" else like.clone()
        n_patches = self.grid[0] * self.grid[1]
        tokens[:, self.prefix : self.prefix + n_patches] = grid.flatten(2).transpose(1, 2)
        return tokens.transpose(0, 1) if self.kind == "tokens_first" else tokens

    @property
    def batch_axis(self) -> int:
        """Return the axis along which the images of a batch are counted."""
        return 1 if self.kind == "tokens_first" else 0

    def _merge_windows(self, tensor: Tensor) -> Tensor:
        (h, w), (wh, ww) = self.grid, self.window
        c = tensor.shape[-1]
        rows = tensor.reshape(-1, h // wh, w // ww, wh, ww, c).permute(0, 5, 1, 3, 2, 4)
        return rows.reshape(-1, c, h, w).roll(self.shift, (2, 3))

    def _split_windows(self, grid: Tensor) -> Tensor:
        (h, w), (wh, ww) = self.grid, self.window
        b, c = grid.shape[:2]
        rolled = grid.roll((-self.shift[0], -self.shift[1]), (2, 3))
        windows = rolled.reshape(b, c, h // wh, wh, w // ww, ww).permute(0, 2, 4, 3, 5, 1)
        return windows.reshape(-1, wh * ww, c)


def infer_layout(
    shape: tuple[int, ...],
    *,
    batch_size: int,
    image: tuple[int, int],
    channels_last: bool = False,
    known_grids: Iterable[tuple[int, int]] = (),
) -> Layout | None:
    """Infer the layout of a layer's output from its shape.

    Args:
        shape: Shape of the output.
        batch_size: Number of images in the batch.
        image: (height, width) of the network's input.
        channels_last: Whether the layer puts channels last (Linear, LayerNorm); decides ambiguous cases.
        known_grids: Grids of earlier layers, newest last; tokens are assigned to one of these if possible.

    Returns:
        The layout, or None for an output without a spatial grid.
    """
    if len(shape) == 4 and shape[0] == batch_size:
        return _infer_grid(shape, image, channels_last)
    if len(shape) == 3 and shape[0] == batch_size:
        match = _token_grid(shape[1], image, known_grids)
        return Layout("tokens", *match) if match else None
    if len(shape) == 3 and shape[1] == batch_size:
        match = _token_grid(shape[0], image, known_grids)
        return Layout("tokens_first", *match) if match else None
    return None


def span_layout(shape: tuple[int, ...], known_grids: Sequence[tuple[int, int]]) -> Layout | None:
    """Return a layout of a sequence that holds the tokens of an image somewhere between others, such as text.

    Where they begin is not known from the shape: `geometry` measures it, and the layout is of no use before.

    Args:
        shape: Shape of the output for one image, (1, t, c).
        known_grids: Grids of earlier layers, newest last.
    """
    if len(shape) != 3 or shape[0] != 1:
        return None
    grid = next((grid for grid in reversed(known_grids) if 1 < math.prod(grid) < shape[1]), None)
    return None if grid is None else Layout("tokens", grid)


def alternatives(layout: Layout, shape: tuple[int, ...], known_grids: Sequence[tuple[int, int]]) -> list[Layout]:
    """Return other readings of an output for one image, which a check of the geometry may confirm.

    Args:
        layout: The inferred layout.
        shape: Shape of the output.
        known_grids: Grids of the network's layers.

    Returns:
        For four axes the grid with channels first or last; for tokens every known grid at every offset.
    """
    if layout.kind in ("nchw", "nhwc"):
        other = Layout("nhwc", (shape[1], shape[2])) if layout.kind == "nchw" else Layout("nchw", (shape[2], shape[3]))
        return [other] if min(other.grid) > 1 else []
    if layout.kind == "windows":
        return []
    n_tokens = shape[0] if layout.kind == "tokens_first" else shape[1]
    grids = dict.fromkeys([layout.grid, *known_grids])
    return [
        Layout(layout.kind, grid, prefix)
        for grid in grids
        if math.prod(grid) > 1
        for prefix in range(n_tokens - math.prod(grid) + 1)
        if (grid, prefix) != (layout.grid, layout.prefix)
    ]


def infer_windows(
    shape: tuple[int, ...],
    *,
    batch_size: int,
    shift: tuple[int, int],
    known_grids: Iterable[tuple[int, int]],
) -> Layout | None:
    """Infer the layout of window attention's output, (b * windows, t, c).

    Args:
        shape: Shape of the output.
        batch_size: Number of images in the batch.
        shift: (h, w) by which the grid was rolled before it was split into windows.
        known_grids: Grids of earlier layers, newest last; the newest one that the windows tile row by row is used.

    Returns:
        The layout, or None where no grid fits.
    """
    if len(shape) != 3 or shape[0] % batch_size or (side := math.isqrt(shape[1])) ** 2 != shape[1] or side < 2:
        return None
    windows = shape[0] // batch_size
    for h, w in reversed(list(known_grids)):
        if h % side == 0 and w % side == 0 and (h // side) * (w // side) == windows:
            return Layout("windows", (h, w), window=(side, side), shift=shift)
    return None


def _infer_grid(shape: tuple[int, ...], image: tuple[int, int], channels_last: bool) -> Layout | None:
    first, last = (shape[2], shape[3]), (shape[1], shape[2])
    fits_first, fits_last = _same_aspect_ratio(first, image), _same_aspect_ratio(last, image)
    if fits_first and fits_last:
        # Both readings fit, as for (b, 7, 7, 7): the layer's usual arrangement decides.
        return Layout("nhwc", last) if channels_last else Layout("nchw", first)
    if fits_last:
        return Layout("nhwc", last)
    if fits_first or not channels_last:
        return Layout("nchw", first)
    return None


def _same_aspect_ratio(grid: tuple[int, int], image: tuple[int, int]) -> bool:
    """Return whether a grid has the aspect ratio of the image, up to one cell of rounding."""
    (h, w), (height, width) = grid, image
    return h <= height and w <= width and (abs(h - w * height / width) <= 1 or abs(w - h * width / height) <= 1)


def _token_grid(
    n_tokens: int, image: tuple[int, int], known_grids: Iterable[tuple[int, int]]
) -> tuple[tuple[int, int], int] | None:
    """Return ((h, w), prefix) for a number of tokens: a known grid, otherwise one of the image's aspect ratio."""
    fits = [(grid, n_tokens - math.prod(grid)) for grid in known_grids if math.prod(grid) > 1]
    fits = [(grid, prefix) for grid, prefix in fits if 0 <= prefix <= MAX_PREFIX_TOKENS]
    if fits:
        return min(reversed(fits), key=lambda fit: fit[1])
    for prefix in range(MAX_PREFIX_TOKENS + 1):
        cells = n_tokens - prefix
        if cells < 4:
            return None
        h = round(math.sqrt(cells * image[0] / image[1]))
        if h and cells % h == 0 and _same_aspect_ratio((h, cells // h), image):
            return (h, cells // h), prefix
    return None
