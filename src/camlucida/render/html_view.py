"""Write explanations as one HTML file whose controls work without a server: opacity, palette, class, layer, method.

The file holds the image and the maps as numbers; its script, in `viewer/`, draws the overlay. Its policy allows its own
script and no request. All text is data: it is inserted as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida._escaping import printable
from camlucida.render.class_mask import draw_classes, legend_data
from camlucida.render.overlay import Blend
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES
from camlucida.render.probability_bars import Bar
from camlucida.render.resize import resize_heatmap, resize_image
from camlucida.render.text import format_number, format_percent
from camlucida.types import Region

MAX_VIEW_PX = 1024
"""The longer side of the image in the file, at most."""
MAX_CLASSES_PX = 512
"""The longer side of the drawing of the predicted classes, at most."""
MAX_PNG_PIXELS = 256 * 256
"""Larger images are embedded as JPEG."""
JPEG_QUALITY = 92
LARGEST_LEVEL = 32767
NOTHING = -32768
"""The level of positions that the network input does not cover."""


@dataclass(frozen=True)
class ViewMap:
    """One map of the file.

    Attributes:
        values: Map `(height, width)` on the image, in its own units; NaN outside the network input.
        peak: The value with the full colour.
        signed: Whether negative values are displayed by default.
        image: Position of its image among the images.
        axes: What it is selected by, such as {"method": "grad_cam", "layer": "layer4"}.
        title: The heading.
        subtitle: The line below it.
        remark: A warning; empty without one.
        bars: The predictions.
        facts: Further names and values.
        region: What the target is about. Its predicted classes, if it has them, are drawn below the map.
    """

    values: NDArray[Any]
    peak: float
    signed: bool
    image: int
    axes: Mapping[str, str]
    title: str
    subtitle: str
    remark: str
    bars: Sequence[Bar]
    facts: Mapping[str, str]
    region: Region | None = None


def html_view(
    images: Sequence[Image.Image],
    maps: Sequence[ViewMap],
    *,
    name: str,
    reproduce: Sequence[tuple[str, str]] = (),
    opacity: float = 0.5,
    colormap: str | None = None,
    blend: Blend = "saliency",
    contour: float | None = None,
) -> bytes:
    """Return a self-contained HTML file.

    Args:
        images: The images, stored with at most `MAX_VIEW_PX` pixels on the longer side.
        maps: The maps, at least one; the first is displayed at first.
        name: Name of the PNG that the file saves, without suffix.
        reproduce: Lines that reproduce the maps, as (name, line).
        opacity: As of `overlay`, at first.
        colormap: As of `overlay`, at first; None for the default of each map.
        blend: As of `overlay`, at first.
        contour: As of `overlay`, at first.
    """
    sizes = [_view_size(image.size) for image in images]
    data = {
        "name": name,
        "style": {"opacity": opacity, "colormap": colormap, "blend": blend, "contour": contour},
        "default_colormap": DEFAULT_COLORMAP,
        "palettes": {key: palette._asdict() for key, palette in PALETTES.items()},
        "images": [_data_uri(resize_image(image, size)) for image, size in zip(images, sizes, strict=True)],
        "maps": [_map_data(view, sizes[view.image]) | _classes_data(view, images[view.image]) for view in maps],
        "reproduce": list(reproduce),
    }
    style, script = _asset("viewer.css"), _asset("viewer.js")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(_printable(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    markup = _asset("page.html")
    parts = {
        "policy": policy,
        "title": escape(printable(maps[0].title, lines=False)),
        "style": style,
        "script": script,
        "data": text.replace("<", "\\u003c"),  # no </script> and no <!-- in data
    }
    before, *fields = markup.split("{")
    return "".join([before, *(parts[key] + rest for key, _, rest in (f.partition("}") for f in fields))]).encode()


def _view_size(size: tuple[int, int]) -> tuple[int, int]:
    factor = min(1.0, MAX_VIEW_PX / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _map_data(view: ViewMap, size: tuple[int, int]) -> dict[str, Any]:
    values = resize_heatmap(view.values, size)
    largest = float(np.nan_to_num(np.abs(values)).max(initial=0.0))
    levels = np.rint(np.nan_to_num(values) / largest * LARGEST_LEVEL) if largest else np.zeros_like(values)
    levels = np.where(np.isnan(values), NOTHING, levels).astype(np.int64)
    # Differences of neighbours are small, and need a third of the bytes; sums wrap around as int16 does.
    steps = np.diff(levels, axis=1, prepend=np.zeros((len(levels), 1), np.int64))
    return {
        "values": base64.b64encode(zlib.compress(steps.astype("<i2").tobytes(), 9)).decode(),
        "width": size[0],
        "largest": largest,
        "peak": view.peak,
        "signed": view.signed,
        "image": view.image,
        "axes": dict(view.axes),
        "title": view.title,
        "subtitle": view.subtitle,
        "remark": view.remark,
        "predictions": [_prediction(bar) for bar in view.bars],
        "facts": dict(view.facts),
    }


def _classes_data(view: ViewMap, image: Image.Image) -> dict[str, Any]:
    """Return the drawing of the predicted classes and its legend; nothing without them."""
    if view.region is None or view.region.classes is None:
        return {}
    factor = min(1.0, MAX_CLASSES_PX / max(image.size))
    small = resize_image(image, (max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    return {"classes": _data_uri(draw_classes(small, view.region)), "legend": legend_data(view.region)}


def _prediction(bar: Bar) -> dict[str, Any]:
    known = bar.probability is not None and bool(np.isfinite(bar.probability))
    return {
        "name": bar.name,
        "explained": bar.explained,
        "probability": min(max(float(bar.probability or 0.0), 0.0), 1.0) if known else None,
        "text": format_number(bar.value) if bar.probability is None else format_percent(bar.probability),
    }


def _data_uri(image: Image.Image) -> str:
    sink = io.BytesIO()
    if image.width * image.height <= MAX_PNG_PIXELS:
        image.save(sink, "PNG")
        return f"data:image/png;base64,{base64.b64encode(sink.getvalue()).decode()}"
    image.save(sink, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(sink.getvalue()).decode()}"


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list | tuple) else value


def _asset(name: str) -> str:
    return files("camlucida.render").joinpath("viewer", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
