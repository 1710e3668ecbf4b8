"""Image datasets of Hugging Face's `datasets` from a folder written by `save_to_disk`; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np

from camlucida._optional import need
from camlucida.data.dataset import Item, LazyItems, ListDataset
from camlucida.data.folders import SPLITS
from camlucida.data.images import read_bytes
from camlucida.data.location import Location
from camlucida.data.object_metadata import plain_values
from camlucida.errors import DataError


def hugging_face(root: Location) -> ListDataset:
    """Open all splits of a saved dataset: images from the first image column, labels from the first ClassLabel column.

    Further columns with one number, truth value, short text or class per row are the items' `metadata`.
    Boxes are read from objects.bbox as x, y, width, height, as in COCO and most such datasets.
    """
    datasets = need("datasets", extra="hf", what=f"opening {root}")
    if not isinstance(root, Path) or not root.is_dir():
        raise DataError(
            f"hf: the folder {root} does not exist. Save the data set first: dataset.save_to_disk(…). Nothing is "
            "downloaded."
        )
    try:
        loaded = datasets.load_from_disk(str(root))
    except (OSError, ValueError) as error:
        raise DataError(
            f"hf: {root} was not written by save_to_disk ({str(error).splitlines()[0]}). "
            "Folders of images and Parquet tables of paths are opened without `hf:`."
        ) from None
    splits = dict(loaded) if isinstance(loaded, Mapping) else {str(loaded.split or ""): loaded}
    items, classes = [], tuple[str, ...]()
    for split, split_data in splits.items():
        features = split_data.features
        image = _first_column(features, datasets.Image, root)
        labels = [key for key, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
        classes = tuple(features[labels[0]].names) if labels else ()
        rows = split_data.cast_column(image, datasets.Image(decode=False))
        metadata = _metadata_columns(split_data, datasets, labels[:1])
        for index, label in enumerate(split_data[labels[0]] if labels else [None] * len(split_data)):
            class_index = int(label) if label is not None and label >= 0 else None
            name = f"{split}/{index}" if split else str(index)
            items.append(
                Item(
                    HuggingFaceImage(rows, image, index, name),
                    name,
                    class_index,
                    split=SPLITS.get(split, split),
                    metadata=plain_values({key: values[index] for key, values in metadata.items()}),
                )
            )
    return ListDataset(root.name, LazyItems(items, _with_boxes), classes)


@dataclass(frozen=True)
class HuggingFaceImage:
    """The image in one row, read on access."""

    rows: Any
    column: str
    index: int
    name: str

    def stamp(self) -> str:
        """Return a text that changes with the files of the table and with the row."""
        files = [Path(file["filename"]).stat() for file in self.rows.cache_files]
        return f"{[(status.st_size, status.st_mtime_ns) for status in files]} {self.index}"

    def read(self) -> bytes:
        """Return the encoded bytes of the image."""
        stored = self.rows[self.index][self.column]
        if stored["bytes"] is not None:
            return bytes(stored["bytes"])
        return read_bytes(stored["path"])


def _metadata_columns(split_data: Any, datasets: Any, left_out: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the columns with one value per row; of classes the names, and of times the text."""
    columns: dict[str, Sequence[Any]] = {}
    for name, feature in split_data.features.items():
        if name in left_out or not isinstance(feature, datasets.Value | datasets.ClassLabel):
            continue
        values = list(split_data[name])
        if isinstance(feature, datasets.ClassLabel):
            names = feature.names
            values = [names[value] if value is not None and value >= 0 else None for value in values]
        columns[name] = [str(value) if isinstance(value, date | time) else value for value in values]
    return columns


def _with_boxes(item: Item) -> Item:
    row = item.image
    if not isinstance(row, HuggingFaceImage) or "objects" not in row.rows.column_names:
        return item
    objects = row.rows.select_columns("objects")[row.index]["objects"]
    sides = np.array(objects.get("bbox", ()), dtype=np.float64).reshape(-1, 4)
    return replace(item, boxes=np.hstack([sides[:, :2], sides[:, :2] + sides[:, 2:]])) if len(sides) else item


def _first_column(features: Mapping[str, Any], kind: type, root: Path) -> str:
    columns = [key for key, feature in features.items() if isinstance(feature, kind)]
    if not columns:
        raise DataError(f"hf: {root} has no column of images; it has {', '.join(features)}.")
    return columns[0]
