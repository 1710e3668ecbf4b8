"""Render docs/images/fit.jpg: maps over a panorama, and what the network sees of it, by --fit and --size.

The panorama, 4000 × 600 pixels, is a synthetic scene: a dog at its far left and a cat near its right end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import camlucida as cl
from camlucida.data import toybox
from camlucida.render.fonts import load_font

ROOT = Path(__file__).resolve().parents[1]
HEIGHT_PX, WIDTH_PX = 600, 4000
OBJECTS = (("dog", 4, 40), ("tree", 2, 1050), ("house", 3, 2000), ("cat", 4, 3000))
"""Kind, seed of the scene, and left edge in pixels of each object."""
COLUMN_PX, ROW_PX, SEEN_PX, LABEL_PX, GAP_PX = 1000, 150, 440, 26, 14


def panorama() -> Image.Image:
    """Return the scene: a continued background with objects of toybox."""
    tile = toybox.scene(11, kinds=["key"], size=HEIGHT_PX)
    background = tile.without(0).draw().image
    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX))
    for number, left in enumerate(range(0, WIDTH_PX, HEIGHT_PX)):
        image.paste(background.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else background, (left, 0))
    for kind, seed, left in OBJECTS:
        scene = toybox.scene(seed, kinds=[kind], size=HEIGHT_PX)
        mask = Image.fromarray(255 * np.asarray(scene.draw().masks[0]).astype(np.uint8))
        image.paste(scene.draw().image, (left, 0), mask)
    return image


def main() -> None:
    image = panorama()
    rows = []
    for label, options in (
        ("--fit crop (as the model was trained): the middle", {}),
        ("--fit squash: all of it, distorted", {"fit": "squash"}),
        ("--fit letterbox: all of it, small", {"fit": "letterbox"}),
        ("--size 96x640: all of it, undistorted, for networks that take any input", {"size": (96, 640)}),
    ):
        model = cl.load("toybox", **options)
        explanation = cl.explain(model, image)
        seen, _ = model.preprocessing.resize_and_place(image)
        best = explanation.predictions[0]
        rows.append((f"{label} · predicted {best.name} {best.probability:.0%}", seen, explanation.overlay()))
    sheet = Image.new("RGB", (COLUMN_PX + GAP_PX + SEEN_PX, (ROW_PX + LABEL_PX + GAP_PX) * len(rows)), "white")
    for number, (label, seen, overlay) in enumerate(rows):
        top = number * (ROW_PX + LABEL_PX + GAP_PX)
        ImageDraw.Draw(sheet).text((4, top + 4), label, fill="black", font=load_font(17))
        sheet.paste(overlay.resize((COLUMN_PX, ROW_PX), Image.Resampling.LANCZOS), (0, top + LABEL_PX))
        scale = min(ROW_PX / seen.height, SEEN_PX / seen.width)
        shown = seen.resize((round(seen.width * scale), round(seen.height * scale)), Image.Resampling.NEAREST)
        sheet.paste(shown, (COLUMN_PX + GAP_PX, top + LABEL_PX))
    sheet.save(ROOT / "docs" / "images" / "fit.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
