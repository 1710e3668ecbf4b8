"""Layouts: how a layer's output is arranged in memory, and its conversion to (b, c, h, w) and back.

Convolutions return (b, c, h, w); inside Swin and ConvNeXt outputs are (b, h, w, c); transformers return tokens
(b, t, c) with any number of class or register tokens in front, or (t, b, c); window attention returns
(b * windows, t, c). Methods only receive (b, c, h, w). The conversion is what `reshape_transform` does in
pytorch-grad-cam; here it is inferred.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

LayoutKind = Literal["nchw", "nhwc", "tokens", "tokens_first", "windows"]

MAX_PREFIX_TOKENS = 16  # class, distillation and register tokens: 1 to 9 in the known networks


@dataclass(frozen=True)
class Layout:
    """How an output maps to a spatial grid.

    Attributes:
        kind: Arrangement of the output.
        grid: (h, w) of the layer; (d, h, w) for a volume.
        prefix: Number of tokens before those of the patches (class, registers), which have no spatial position.
        window: (h, w) of one window, for the kind "windows".
        shift: (h, w) by which the grid was rolled before it was split into windows.
        frames: Number of frames of one video, each of which is a row of the output; 0 where a row is an image.
    """

    kind: LayoutKind
    grid: tuple[int, ...]
    prefix: int = 0
    window: tuple[int, int] = (1, 1)
    shift: tuple[int, int] = (0, 0)
    frames: int = 0

    @property
    def full_grid(self) -> tuple[int, ...]:
        """Return the grid with the frames as its first axis, (t, h, w), where there are frames."""
        return (self.frames, *self.grid) if self.frames else self.grid

    def to_grid(self, tensor: Tensor) -> Tensor:
        """Return a tensor in the layer's layout as (b, c, *full_grid), without the tokens that have no position."""
        if self.frames:
            rows = self.of_frame().to_grid(tensor)
            return rows.reshape(-1, self.frames, *rows.shape[1:]).movedim(1, 2)
        if self.kind == "nchw":
            return tensor
        if self.kind == "nhwc":
            return tensor.movedim(-1, 1)
        if self.kind == "windows":
            return self._merge_windows(tensor)
        tokens = tensor.transpose(0, 1) if self.kind == "tokens_first" else tensor
        patches = tokens[:, self.prefix : self.prefix + math.prod(self.grid)]
        return patches.transpose(1, 2).reshape(patches.shape[0], -1, *self.grid)

    def of_frame(self) -> Layout:
        """Return the layout of the rows, each of which is one frame."""
        return replace(self, frames=0)

    def from_grid(self, grid: Tensor, like: Tensor) -> Tensor:
        """Return a (b, c, *full_grid) tensor in the layer's layout.

        Args:
            grid: The tensor.
            like: An output of the layer, which provides the tokens that have no position.
        """
        if self.frames:
            return self.of_frame().from_grid(grid.movedim(2, 1).flatten(0, 1), like)
        if self.kind == "nchw":
            return grid
        if self.kind == "nhwc":
            return grid.movedim(1, -1)
        if self.kind == "windows":
            return self._split_windows(grid)
        tokens = like.transpose(0, 1).clone() if self.kind == "tokens_first" else like.clone()
        n_patches = math.prod(self.grid)
        tokens[:, self.prefix : self.prefix + n_patches] = grid.flatten(2).transpose(1, 2)
        return tokens.transpose(0, 1) if self.kind == "tokens_first" else tokens

    @property
    def batch_axis(self) -> int:
        """Return the axis along which the images of a batch are counted."""
        return 1 if self.kind == "tokens_first" else 0

    def _merge_windows(self, tensor: Tensor) -> Tensor:
        h, w, wh, ww = *self.grid, *self.window
        c = tensor.shape[-1]
        rows = tensor.reshape(-1, h // wh, w // ww, wh, ww, c).permute(0, 5, 1, 3, 2, 4)
        return rows.reshape(-1, c, h, w).roll(self.shift, (2, 3))

    def _split_windows(self, grid: Tensor) -> Tensor:
        h, w, wh, ww = *self.grid, *self.window
        b, c = grid.shape[:2]
        rolled = grid.roll((-self.shift[0], -self.shift[1]), (2, 3))
        windows = rolled.reshape(b, c, h // wh, wh, w // ww, ww).permute(0, 2, 4, 3, 5, 1)
        return windows.reshape(-1, wh * ww, c)


def infer_layout(
    shape: tuple[int, ...],
    *,
    batch_size: int,
    image: tuple[int, ...],
    channels_last: bool = False,
    known_grids: Iterable[tuple[int, ...]] = (),
) -> Layout | None:
    """Infer the layout of a layer's output from its shape.

    Args:
        shape: Shape of the output.
        batch_size: Number of images in the batch.
        image: (height, width) of the network's input, or (depth, height, width).
        channels_last: Whether the layer puts channels last (Linear, LayerNorm); decides ambiguous cases.
        known_grids: Grids of earlier layers, newest last; tokens are assigned to one of these if possible.

    Returns:
        The layout, or None for an output without a spatial grid.
    """
    known_grids = [grid for grid in known_grids if len(grid) == len(image)]
    if len(shape) == len(image) + 2 and shape[0] == batch_size:
        return _infer_grid(shape, image, channels_last)
    if len(shape) == 3 and shape[0] == batch_size:
        match = _token_grid(shape[1], image, known_grids)
        return Layout("tokens", *match) if match else None
    if len(shape) == 3 and shape[1] == batch_size:
        match = _token_grid(shape[0], image, known_grids)
        return Layout("tokens_first", *match) if match else None
    return None


def infer_frames(
    shape: tuple[int, ...],
    *,
    n_frames: int,
    image: tuple[int, ...],
    channels_last: bool = False,
    known_grids: Iterable[tuple[int, ...]] = (),
) -> Layout | None:
    """Infer the layout of an output whose rows are the frames of one video.

    Args:
        shape: Shape of the output.
        n_frames: Number of frames.
        image: (height, width) of a frame.
        channels_last: As of `infer_layout`.
        known_grids: As of `infer_layout`.

    Returns:
        The layout, or None for an output without a row per frame or without a grid.
    """
    if not shape or shape[0] != n_frames:
        return None
    layout = infer_layout(
        (1, *shape[1:]), batch_size=1, image=image, channels_last=channels_last, known_grids=known_grids
    )
    return None if layout is None else replace(layout, frames=n_frames)


def span_layout(shape: tuple[int, ...], known_grids: Sequence[tuple[int, ...]]) -> Layout | None:
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


def alternatives(layout: Layout, shape: tuple[int, ...], known_grids: Sequence[tuple[int, ...]]) -> list[Layout]:
    """Return other readings of an output for one image, which a check of the geometry may confirm.

    Args:
        layout: The inferred layout.
        shape: Shape of the output.
        known_grids: Grids of the network's layers.

    Returns:
        For four axes the grid with channels first or last; for tokens every known grid at every offset.
    """
    if layout.kind in ("nchw", "nhwc"):
        kind: LayoutKind = "nhwc" if layout.kind == "nchw" else "nchw"
        other = replace(layout, kind=kind, grid=shape[1:-1] if kind == "nhwc" else shape[2:])
        return [other] if min(other.grid) > 1 else []
    if layout.kind == "windows":
        return []
    n_tokens = shape[0] if layout.kind == "tokens_first" else shape[1]
    grids = dict.fromkeys([layout.grid, *(grid for grid in known_grids if len(grid) == len(layout.grid))])
    return [
        replace(layout, grid=grid, prefix=prefix)
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
    known_grids: Iterable[tuple[int, ...]],
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
    for h, w in reversed([(grid[0], grid[1]) for grid in known_grids if len(grid) == 2]):
        if h % side == 0 and w % side == 0 and (h // side) * (w // side) == windows:
            return Layout("windows", (h, w), window=(side, side), shift=shift)
    return None


def _infer_grid(shape: tuple[int, ...], image: tuple[int, ...], channels_last: bool) -> Layout | None:
    first, last = shape[2:], shape[1:-1]
    fits_first, fits_last = _same_aspect_ratio(first, image), _same_aspect_ratio(last, image)
    if fits_first and fits_last:
        # Both readings fit, as for (b, 7, 7, 7): the layer's usual arrangement decides.
        return Layout("nhwc", last) if channels_last else Layout("nchw", first)
    if fits_last:
        return Layout("nhwc", last)
    if fits_first or not channels_last:
        return Layout("nchw", first)
    return None


def _same_aspect_ratio(grid: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Return whether a grid has the aspect ratio of the image, up to one cell of rounding.

    Of a volume this is the ratio of height and width: many networks keep the number of slices or frames.
    """
    *depth, h, w = grid
    *slices, height, width = image
    if any(d > n for d, n in zip(depth, slices, strict=True)):
        return False
    return h <= height and w <= width and (abs(h - w * height / width) <= 1 or abs(w - h * width / height) <= 1)


def _token_grid(
    n_tokens: int, image: tuple[int, ...], known_grids: Iterable[tuple[int, ...]]
) -> tuple[tuple[int, ...], int] | None:
    """Return (grid, prefix) for a number of tokens: a known grid, otherwise one of the image's aspect ratio.

    The tokens of a volume have a known grid, or none: its sides do not follow from a number of tokens.
    """
    fits = [(grid, n_tokens - math.prod(grid)) for grid in known_grids if math.prod(grid) > 1]
    fits = [(grid, prefix) for grid, prefix in fits if 0 <= prefix <= MAX_PREFIX_TOKENS]
    if fits:
        return min(reversed(fits), key=lambda fit: fit[1])
    if len(image) != 2:
        return None
    for prefix in range(MAX_PREFIX_TOKENS + 1):
        cells = n_tokens - prefix
        if cells < 4:
            return None
        h = round(math.sqrt(cells * image[0] / image[1]))
        if h and cells % h == 0 and _same_aspect_ratio((h, cells // h), image):
            return (h, cells // h), prefix
    return None
