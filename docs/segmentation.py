"""Render docs/images/segmentation.jpg, the regions of a toybox scene, each at three layers; and segmentation-part.jpg,
one of two cats by two methods.

python docs/segmentation.py
"""

from __future__ import annotations

from pathlib import Path

import camlucida as cl
from camlucida.data import toybox

ROOT = Path(__file__).resolve().parents[1]
TWO_CATS = 10
"""A scene in which the two cats are separate regions."""


def main() -> None:
    model, images = cl.load("toybox:segmenter"), ROOT / "docs" / "images"
    image = toybox.scene(4, kinds=["cat", "boat"], objects=2, size=384).picture()
    explanations = cl.explain(model, image, layer=["bottleneck", "up2", "up0"])
    explanations.save(images / "segmentation.jpg", density=1.0)
    cats = toybox.scene(TWO_CATS, kinds=["cat", "cat"], objects=2, size=384).draw()
    left, top, right, bottom = cats.boxes[0]
    target = f"class:cat at {(left + right) / 2:g},{(top + bottom) / 2:g}"
    explanations = cl.explain(model, cats.image, target=target, method=["grad_cam", "hires_cam"], layer=["up1", "up0"])
    explanations.save(images / "segmentation-part.jpg", density=1.0)


if __name__ == "__main__":
    main()
