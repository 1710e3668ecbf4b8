"""Small data sets in the true layouts, made file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

Write = Callable[..., Path]


@pytest.fixture
def write_image() -> Write:
    """Return a function that writes an image of 40 x 30 pixels; equal seeds give equal images."""

    def write(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(path, **_format(path))
        return path

    return write


def _format(path: Path) -> dict[str, object]:
    return {"format": "JPEG", "quality": 95} if path.suffix.lower() in (".jpg", ".jpeg") else {}


@pytest.fixture
def xml() -> Write:
    """Write boxes as Pascal VOC does: (name, xmin, ymin, xmax, ymax[, difficult])."""

    def write(path: Path, *objects: tuple[object, ...]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        inner = "".join(
            f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
            f"<difficult>{int(bool(rest))}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
            f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>\n"
            for name, x0, y0, x1, y1, *rest in objects
        )
        path.write_text(f"<annotation><size><width>40</width><height>30</height></size>{inner}</annotation>")
        return path

    return write


DOGS = {
    "train": [("n02085620-Chihuahua/n02085620_7", 1), ("n02085936-Maltese_dog/n02085936_1", 2)],
    "test": [
        ("n02098105-soft-coated_wheaten_terrier/n02098105_3", 3),
        ("n02085620-Chihuahua/n02085620_9", 1),
    ],
}


@pytest.fixture
def dogs(tmp_path: Path, write_image: Write, xml: Write) -> Path:
    """Stanford Dogs as its archives unpack: the lists are cell arrays of n x 1, as MATLAB writes them."""
    root = tmp_path / "dogs"
    for split, members in DOGS.items():
        cells = np.empty((len(members), 1), dtype=object)
        notes = cells.copy()
        for number, (name, _) in enumerate(members):
            write_image(root / "Images" / f"{name}.jpg", seed=sum(name.encode()))
            xml(root / "Annotation" / name, (name.split("-")[1], 3, 4, 20 + number, 25), ("second", 0, 0, 40, 30))
            cells[number, 0], notes[number, 0] = f"{name}.jpg", name
        labels = np.array([[label] for _, label in members], dtype=np.uint8)
        (root / "lists").mkdir(exist_ok=True)
        content = {"file_list": cells, "annotation_list": notes, "labels": labels}
        scipy.io.savemat(root / "lists" / f"{split}_list.mat", content)
    return root
