"""The identity of a data set changes with any change of an item, in place or not."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camlucida.data.check import check_dataset
from camlucida.data.datasets import Item, ListDataset, ObjectAnnotation, ToyboxDataset, dataset_hash, subset
from camlucida.data.folders import folder
from camlucida.data.identity import content_stamp
from camlucida.data.location import RemotePath
from camlucida.data.open import open_dataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError

Write = Callable[..., Path]
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
MASK = np.eye(4, dtype=bool)


def of(*items: Item, name: str = "set", classes: tuple[str, ...] = ("a", "b")) -> str:
    return dataset_hash(ListDataset(name, items, classes), range(len(items)))


def full(tmp_path: Path) -> Item:
    read = tmp_path / "mask.png"
    read.write_bytes(b"mask")
    return Item(
        PIXELS, "name", 0, np.array([[0.0, 1, 2, 3]]), lambda: MASK, lambda: {"head": MASK}, "train", (1,),
        lambda: ~MASK, None, (), {"site": "A"}, (read,),
    )  # fmt: skip


CHANGES: dict[str, Any] = {
    "image": PIXELS[::-1],
    "name": "other",
    "label": 1,
    "boxes": np.array([[0.0, 1, 2, 3.5]]),
    "split": "val",
    "also_correct": (),
    "metadata": {"site": "B"},
    "objects": lambda: [ObjectAnnotation(1, np.array([0.0, 1, 2, 3]))],
    "files": (),
}
OF_FILES = {"mask", "parts", "other_objects_mask"}
"""These are functions; their files stand for them, or what they make where there is no file."""
DECIDES_NOTHING = {"render_without", "problems"}


def test_every_field_of_an_item_counts(tmp_path: Path) -> None:
    item = full(tmp_path)
    assert set(CHANGES) | OF_FILES | DECIDES_NOTHING == {field.name for field in fields(Item)}
    assert of(item) == of(replace(item))
    for name, value in CHANGES.items():
        assert of(replace(item, **{name: value})) != of(item), name


@pytest.mark.parametrize("name", sorted(OF_FILES))
def test_masks_without_files_count_by_what_they_are(name: str, tmp_path: Path) -> None:
    item = replace(full(tmp_path), files=())
    other = {"parts": lambda: {"head": ~MASK}}.get(name, lambda: MASK & False)
    assert of(replace(item, **{name: other})) != of(item)
    assert of(replace(item, **{name: None})) != of(item)
    renamed = replace(item, parts=lambda: {"tail": MASK})
    assert of(renamed) != of(item)


def test_a_broken_mask_breaks_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        raise DataError("no mask")

    assert of(replace(full(tmp_path), files=(), mask=broken)) != of(replace(full(tmp_path), files=()))


def test_objects_that_repeat_the_boxes_and_the_label_do_not_count(tmp_path: Path) -> None:
    """The hash of such data sets is that of earlier versions."""
    item = full(tmp_path)
    same = replace(item, objects=lambda: [ObjectAnnotation(0, np.array([0.0, 1, 2, 3]), lambda: MASK)])
    assert of(same) == of(item)
    two = replace(item, objects=lambda: [*same.objects(), ObjectAnnotation(1, np.array([0.0, 1, 2, 3]))])  # type: ignore[misc]
    assert of(two) != of(item)
    box = np.array([0.0, 1, 2, 3])
    ignored = replace(item, objects=lambda: [ObjectAnnotation(0, box, lambda: MASK, is_ignored=True)])
    assert of(ignored) not in (of(item), of(two))


def test_the_set_itself_counts() -> None:
    items = [Item(PIXELS, "a", 0), Item(PIXELS, "b", 1)]
    every = {of(*items), of(*items[::-1]), of(*items, name="other"), of(*items, classes=("a", "c")), of(items[0])}
    assert len(every) == 5
    assert dataset_hash(ListDataset("set", items, ("a", "b")), [1]) == of(items[1])


def test_a_file_that_is_replaced_counts_and_one_that_moves_does_not(tmp_path: Path, write_image: Write) -> None:
    root = tmp_path / "photos"
    for number in range(3):
        write_image(root / "cat" / f"{number}.png", seed=number)
    before = dataset_hash(folder(root), range(3))
    assert dataset_hash(folder(root), range(3)) == before
    file = root / "cat/1.png"
    status = file.stat()
    content = file.read_bytes()

    def touched(content: bytes, later_ns: int) -> str:
        file.write_bytes(content)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + later_ns))
        return dataset_hash(folder(root), range(3))

    assert touched(content, 0) == before
    assert touched(content[::-1], 1) != before, "as large, a nanosecond later"
    assert touched(content + b"0", 0) != before, "as old, a byte larger"
    assert touched(content, 0) == before
    shutil.move(root, tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(root)
    assert dataset_hash(folder(root), range(3)) == before
    file.unlink()
    assert dataset_hash(ListDataset("photos", folder(root).items, ("cat",)), range(2)) != before


def test_boxes_in_a_table_count(tmp_path: Path, write_image: Write) -> None:
    write_image(tmp_path / "photos/cat/0.png")
    table = tmp_path / "boxes.csv"
    hashes = set()
    for box in ("1,2,30,20", "1,2,30,21"):
        table.write_text(f"file,x0,y0,x1,y1\ncat/0.png,{box}\n")
        hashes.add(dataset_hash(folder(tmp_path / "photos", table), range(1)))
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("layout", "part"),
    [
        ("stanford_dogs", "Annotation/n02085620-Chihuahua/n02085620_7"),
        ("stanford_dogs", "Images/n02085620-Chihuahua/n02085620_7.jpg"),
    ],
)
def test_files_of_a_layout_count(layout: str, part: str, dogs: Path) -> None:
    def now() -> str:
        data = open_dataset(f"{layout}:{dogs}")
        return dataset_hash(data, range(len(data)))

    before = now()
    assert now() == before
    file = dogs / part
    file.write_bytes(file.read_bytes().replace(b"<xmin>3<", b"<xmin>4<") if not part.endswith("jpg") else b"other")
    assert now() != before


def test_scenes_are_what_is_drawn() -> None:
    hashes = {
        dataset_hash(ToyboxDataset(drawn), range(2))
        for drawn in (
            Toybox(2),
            Toybox(2, 1),
            Toybox(2, 0, 2),
            Toybox(2, 0, 1, "watermark_control"),
            Toybox(2, size=64),
        )
    }
    assert len(hashes) == 5
    assert dataset_hash(subset(ToyboxDataset(Toybox(3)), [0, 1]), range(2)) == dataset_hash(
        ToyboxDataset(Toybox(3)), range(2)
    )


def test_stamps_of_sources(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    other = Image.fromarray(PIXELS[::-1])
    pairs: list[tuple[Any, Any]] = [
        (b"a", b"b"),
        (image, other),
        (PIXELS, PIXELS.astype(np.uint16)),
        (PIXELS, PIXELS.reshape(3, 4, 4)),
        (io.BytesIO(b"a"), io.BytesIO(b"b")),
    ]
    for one, two in pairs:
        assert content_stamp(one) == content_stamp(one)
        assert content_stamp(one) != content_stamp(two)
    stream = io.BytesIO(b"abc")
    stream.read(1)
    content_stamp(stream)
    assert stream.read() == b"abc"
    assert content_stamp(tmp_path / "not there") == content_stamp("\0") == "unreadable"


def test_files_elsewhere_count() -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    remote = RemotePath("memory://stamps/a.png")
    store.pipe("/stamps/a.png", b"one")
    first = content_stamp(remote)
    assert content_stamp(remote) == first
    store.pipe("/stamps/a.png", b"longer")
    assert content_stamp(remote) != first
    store.rm("/stamps/a.png")
    assert content_stamp(remote) == "unreadable"


def test_labels_of_a_table_come_before_folders(tmp_path: Path, write_image: Write) -> None:
    write_image(tmp_path / "photos/cat/0.png")
    write_image(tmp_path / "photos/dog/1.png")
    (tmp_path / "labels.csv").write_text("file,label,x0,y0,x1,y1\ncat/0.png,dog,,,,\ndog/1.png,bird,,,,\n")
    data = folder(tmp_path / "photos", tmp_path / "labels.csv")
    assert data.classes == ("bird", "dog")
    assert [data[i].label for i in range(2)] == [1, 0]


def test_a_box_below_an_oblong_image_is_outside() -> None:
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    boxes = [[0, 0, 60, 20], [0, 0, 60, 22], [0, 0, 62, 20], [-2, 0, 60, 20], [0, -2, 60, 20]]
    items = [Item(pixels, f"{i}", 0, np.array([box], dtype=np.float64)) for i, box in enumerate(boxes)]
    seen = check_dataset(ListDataset("wide", items, ("a",))).items
    assert [bool(one.boxes_outside) for one in seen] == [False, True, True, True, True]
