"""From what a user types to a data set: a folder, toybox."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from camlucida.data.datasets import DataSet, Scenes, folder
from camlucida.data.toybox import Toybox, Variant
from camlucida.errors import DataError, nearest

SCENES = 500
"""How many scenes toybox has, unless asked otherwise."""


def open_dataset(
    spec: str | Path, *, boxes: str | Path | None = None, count: int | None = None, seed: int = 0
) -> DataSet:
    """A data set by what a user types.

    spec    toybox, toybox:2 (objects a scene), toybox:watermark, toybox:watermark:2; or a folder of pictures, whose
            sub-folders are the classes
    boxes   for a folder: a CSV file with file, x0, y0, x1, y1 and, if known, label
    count   how many scenes toybox shall draw
    seed    of the scenes
    Raises `DataError`, `ImageError`.
    """
    name = str(spec)
    if name.partition(":")[0] == "toybox" and not Path(name).exists():
        if boxes is not None:
            raise DataError("toybox knows its boxes: --boxes is for folders.")
        return _scenes(name, SCENES if count is None else count, seed)
    if name.startswith("exact:") and not Path(name).exists():
        raise DataError(f"{name} is a model with its pictures: open it with camlucida.exact.open_benchmark.")
    return folder(spec, boxes)


def _scenes(name: str, count: int, seed: int) -> Scenes:
    variants = get_args(Variant)
    variant, objects = "clean", 1
    for part in name.split(":")[1:]:
        if re.fullmatch(r"[1-9]", part):
            objects = int(part)
        elif part in variants:
            variant = part
        else:
            raise DataError(
                f"no toybox {part!r}.{nearest(part, variants)} After the colon: {', '.join(variants)}, or how many "
                "objects."
            )
    return Scenes(Toybox(count, seed, objects, variant), name)  # type: ignore[arg-type]
