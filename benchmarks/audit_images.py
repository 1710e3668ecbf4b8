"""Scenes of the toybox as JPEG files in class folders, with their boxes: what the benchmarks of audits read."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image

from camlucida.data.datasets import ListDataset, folder
from camlucida.data.toybox import CLASSES, Toybox

QUALITY = 88


def write_scenes(path: Path, n: int, size: int) -> ListDataset:
    """Write n scenes of `size` pixels, unless they are there, and return them as a data set with boxes."""
    table = path / "boxes.csv"
    if not table.exists():
        scenes, rows = Toybox(n, size=size), []
        for i in range(n):
            scene = scenes[i]
            file = path / CLASSES[scene.label] / f"{i:05d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = scene.image
            assert isinstance(image, Image.Image)
            image.save(file, quality=QUALITY)
            left, top, right, bottom = scene.drawing.boxes[0]
            rows.append([str(file.relative_to(path)), CLASSES[scene.label], left, top, right, bottom])
        with table.open("w", newline="") as stream:
            csv.writer(stream).writerows([["image", "label", "left", "top", "right", "bottom"], *rows])
    return folder(path, boxes=table)
