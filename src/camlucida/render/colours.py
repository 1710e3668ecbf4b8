"""Numbers to colours."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.errors import MethodError, nearest
from camlucida.render.palettes import DEFAULT, PALETTES

COLORMAPS = tuple(PALETTES)
NOT_SEEN = (200, 201, 206)
"""Neutral grey: what stands for NaN, where the network did not look."""

STEPS = 1025  # a multiple of 32, plus 1: every control colour of an even palette is met exactly
SLACK = 1e-3  # float16 maps miss 0 and 1 by about that much


def colourise(values: NDArray[Any], colormap: str = DEFAULT) -> NDArray[np.uint8]:
    """The colour of each value.

    values    any shape, float in [0, 1]; NaN is "not seen" and becomes neutral grey. For a diverging map
              ("signed") 0.5 is zero
    returns   (..., 3), uint8, RGB
    raises    MethodError for an unknown colour map, and for values outside [0, 1]
    """
    table = _table(checked(colormap))
    heat = checked_heat(values)
    seen = np.isfinite(heat)
    steps = np.rint(np.where(seen, heat, 0) * (STEPS - 1)).astype(np.intp)
    colours: NDArray[np.uint8] = table[steps]
    colours[~seen] = NOT_SEEN
    return colours


def checked(colormap: str) -> str:
    """The name itself, if there is such a colour map."""
    if colormap not in PALETTES:
        raise MethodError(f"no colour map {colormap!r}.{nearest(colormap, COLORMAPS)} Known: {', '.join(COLORMAPS)}.")
    return colormap


def checked_heat(values: NDArray[Any]) -> NDArray[np.float32]:
    """A float32 copy in [0, 1], NaN kept."""
    heat = np.array(values, dtype=np.float32)
    seen = heat[~np.isnan(heat)]
    if seen.size and (seen.min() < -SLACK or seen.max() > 1 + SLACK):
        raise MethodError(
            f"heat from {seen.min():.4g} to {seen.max():.4g} cannot be coloured: it must lie in [0, 1]. "
            "Normalise the map first."
        )
    return np.clip(heat, 0, 1)


def strength(heat: NDArray[np.float32], colormap: str) -> NDArray[np.float32]:
    """How much there is to show, in [0, 1]: the heat, or, for a diverging map, its distance from zero."""
    return np.abs(heat * 2 - 1) if PALETTES[checked(colormap)].diverging else heat


@lru_cache
def _table(colormap: str) -> NDArray[np.uint8]:
    palette = PALETTES[colormap]
    colours = np.array([list(bytes.fromhex(colour)) for colour in palette.colours])
    where = np.linspace(0, 1, STEPS)
    table = np.stack([np.interp(where, palette.positions, channel) for channel in colours.T], axis=1)
    rounded: NDArray[np.uint8] = np.rint(table).astype(np.uint8)
    return rounded
