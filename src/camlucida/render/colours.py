"""Colour maps: conversion of map values to colours."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.errors import MethodError, nearest
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES

COLORMAPS = tuple(PALETTES)
NAN_COLOUR = (200, 201, 206)
"""Neutral grey for NaN, where the network input does not cover the image."""

N_STEPS = 1025  # a multiple of 32, plus 1: every control colour of an evenly spaced palette is hit exactly
TOLERANCE = 1e-3  # float16 maps exceed 0 and 1 by about that much


def apply_colormap(values: NDArray[Any], colormap: str = DEFAULT_COLORMAP) -> NDArray[np.uint8]:
    """Return the colour of each value.

    Args:
        values: Map values of any shape, float in [0, 1]. NaN means that the network input does not cover the position,
            and becomes neutral grey. In a diverging colour map ("signed"), 0.5 is zero.
        colormap: Name of the colour map.

    Returns:
        RGB colours `(..., 3)`, uint8.

    Raises:
        MethodError: If the colour map is unknown, or a value is outside [0, 1].
    """
    table = _lookup_table(check_colormap(colormap))
    saliency = check_heatmap(values)
    finite = np.isfinite(saliency)
    steps = np.rint(np.where(finite, saliency, 0) * (N_STEPS - 1)).astype(np.intp)
    colours: NDArray[np.uint8] = table[steps]
    colours[~finite] = NAN_COLOUR
    return colours


def check_colormap(colormap: str) -> str:
    """Return the name of a colour map, or raise `MethodError` if it is unknown."""
    if colormap not in PALETTES:
        raise MethodError(f"no colour map {colormap!r}.{nearest(colormap, COLORMAPS)} Known: {', '.join(COLORMAPS)}.")
    return colormap


def check_heatmap(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return a float32 copy of a map, clipped to [0, 1]; NaN is kept. Values far outside raise `MethodError`."""
    saliency = np.array(values, dtype=np.float32)
    finite = saliency[~np.isnan(saliency)]
    if finite.size and (finite.min() < -TOLERANCE or finite.max() > 1 + TOLERANCE):
        raise MethodError(
            f"map values from {finite.min():.4g} to {finite.max():.4g}: a map must lie in [0, 1] to be coloured. "
            "Normalise it first."
        )
    return np.clip(saliency, 0, 1)


def strength(saliency: NDArray[np.float32], colormap: str) -> NDArray[np.float32]:
    """Return the magnitude in [0, 1]: the map value or, for a diverging colour map, its distance from zero."""
    return np.abs(saliency * 2 - 1) if PALETTES[check_colormap(colormap)].diverging else saliency


@lru_cache
def _lookup_table(colormap: str) -> NDArray[np.uint8]:
    palette = PALETTES[colormap]
    colours = np.array([list(bytes.fromhex(colour)) for colour in palette.colours])
    positions = np.linspace(0, 1, N_STEPS)
    table = np.stack([np.interp(positions, palette.positions, channel) for channel in colours.T], axis=1)
    rounded: NDArray[np.uint8] = np.rint(table).astype(np.uint8)
    return rounded
