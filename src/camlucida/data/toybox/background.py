"""Background of a scene: fractal noise in a random palette and abstract patches without meaning.

The same seed gives the same background at any size, at a different resolution: larger images have more octaves.
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.data.toybox.curves import Points, blob, polygon, stroke
from camlucida.data.toybox.palette import ANY_HUE, GREY, RGB, Hues, mix, random_colour

_NOISE, _PALETTE, _CLUTTER = 11, 12, 13  # separate random streams, so that they are independent
_MUTED: Hues = (0.0, 1.0, 0.05, 0.55, 0.2, 0.95)


def background(seed: int, size: int) -> NDArray[np.float32]:
    """Return fractal noise, RGB in 0..255, `(size, size, 3)`."""
    rng = np.random.default_rng([_PALETTE, seed])
    anchors = np.array([random_colour(rng, _MUTED if rng.random() < 0.8 else ANY_HUE) for _ in range(3)], np.float32)
    rough, contrast, shade = rng.uniform(0.35, 0.72), rng.uniform(50, 120), rng.uniform(4, 26)
    hue, light = _fractal(seed, size, float(rough))
    positions = np.clip(127.5 + contrast * hue, 0, 255).astype(np.uint8)
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, (0.0, 0.5, 1.0), anchors[:, c]) for c in range(3)], axis=1)
    noise: NDArray[np.float32] = table.astype(np.float32)[positions] + (shade * light)[:, :, None]
    return np.clip(noise, 0, 255)


def _fractal(seed: int, size: int, rough: float) -> NDArray[np.float32]:
    """Return two noise fields of about unit variance, `(2, size, size)`: a sum of octaves of random grids.

    Args:
        seed: The seed of the noise.
        size: Width and height in pixels.
        rough: The factor in 0..1 by which each octave is weaker than the previous one, which is half as fine.
    """
    rng = np.random.default_rng([_NOISE, seed])
    field = np.zeros((2, size, size), np.float32)
    grid, weight = 2, 1.0
    while grid <= size:
        coarse = rng.standard_normal((2, grid, grid), dtype=np.float32)
        for channel in range(2):
            fine = Image.fromarray(coarse[channel]).resize((size, size), Image.Resampling.BILINEAR)
            field[channel] += weight * np.asarray(fine)
        grid, weight = grid * 2, weight * rough
    return field * np.float32((1 - rough**2) ** 0.5)


def clutter(seed: int, count: int) -> list[tuple[Points, RGB]]:
    """Return abstract patches from back to front: outlines as fractions of the frame (0..1), and colours."""
    rng = np.random.default_rng([_CLUTTER, seed])
    return [layer for _ in range(count) for layer in _patch(rng)]


def _patch(rng: np.random.Generator) -> list[tuple[Points, RGB]]:
    """Return one meaningless shape, with or without a dark rim, so that a rim alone does not reveal an object."""
    corners = int(rng.integers(3, 8))
    angle = np.sort(rng.uniform(0, 2 * pi, corners))
    reach = rng.uniform(0.4, 1.0, corners)
    knots = [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(reach, angle, strict=True)]
    style = int(rng.integers(3))
    if style == 0:
        shape = polygon("body", *knots)
    elif style == 1:
        shape = blob("body", *knots)
    else:
        shape = stroke("body", float(rng.uniform(0.08, 0.3)), *knots[:3])
    fill = random_colour(rng, ANY_HUE if rng.random() < 0.6 else GREY)
    scale, centre = float(rng.uniform(0.05, 0.26)), rng.uniform(0, 1, 2)
    layers = [(shape.points * scale + centre, fill)]
    if rng.random() < 0.5 and shape.rim is not None:
        layers.insert(0, (shape.rim * scale + centre, mix(fill, (18, 14, 20), 0.8)))
    return layers
