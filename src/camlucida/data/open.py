"""Opening of datasets by specification: a folder, a table, a known layout, or the toybox."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from camlucida.data.dataset import Dataset, ToyboxDataset, in_split
from camlucida.data.folders import folder
from camlucida.data.formats.coco import coco
from camlucida.data.formats.cub import cub
from camlucida.data.formats.hugging_face import hugging_face
from camlucida.data.formats.imagenet import imagenet
from camlucida.data.formats.oxford_pets import oxford_pets
from camlucida.data.formats.stanford_dogs import stanford_dogs
from camlucida.data.formats.tfds import is_prepared, tfds
from camlucida.data.formats.voc import voc
from camlucida.data.location import Location, location_of
from camlucida.data.tables import TABLE_SUFFIXES, table_dataset
from camlucida.data.toybox import Toybox, Variant
from camlucida.errors import DataError, nearest
from camlucida.options import Count, Seed, checked_arguments
from camlucida.seeds import check_seed

N_TOYBOX_SCENES = 500
"""Default number of toybox scenes."""

LAYOUTS: Mapping[str, Callable[[Location], Dataset]] = {
    "stanford_dogs": lambda root: tfds(root, "Stanford Dogs") if is_prepared(root) else stanford_dogs(root),
    "pets": oxford_pets,
    "cub": cub,
    "voc": voc,
    "coco": coco,
    "imagenet": imagenet,
    "hf": hugging_face,
    "tfds": tfds,
    "folder": folder,
    "table": table_dataset,
}
"""Opener of each layout, by the name before the colon of a specification."""


@checked_arguments(DataError)
def open_dataset(
    spec: str | Path,
    *,
    boxes: str | Path | None = None,
    count: Count | None = None,
    seed: Seed = 0,
    split: str | None = None,
) -> Dataset:
    """Open a dataset by its specification.

    Args:
        spec: toybox, toybox:2 (objects per scene), toybox:watermark, toybox:watermark:2; a folder of images, whose
            sub-folders are the classes; a table (.csv, .parquet); or a layout and its folder: stanford_dogs:/data/dogs,
            pets:…, cub:…, voc:…, coco:…, imagenet:…, hf:…, tfds:…. A folder may be a URL: s3://bucket/photos
        boxes: For a folder: a CSV file with the columns file, x0, y0, x1, y1 and optionally label.
        count: Number of toybox scenes.
        seed: Seed of the toybox scenes.
        split: Only return the images of this split: train, val or test.

    Raises:
        DataError: If there is no such dataset, or it cannot be read.
        ImageError: If a folder contains no image.
        MissingExtra: If the format needs an optional dependency that is not installed.
    """
    dataset = _open_spec(str(spec), boxes, count, check_seed(seed))
    return dataset if split is None else in_split(dataset, split)


def is_toybox(spec: str) -> bool:
    """Return whether a specification means generated scenes, toybox or toybox:…; a file of that name has priority."""
    return spec.partition(":")[0] == "toybox" and not Path(spec).expanduser().exists()


def _open_spec(name: str, boxes: str | Path | None, count: int | None, seed: int) -> Dataset:
    kind, colon, rest = name.partition(":")
    is_path = Path(name).expanduser().exists()
    if is_toybox(name):
        if boxes is not None:
            raise DataError("toybox has its own boxes; --boxes is only for folders.")
        return _toybox_dataset(name, N_TOYBOX_SCENES if count is None else count, seed)
    if kind == "exact" and colon and not is_path:
        raise DataError(
            f"{name} is a benchmark, which consists of images and a network. Open it with "
            "camlucida.evaluation.benchmarks.open_benchmark."
        )
    if colon and not rest.startswith("//") and not is_path and re.fullmatch(r"\w{2,}", kind):
        if kind not in LAYOUTS:
            raise DataError(f"unknown data set layout {kind!r}.{nearest(kind, LAYOUTS)} Known: {', '.join(LAYOUTS)}.")
        if kind == "folder":
            return folder(location_of(rest), boxes)
        _reject_boxes(boxes, name)
        if not rest:
            raise DataError(f"{name} needs a folder: {kind}:/path/to/folder.")
        return LAYOUTS[kind](location_of(rest))
    if Path(name).suffix.lower() in TABLE_SUFFIXES:
        _reject_boxes(boxes, name)
        return table_dataset(name)
    return folder(name, boxes)


def absolute_spec(spec: str | Path) -> str:
    """Return a specification with absolute paths, so that it is valid from any working directory."""
    text = str(spec)
    kind, colon, rest = text.partition(":")
    if colon and kind in LAYOUTS and not Path(text).expanduser().exists():
        return f"{kind}:{absolute_spec(rest)}"
    path = Path(text).expanduser()
    return str(path.absolute()) if path.exists() else text


def check_recorded_spec(spec: str | None, *, by: str, instead: str) -> None:
    """Raise `DataError` for a URL: a record from an untrusted source must not cause network access.

    Args:
        spec: A dataset or file named in the record.
        by: The file name of the record, for the message.
        instead: A sentence that tells the user what to do instead.
    """
    if spec is not None and ("://" in spec or "::" in spec):
        raise DataError(f"{by} names {ascii(spec)[:80]}, a URL. A record must not cause network access. {instead}")


def _reject_boxes(boxes: str | Path | None, name: str) -> None:
    if boxes is not None:
        raise DataError(f"{name} has its own boxes; --boxes is only for folders.")


def _toybox_dataset(name: str, count: int, seed: int) -> ToyboxDataset:
    variants = get_args(Variant)
    variant, objects = "clean", 1
    for part in name.split(":")[1:]:
        if re.fullmatch(r"[1-9]", part):
            objects = int(part)
        elif part in variants:
            variant = part
        else:
            raise DataError(
                f"unknown toybox variant {part!r}.{nearest(part, variants)} Known: {', '.join(variants)}, or a number "
                "of objects from 1 to 9."
            )
    return ToyboxDataset(Toybox(count, seed, objects, variant), name)  # type: ignore[arg-type]
