"""Colours: fixed ones, and random colours for each object."""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

RGB: TypeAlias = tuple[int, int, int]
"""Red, green and blue in 0..255."""
Hues: TypeAlias = tuple[float, float, float, float, float, float]
"""A range of colours: hue from, to; saturation from, to; value from, to; all in 0..1."""

ANY_HUE: Hues = (0.0, 1.0, 0.25, 0.9, 0.5, 0.98)
BROWN: Hues = (0.04, 0.10, 0.35, 0.75, 0.45, 0.85)
GREY: Hues = (0.0, 1.0, 0.0, 0.12, 0.35, 0.92)
GOLD: Hues = (0.10, 0.15, 0.5, 0.8, 0.75, 0.95)
GREEN: Hues = (0.22, 0.40, 0.5, 0.85, 0.45, 0.8)
AUTUMN: Hues = (0.02, 0.13, 0.65, 0.9, 0.7, 0.95)

FIXED: dict[str, RGB] = {
    "white": (250, 250, 246),
    "black": (24, 22, 26),
    "pink": (240, 130, 140),
    "glass": (186, 222, 240),
    "wood": (124, 84, 52),
    "yellow": (252, 204, 70),
    "red": (214, 50, 44),
    "coffee": (84, 50, 32),
}
"""Colours that are the same in every scene."""


@dataclass(frozen=True)
class ObjectColours:
    """The colours of one object, each red, green and blue in 0..255."""

    body: RGB
    light: RGB
    dark: RGB
    accent: RGB
    line: RGB

    def of(self, role: str) -> RGB:
        """Return the colour of a role in this object."""
        fixed = FIXED.get(role)
        if fixed is not None:
            return fixed
        colour: RGB = getattr(self, role)
        return colour


def random_object_colours(rng: np.random.Generator, natural: tuple[Hues, ...]) -> ObjectColours:
    """Return random colours for one object: natural ones with probability 2/3, otherwise any."""
    use_natural = bool(natural) and rng.random() < 2 / 3
    body = random_colour(rng, natural[int(rng.integers(len(natural)))] if use_natural else ANY_HUE)
    return ObjectColours(
        body=body,
        light=mix(body, (255, 255, 250), 0.6),
        dark=mix(body, (20, 16, 24), 0.4),
        accent=random_colour(rng, ANY_HUE),
        line=mix(body, (18, 14, 20), float(rng.uniform(0.72, 0.92))),
    )


def random_colour(rng: np.random.Generator, hues: Hues) -> RGB:
    """Return a random colour from a range."""
    h, s, v = (float(rng.uniform(hues[i], hues[i + 1])) for i in (0, 2, 4))
    r, g, b = hsv_to_rgb(h % 1.0, s, v)
    return round(r * 255), round(g * 255), round(b * 255)


def mix(base: RGB, other: RGB, fraction: float) -> RGB:
    """Return `base` blended with `other`, whose weight is `fraction`."""
    r, g, b = (round(a + (c - a) * fraction) for a, c in zip(base, other, strict=True))
    return r, g, b
