"""Render docs/images/similarity.jpg: what makes two toybox scenes similar, both ways.

python docs/image_text.py
"""

from __future__ import annotations

from pathlib import Path

import camlucida as cl
from camlucida.data import toybox

IMAGES = Path(__file__).resolve().parent / "images"


def main() -> None:
    model = cl.load("toybox")
    scenes = [toybox.scene(seed, kinds=kinds, size=96).picture() for seed, kinds in ((3, ["cat"]), (5, ["cat", "dog"]))]
    cl.explain(model, scenes[0], like=scenes[1]).save(IMAGES / "similarity.jpg")


if __name__ == "__main__":
    main()
