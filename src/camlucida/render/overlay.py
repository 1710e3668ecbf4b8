"""Overlays of a map on an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camlucida.errors import MethodError, nearest
from camlucida.render.colours import NAN_COLOUR, apply_colormap, check_colormap, check_heatmap, strength
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES

Blend: TypeAlias = Literal["saliency", "uniform"]

NAN_FADE = 0.45
"""Weight of grey where the network input does not cover the image, at opacity 0.5 and above."""
BACKGROUND_CONTRAST = 0.4
"""Contrast that remains in the image below a colour map with two hues."""


def overlay(
    image: Image.Image,
    heatmap: NDArray[Any],
    *,
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "saliency",
    contour: float | None = None,
) -> Image.Image:
    """Overlay a map on an image.

    Where the map is NaN, because the network input does not cover the image, the image is faded.

    Args:
        image: The image.
        heatmap: Map `(height, width)`, float in [0, 1].
        opacity: From 0 (the image itself) to 1.
        colormap: Name of the colour map. A diverging one is drawn on `grey_background`, so that its two hues are
            distinguishable.
        blend: "saliency" scales the opacity with the map value h as 1 - (1 - opacity)^(2h), so that low values leave
            the image unmodified; it is `opacity` at 0.5. "uniform" uses `opacity` at every position, as in the papers
            (and `show_cam_on_image` of pytorch-grad-cam).
        contour: Draws a contour around all positions with at least this map value or, for a diverging colour map, at
            least this distance from zero.

    Returns:
        A new RGB image of the same size.

    Raises:
        MethodError: If sizes differ, an option is unknown, or the opacity or a map value is outside [0, 1].
    """
    saliency = check_heatmap(heatmap)
    _check(image, saliency, opacity, blend)
    finite = ~np.isnan(saliency)
    fade_fraction = min(1.0, 2 * opacity)
    photo = np.asarray(image.convert("RGB"), dtype=np.float32)
    if PALETTES[check_colormap(colormap)].diverging:
        photo = photo + np.float32(fade_fraction) * (np.asarray(grey_background(image), dtype=np.float32) - photo)
    alpha = np.where(finite, _alpha(saliency, opacity, colormap, blend), NAN_FADE * fade_fraction)[..., None]
    mixed = photo + alpha * (apply_colormap(saliency, colormap).astype(np.float32) - photo)
    result = Image.fromarray(np.rint(mixed).astype(np.uint8))
    if contour is None:
        return result
    return draw_contour(result, np.where(finite, strength(saliency, colormap), np.float32(-1)) >= contour)


def tint(image: Image.Image, strengths: NDArray[Any], colours: Sequence[str], *, opacity: float = 0.5) -> Image.Image:
    """Colour every position of an image by the strongest of several maps.

    Args:
        image: The image; it is drawn as `grey_background`.
        strengths: Maps `(n, height, width)` in [0, 1]; NaN where the network input does not cover the image.
        colours: One colour per map, as rrggbb.
        opacity: As in `overlay`.

    Returns:
        A new RGB image of the same size.
    """
    strength_maps = np.stack([check_heatmap(strength_map) for strength_map in strengths])
    finite = ~np.isnan(strength_maps[0])
    strength_maps = np.nan_to_num(strength_maps)
    _check(image, strength_maps[0], opacity, "saliency")
    table = np.array([list(bytes.fromhex(colour)) for colour in colours], dtype=np.float32)
    colour_layer = np.where(finite[..., None], table[strength_maps.argmax(0)], np.array(NAN_COLOUR, dtype=np.float32))
    fade_fraction = min(1.0, 2 * opacity)
    photo = np.asarray(image.convert("RGB"), dtype=np.float32)
    photo = photo + np.float32(fade_fraction) * (np.asarray(grey_background(image), dtype=np.float32) - photo)
    alpha = np.where(finite, 1 - np.float32(1 - opacity) ** (2 * strength_maps.max(0)), NAN_FADE * fade_fraction)[
        ..., None
    ]
    return Image.fromarray(np.rint(photo + alpha * (colour_layer - photo)).astype(np.uint8))


def grey_background(image: Image.Image) -> Image.Image:
    """Return the image in light greys: its content remains visible, and every hue on it is that of a map."""
    return image.convert("L").point(lambda level: round(255 - BACKGROUND_CONTRAST * (255 - level))).convert("RGB")


def fade(image: Image.Image) -> Image.Image:
    """Return the image faded, as the overlay displays what the network input does not cover."""
    return Image.blend(image.convert("RGB"), Image.new("RGB", image.size, NAN_COLOUR), NAN_FADE)


def _check(image: Image.Image, saliency: NDArray[np.float32], opacity: float, blend: str) -> None:
    """Raise `MethodError` if the map does not fit the image, or an option is invalid."""
    if saliency.shape != (image.height, image.width):
        raise MethodError(
            f"a heatmap of shape {saliency.shape} does not fit an image of size {image.size}: resize it to "
            f"(height, width) = {(image.height, image.width)} first."
        )
    if not 0 <= opacity <= 1:
        raise MethodError(f"opacity is {opacity}: it must be from 0 (only the image) to 1 (only the colours).")
    if blend not in get_args(Blend):
        raise MethodError(f"no blend {blend!r}.{nearest(blend, get_args(Blend))} Known: saliency, uniform.")


def _alpha(saliency: NDArray[np.float32], opacity: float, colormap: str, blend: Blend) -> NDArray[np.float32]:
    """Return the opacity of the colour at each position, in [0, 1]."""
    if blend == "uniform":
        return np.full_like(saliency, opacity)
    # Beer-Lambert law: two layers transmit the square of what one layer transmits.
    transmitted: NDArray[np.float32] = np.float32(1 - opacity) ** (2 * strength(saliency, colormap))
    return 1 - transmitted


def draw_contour(image: Image.Image, inside: NDArray[np.bool_]) -> Image.Image:
    """Draw a light contour with a dark edge, visible on every image, about 1/200 of its size wide."""
    width = max(1, round(min(image.size) / 200))
    area = Image.fromarray(inside.astype(np.uint8) * np.uint8(255))
    result = image.copy()
    for colour, reach in (("#1d1d22", 2 * width), ("#ffffff", width)):
        dilated = np.asarray(area.filter(ImageFilter.MaxFilter(2 * reach + 1))) > 0
        result.paste(colour, mask=Image.fromarray((dilated & ~inside).astype(np.uint8) * np.uint8(255)))
    return result
