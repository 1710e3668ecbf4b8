"""From what a user types to a data set: a folder, a table, one of the known layouts, toybox."""

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
"""How many scenes toybox has, unless asked otherwise."""

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
"""What may stand before the colon."""


@checked_arguments(DataError)
def open_dataset(
    spec: str | Path,
    *,
    boxes: str | Path | None = None,
    count: Count | None = None,
    seed: Seed = 0,
    split: str | None = None,
) -> Dataset:
    """A data set by what a user types.

    spec    toybox, toybox:2 (objects a scene), toybox:watermark, toybox:watermark:2; a folder of pictures, whose
            sub-folders are the classes; a table (.csv, .parquet); or a layout and its folder: stanford_dogs:/data/dogs,
            pets:…, cub:…, voc:…, coco:…, imagenet:…, hf:…, tfds:…. A folder may be an address: s3://bucket/photos
    boxes   for a folder: a CSV file with file, x0, y0, x1, y1 and, if known, label
    count   how many scenes toybox shall draw
    seed    of the scenes
    split   train, val or test: only those pictures
    Raises `DataError`, `ImageError`, `MissingExtra`.
    """
    dataset = _open_spec(str(spec), boxes, count, check_seed(seed))
    return dataset if split is None else in_split(dataset, split)


def _open_spec(name: str, boxes: str | Path | None, count: int | None, seed: int) -> Dataset:
    kind, colon, rest = name.partition(":")
    is_path = Path(name).expanduser().exists()
    if kind == "toybox" and not is_path:
        if boxes is not None:
            raise DataError("toybox knows its boxes: --boxes is for folders.")
        return _toybox_dataset(name, N_TOYBOX_SCENES if count is None else count, seed)
    if kind == "exact" and colon and not is_path:
        raise DataError(
            f"{name} is pictures with a network of their own: camlucida.evaluation.benchmarks.open_benchmark "
            "gives both."
        )
    if colon and not rest.startswith("//") and not is_path and re.fullmatch(r"\w{2,}", kind):
        if kind not in LAYOUTS:
            raise DataError(f"no data set {kind!r}.{nearest(kind, LAYOUTS)} Before the colon: {', '.join(LAYOUTS)}.")
        if kind == "folder":
            return folder(location_of(rest), boxes)
        _reject_boxes(boxes, name)
        if not rest:
            raise DataError(f"{name} of which folder? Write {kind}:/path/to/it.")
        return LAYOUTS[kind](location_of(rest))
    if Path(name).suffix.lower() in TABLE_SUFFIXES:
        _reject_boxes(boxes, name)
        return table_dataset(name)
    return folder(name, boxes)


def absolute_spec(spec: str | Path) -> str:
    """What is typed, with whole paths: it means the same from any folder."""
    text = str(spec)
    kind, colon, rest = text.partition(":")
    if colon and kind in LAYOUTS and not Path(text).expanduser().exists():
        return f"{kind}:{absolute_spec(rest)}"
    path = Path(text).expanduser()
    return str(path.absolute()) if path.exists() else text


def check_recorded_spec(spec: str | None, *, by: str, instead: str) -> None:
    """Raise `DataError` for an address: a record that somebody else may have written asks no other machine.

    Args:
        spec: A data set or a file in the record.
        by: The file of the record, for the message.
        instead: What the user can do, a sentence.
    """
    if spec is not None and ("://" in spec or "::" in spec):
        raise DataError(f"{by} names {ascii(spec)[:80]}, an address: opening a record asks no other machine. {instead}")


def _reject_boxes(boxes: str | Path | None, name: str) -> None:
    if boxes is not None:
        raise DataError(f"{name} says itself where its boxes are: --boxes is for folders.")


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
                f"no toybox {part!r}.{nearest(part, variants)} After the colon: {', '.join(variants)}, or how many "
                "objects."
            )
    return ToyboxDataset(Toybox(count, seed, objects, variant), name)  # type: ignore[arg-type]
