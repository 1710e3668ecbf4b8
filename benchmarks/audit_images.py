"""Images that the benchmarks of audits read: scenes of the toybox as JPEG files with their boxes, and broken files."""

from __future__ import annotations

import csv
import io
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from camlucida.data.datasets import Item, ListDataset
from camlucida.data.toybox import CLASSES, Toybox

QUALITY = 88


def write_scenes(path: Path, n: int, size: int, n_variants: int = 1) -> ListDataset:
    """Write n images of `size` pixels, unless they are there, and return them as a data set with boxes.

    Rendering a scene takes longer than explaining it, so that each scene gives `n_variants` images: mirrored ones, and
    darker ones.
    """
    table = path / "boxes.csv"
    if not table.exists():
        scenes, rows = Toybox(-(-n // n_variants), size=size), []
        for i in range(n):
            if i % n_variants == 0:
                scene = scenes[i // n_variants]
            file = path / CLASSES[scene.label] / f"{i:05d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = scene.image
            assert isinstance(image, Image.Image)
            left, top, right, bottom = scene.drawing.boxes[0]
            variant = i % n_variants
            if variant % 2:
                image, left, right = ImageOps.mirror(image), size - right, size - left
            image.point([value * (20 - variant) // 20 for value in range(256)] * 3).save(file, quality=QUALITY)
            rows.append([str(file.relative_to(path)), CLASSES[scene.label], left, top, right, bottom])
        with table.open("w", newline="") as stream:
            csv.writer(stream).writerows([["image", "label", "left", "top", "right", "bottom"], *rows])
    with table.open(newline="") as stream:  # by the table, so that a file that is missing is an item
        lines = list(csv.DictReader(stream))
    items = [
        Item(
            path / line["image"],
            line["image"],
            CLASSES.index(line["label"]),
            np.array([[float(line[side]) for side in ("left", "top", "right", "bottom")]]),
        )
        for line in lines
    ]
    return ListDataset("scenes", items, CLASSES)


def broken_content() -> dict[str, bytes]:
    """Return the bytes of broken files, by kind."""
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    jpeg, png = _saved(photo, "JPEG"), _saved(photo, "PNG")
    values = np.full((96, 96), np.nan, dtype=np.float32)
    return {
        "empty": b"",
        "truncated JPEG": jpeg[: len(jpeg) // 3],
        "truncated PNG": png[: len(png) // 3],
        "text": b"this was meant to be a photograph\n",
        "decompression bomb": _png_header(40_000, 40_000),
        "NaN TIFF": _saved(Image.fromarray(values), "TIFF"),
        "without pixels": _png_header(0, 0),
    }


@contextmanager
def break_files(files: Mapping[int, Path]) -> Iterator[dict[int, str]]:
    """Replace files by broken ones of nine kinds in turn, and restore them; yields the kind of each.

    Besides those of `broken_content`, a link to a file that does not exist and a folder are kinds.
    """
    content = broken_content()
    kinds = [*content, "dangling link", "folder"]
    chosen = {index: kinds[k % len(kinds)] for k, index in enumerate(files)}
    with tempfile.TemporaryDirectory() as kept:
        for index, file in files.items():
            shutil.move(file, Path(kept) / str(index))
            kind = chosen[index]
            if kind == "dangling link":
                file.symlink_to(file.with_name("no such file.jpg"))
            elif kind == "folder":
                file.mkdir()
            else:
                file.write_bytes(content[kind])
        try:
            yield chosen
        finally:
            for index, file in files.items():
                file.rmdir() if chosen[index] == "folder" else os.unlink(file)
                shutil.move(Path(kept) / str(index), file)


def _saved(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and holds a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
