"""Classification datasets prepared by TensorFlow Datasets, such as stanford_dogs, read without TensorFlow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camlucida.data.dataset import Boxes, Item, ListDataset
from camlucida.data.folders import SPLITS
from camlucida.data.images import Source
from camlucida.data.inspect_image import stored_size
from camlucida.data.location import Location, read_lines
from camlucida.data.tfrecords import FeatureValues, parse_example, read_records
from camlucida.errors import DataError

SHARD = re.compile(r"(?P<name>.+)-(?P<split>\w+)\.tfrecord-\d+-of-\d+$")
LAYOUT = "<name>/<version>/ with features.json, label.labels.txt and <name>-train.tfrecord-00000-of-00004"


@dataclass(frozen=True)
class TFRecordImage:
    """The image in a record, read on access."""

    file: Path
    start: int
    length: int
    name: str

    def stamp(self) -> str:
        """Return a text that changes with the file and with the offset of the record."""
        status = self.file.stat()
        return f"{status.st_size} {status.st_mtime_ns} {self.start} {self.length}"

    def read(self) -> bytes:
        """Return the encoded bytes of the image."""
        with self.file.open("rb") as stream:
            stream.seek(self.start)
            image = parse_example(stream.read(self.length))["image"][0]
        return image if isinstance(image, bytes) else b""


def is_prepared(root: Location) -> bool:
    """Return whether a folder is a dataset prepared by TensorFlow Datasets, or the parent of its version folder."""
    return _version_folder(root) is not None


def tfds(root: Location, name: str = "") -> ListDataset:
    """Open every split, with the features image, label and, if present, image/filename and objects/bbox.

    All records are read once. Raises `DataError` for another kind of dataset and for missing files, which it names.
    """
    folder = _version_folder(root)
    if folder is None:
        raise DataError(f"no prepared TensorFlow data set in {root}. The expected layout is: {LAYOUT}.")
    labels = folder / "label.labels.txt"
    if not labels.is_file():
        raise DataError(f"label.labels.txt is missing in {folder}. The expected layout is: {LAYOUT}.")
    shards = [(match["split"], file) for file in sorted(folder.iterdir()) if (match := SHARD.fullmatch(file.name))]
    items = [item for split, shard in shards for item in _read_items(shard, SPLITS.get(split, split))]
    return ListDataset(name or folder.parent.name, items, tuple(map(_class_name, read_lines(labels))))


def _version_folder(root: Location) -> Path | None:
    if not isinstance(root, Path) or not root.is_dir():
        return None
    folders = [root, *sorted((inner for inner in root.iterdir() if inner.is_dir()), reverse=True)]
    return next((f for f in folders if any(SHARD.fullmatch(file.name) for file in f.iterdir())), None)


def _read_items(shard: Path, split: str) -> list[Item]:
    items = []
    for number, (start, content) in enumerate(read_records(shard)):
        features = parse_example(content)
        if "image" not in features or "label" not in features:
            raise DataError(
                f"{shard} has no image and label, but {', '.join(features)}: it is not a classification data set."
            )
        filenames = features.get("image/filename", [])
        name = filenames[0].decode() if filenames and isinstance(filenames[0], bytes) else f"{shard.name}/{number}"
        image: Source = TFRecordImage(shard, start, len(content), name)
        label = int(features["label"][0])
        items.append(Item(image, name, label if label >= 0 else None, _boxes(features, image), split=split))
    return items


def _boxes(features: dict[str, FeatureValues], image: Source) -> Boxes | None:
    """Return the boxes in pixels; TensorFlow stores top, left, bottom, right as fractions of the image."""
    values = np.array(features.get("objects/bbox", features.get("bbox", [])), dtype=np.float64)
    if not len(values) or len(values) % 4:
        return None
    width, height = stored_size(image)
    return values.reshape(-1, 4)[:, [1, 0, 3, 2]] * [width, height, width, height]


def _class_name(name: str) -> str:
    """Return the display name of a class: n02085936-maltese_dog becomes maltese dog; other names are unchanged."""
    return re.sub(r"^n\d{8}-", "", name).replace("_", " ")
