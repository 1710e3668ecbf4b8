"""The heat over the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from camlucida.errors import MethodError, nearest
from camlucida.render.colours import NAN_COLOUR, apply_colormap, check_colormap, check_heatmap, strength
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES

Blend: TypeAlias = Literal["heat", "uniform"]

NAN_FADE = 0.45
"""How far a part that the network did not see fades into grey, at opacity 0.5 and above."""
BACKGROUND_CONTRAST = 0.4
"""What is left of a photograph's contrast where two hues are to be read on it."""


def overlay(
    image: Image.Image,
    heatmap: NDArray[Any],
    *,
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    blend: Blend = "heat",
    contour: float | None = None,
) -> Image.Image:
    """The picture with the heat on it, as a new RGB picture of the same size.

    heatmap   (height, width), float in [0, 1]; NaN where the network did not look: there the picture is
              faded and gets no colour
    opacity   0 (the picture itself) to 1
    colormap  one with zero in the middle has two hues to tell apart, and lies on the `ground` of the picture
    blend     "heat": the coat gets thicker with the heat, like stained glass, so the cool parts stay as they
              were; it covers `opacity` of the picture at half heat, 1 - (1 - opacity)^2 at full heat.
              "uniform": covers `opacity` everywhere, as in the papers
    contour   draws a line round all places at least this hot; where zero is in the middle, this far from it
    raises    MethodError for sizes that differ, an unknown option, an opacity or heat outside [0, 1]
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
    return _draw_contour(result, np.where(finite, strength(saliency, colormap), np.float32(-1)) >= contour)


def tint(image: Image.Image, strengths: NDArray[Any], colours: Sequence[str], *, opacity: float = 0.5) -> Image.Image:
    """The picture's `ground`, every place in the colour of what is strongest there.

    strengths  (n, height, width) in [0, 1], a map a colour; NaN where the network did not look
    colours    n of them, rrggbb
    opacity    as of `overlay`
    """
    strength_maps = np.stack([check_heatmap(strength_map) for strength_map in strengths])
    finite = ~np.isnan(strength_maps[0])
    strength_maps = np.nan_to_num(strength_maps)
    _check(image, strength_maps[0], opacity, "heat")
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
    """The picture in light greys: what is there can still be seen, and every hue on it is that of a map."""
    return image.convert("L").point(lambda level: round(255 - BACKGROUND_CONTRAST * (255 - level))).convert("RGB")


def fade(image: Image.Image) -> Image.Image:
    """The picture as the overlay shows what the network did not see."""
    return Image.blend(image.convert("RGB"), Image.new("RGB", image.size, NAN_COLOUR), NAN_FADE)


def _check(image: Image.Image, saliency: NDArray[np.float32], opacity: float, blend: str) -> None:
    if saliency.shape != (image.height, image.width):
        raise MethodError(
            f"a heat map of shape {saliency.shape} does not fit a picture {image.width} wide and {image.height} "
            "high: resize it to (height, width) first."
        )
    if not 0 <= opacity <= 1:
        raise MethodError(f"opacity is {opacity}: it goes from 0 (only the picture) to 1 (only the colours).")
    if blend not in get_args(Blend):
        raise MethodError(f"no blend {blend!r}.{nearest(blend, get_args(Blend))} Known: heat, uniform.")


def _alpha(saliency: NDArray[np.float32], opacity: float, colormap: str, blend: Blend) -> NDArray[np.float32]:
    """The share of the picture that is covered, in [0, 1]."""
    if blend == "uniform":
        return np.full_like(saliency, opacity)
    # Beer and Lambert: two layers of the coat let through the square of what one lets through.
    transmitted: NDArray[np.float32] = np.float32(1 - opacity) ** (2 * strength(saliency, colormap))
    return 1 - transmitted


def _draw_contour(image: Image.Image, inside: NDArray[np.bool_]) -> Image.Image:
    """A light line with a dark edge, visible on any picture, about 1/200 of its size wide."""
    width = max(1, round(min(image.size) / 200))
    area = Image.fromarray(inside.astype(np.uint8) * np.uint8(255))
    result = image.copy()
    for colour, reach in (("#1d1d22", 2 * width), ("#ffffff", width)):
        dilated = np.asarray(area.filter(ImageFilter.MaxFilter(2 * reach + 1))) > 0
        result.paste(colour, mask=Image.fromarray((dilated & ~inside).astype(np.uint8) * np.uint8(255)))
    return result
