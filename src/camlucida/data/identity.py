"""Hash of a dataset, which tells whether it is still the one that a run was started with.

No image is opened: a file counts by size and modification time (in ns), as for `make` and Git, and an image in memory
by its pixels. Boxes, labels, objects, splits and metadata count by value; masks and parts count by the files that they
are read from or, if an item names no files, by their pixels. Names are part of the hash but paths are not, so folders
may be moved.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from camlucida.data.dataset import Dataset, Item, annotated_objects
from camlucida.errors import CamlucidaError

DATA_CHANGED = "the images or their annotations (labels, boxes, masks) have changed since it was started"
"""Reason that a run reports if its data have changed."""


def dataset_hash(dataset: Dataset, indices: Iterable[int]) -> str:
    """Return 16 hexadecimal digits that change with the images, names, labels, boxes, masks or parts of these items."""
    hasher = DatasetHasher(dataset)
    for index in indices:
        try:
            item: Item | None = dataset[index]
        except (CamlucidaError, OSError):  # a row with the reason, in what runs over the data set
            item = None
        hasher.add(item)
    return hasher.digest()


class DatasetHasher:
    """Incremental hash of a dataset, item by item."""

    def __init__(self, dataset: Dataset) -> None:
        self._digest = hashlib.sha256(repr((dataset.name, tuple(dataset.classes))).encode(*_ENCODING))
        self._stamps: dict[str, str] = {}

    def add(self, item: Item | None) -> None:
        """Add the next item; None for an item that cannot be loaded."""
        if item is None:
            self._digest.update(b"none")
            return
        boxes = None if item.boxes is None else np.asarray(item.boxes, dtype=np.float64).tolist()
        record = (item.name, item.label, item.split, item.also_correct, boxes, content_stamp(item.image))
        self._digest.update(repr(record).encode(*_ENCODING))
        if item.metadata:  # without metadata, the hash is that of earlier versions
            self._digest.update(repr(sorted(item.metadata.items())).encode(*_ENCODING))
        if item.objects is not None:
            self._digest.update(_objects_digest(item))
        if item.files:
            for file in item.files:
                self._digest.update(self._file_stamp(file).encode(*_ENCODING))
        elif item.mask is not None or item.parts is not None or item.other_objects_mask is not None:
            self._digest.update(_mask_digest(item))

    def digest(self) -> str:
        """Return 16 hexadecimal digits for the items added so far."""
        return self._digest.hexdigest()[:16]

    def _file_stamp(self, file: Any) -> str:
        """Return the stamp of a file, cached because many items may share it."""
        name = str(file)
        if name not in self._stamps:
            self._stamps[name] = content_stamp(file)
        return self._stamps[name]


def content_stamp(source: Any) -> str:
    """Return a text that changes with the content of a `load_image` source; nothing is decoded.

    Args:
        source: A path, which counts by size and modification time; an object with a method `stamp`; or bytes, an array,
            a Pillow image or a seekable file object, which count by content.
    """
    if isinstance(source, str | os.PathLike):
        try:
            name = os.fspath(source)
            status = os.stat(os.path.expanduser(name) if name[:1] == "~" else name)
        except (OSError, ValueError):
            return "unreadable"
        return f"{status.st_size} {status.st_mtime_ns}"
    own_stamp = getattr(source, "stamp", None)
    if callable(own_stamp):
        try:
            return str(own_stamp())
        except (OSError, CamlucidaError):
            return "unreadable"
    if isinstance(source, bytes | bytearray | memoryview):
        return _digest(source)
    if isinstance(source, np.ndarray):
        return f"{source.shape} {source.dtype.str} {_digest(np.ascontiguousarray(source).tobytes())}"
    if isinstance(source, Image.Image):
        return _image_stamp(source)
    return _stream_stamp(source)


_ENCODING = ("utf-8", "surrogateescape")
"""Encoding of text: file names need not be valid UTF-8."""


def _image_stamp(image: Image.Image) -> str:
    try:
        palette = image.getpalette() if image.mode == "P" else None
        return f"{image.size} {image.mode} {palette} {_digest(image.tobytes())}"
    except Exception as error:  # decoders raise many types; the image stays broken
        return f"unreadable {type(error).__name__}"


def _stream_stamp(source: Any) -> str:
    """Return a digest of the content of a file object, which is rewound; for a pipe, only the type name."""
    try:
        if isinstance(source, io.IOBase) and not source.seekable():
            return type(source).__name__
        source.seek(0)
        content = source.read()
        source.seek(0)
        return _digest(content)
    except (AttributeError, OSError, TypeError, ValueError):
        return type(source).__name__


def _mask_digest(item: Item) -> bytes:
    """Return a digest of the packed masks of an item."""
    digest = hashlib.blake2b(digest_size=16)
    for name, read_mask in (("mask", item.mask), ("rival", item.other_objects_mask), ("parts", item.parts)):
        if read_mask is None:
            continue
        try:
            masks: Any = read_mask()
        except CamlucidaError as error:
            masks = {f"broken: {error}": np.zeros((0, 0), dtype=bool)}
        for part, mask in masks.items() if isinstance(masks, dict) else [("", masks)]:
            pixels = np.asarray(mask, dtype=bool)
            digest.update(f"{name} {part} {pixels.shape}".encode(*_ENCODING) + np.packbits(pixels).tobytes())
    return digest.digest()


def _objects_digest(item: Item) -> bytes:
    """Return a digest of the annotated objects; empty where the boxes and the label say the same.

    The hash of such items is that of earlier versions. Masks of items with files count by the files.
    """
    try:
        objects = annotated_objects(item) or ()
        own = [(each.label, None if each.box is None else np.asarray(each.box).tolist()) for each in objects]
        masks = [None if each.mask is None or item.files else np.asarray(each.mask(), dtype=bool) for each in objects]
    except CamlucidaError as error:
        return f"objects broken: {error}".encode(*_ENCODING)
    boxes = np.zeros((0, 4)) if item.boxes is None else item.boxes
    if own == [(item.label, box) for box in boxes.tolist()] and not any(each.is_ignored for each in objects):
        return b""
    ignored = [number for number, each in enumerate(objects) if each.is_ignored]
    packed = b"".join(b"" if mask is None else np.packbits(mask).tobytes() for mask in masks)
    return repr(("objects", own, ignored)).encode(*_ENCODING) + packed


def _digest(content: bytes | bytearray | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
