"""Render docs/images/captions.png: one map for each word of the caption of a toybox scene.

python docs/captions.py
"""

from __future__ import annotations

from pathlib import Path

import camlucida as cl
from camlucida.data import toybox

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    image = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=384).picture()
    words = cl.explain("toybox:captioner", image)
    words.figure(density=1.5).save(ROOT / "docs" / "images" / "captions.png", optimize=True)


if __name__ == "__main__":
    main()
