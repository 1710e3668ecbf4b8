"""Numbers to colours."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.errors import MethodError, nearest
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES

COLORMAPS = tuple(PALETTES)
NAN_COLOUR = (200, 201, 206)
"""Neutral grey: what stands for NaN, where the network did not look."""

N_STEPS = 1025  # a multiple of 32, plus 1: every control colour of an even palette is met exactly
TOLERANCE = 1e-3  # float16 maps miss 0 and 1 by about that much


def apply_colormap(values: NDArray[Any], colormap: str = DEFAULT_COLORMAP) -> NDArray[np.uint8]:
    """The colour of each value.

    values    any shape, float in [0, 1]; NaN is "not seen" and becomes neutral grey. For a diverging map
              ("signed") 0.5 is zero
    returns   (..., 3), uint8, RGB
    raises    MethodError for an unknown colour map, and for values outside [0, 1]
    """
    table = _lookup_table(check_colormap(colormap))
    saliency = check_heatmap(values)
    finite = np.isfinite(saliency)
    steps = np.rint(np.where(finite, saliency, 0) * (N_STEPS - 1)).astype(np.intp)
    colours: NDArray[np.uint8] = table[steps]
    colours[~finite] = NAN_COLOUR
    return colours


def check_colormap(colormap: str) -> str:
    """The name itself, if there is such a colour map."""
    if colormap not in PALETTES:
        raise MethodError(f"no colour map {colormap!r}.{nearest(colormap, COLORMAPS)} Known: {', '.join(COLORMAPS)}.")
    return colormap


def check_heatmap(values: NDArray[Any]) -> NDArray[np.float32]:
    """A float32 copy in [0, 1], NaN kept."""
    saliency = np.array(values, dtype=np.float32)
    finite = saliency[~np.isnan(saliency)]
    if finite.size and (finite.min() < -TOLERANCE or finite.max() > 1 + TOLERANCE):
        raise MethodError(
            f"heat from {finite.min():.4g} to {finite.max():.4g} cannot be coloured: it must lie in [0, 1]. "
            "Normalise the map first."
        )
    return np.clip(saliency, 0, 1)


def strength(saliency: NDArray[np.float32], colormap: str) -> NDArray[np.float32]:
    """How much there is to show, in [0, 1]: the heat, or, for a diverging map, its distance from zero."""
    return np.abs(saliency * 2 - 1) if PALETTES[check_colormap(colormap)].diverging else saliency


@lru_cache
def _lookup_table(colormap: str) -> NDArray[np.uint8]:
    palette = PALETTES[colormap]
    colours = np.array([list(bytes.fromhex(colour)) for colour in palette.colours])
    positions = np.linspace(0, 1, N_STEPS)
    table = np.stack([np.interp(positions, palette.positions, channel) for channel in colours.T], axis=1)
    rounded: NDArray[np.uint8] = np.rint(table).astype(np.uint8)
    return rounded
