"""Render docs/images/segmentation.jpg: the regions of a toybox scene, each at three layers.

python docs/segmentation.py
"""

from __future__ import annotations

from pathlib import Path

import camlucida as cl
from camlucida.data import toybox

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    image = toybox.scene(4, kinds=["cat", "boat"], objects=2, size=384).picture()
    explanations = cl.explain(cl.load("toybox:segmenter"), image, layer=["bottleneck", "up2", "up0"])
    explanations.save(ROOT / "docs" / "images" / "segmentation.jpg", density=1.0)


if __name__ == "__main__":
    main()
