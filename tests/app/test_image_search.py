"""The search for images: words, columns, quotes, and the columns of the data set's metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from camlucida.app.image_search import ImageSearch, Term, parse_search
from camlucida.data.datasets import Item, LazyItems, ListDataset, metadata_of, source_of
from camlucida.errors import DataError

IMAGE = Image.fromarray(np.zeros((4, 4, 3), np.uint8))


def row(index: int, label: str | None, predicted: str, split: str = "val", error: str | None = None) -> dict[str, Any]:
    name = f"{index:03}.jpg"
    return {"index": index, "image": name, "label": label, "predicted": predicted, "split": split, "error": error}


ROWS = [
    row(0, "golden retriever", "cat"),
    row(1, "cat", "cat", "train"),
    row(2, None, "Cat"),
    row(3, "retriever", "dog"),
    row(4, None, "", error="damaged"),
]
CAMERAS = [{"Camera": "front"}, {"Camera": "front left"}, {"Camera": "rear", "site": 10}, {}, {}]
DATA = ListDataset("d", [Item(IMAGE, f"{i:03}.jpg", metadata=metadata) for i, metadata in enumerate(CAMERAS)])


def test_terms_are_words_and_pairs() -> None:
    assert parse_search('dog  camera:front predicted:"golden Retriever"') == [
        Term("", "dog"),
        Term("camera", "front"),
        Term("predicted", "golden retriever"),
    ]
    assert parse_search('"golden retriever" "my column":"a b"') == [
        Term("", "golden retriever"),
        Term("my column", "a b"),
    ]
    assert parse_search("  ") == parse_search('"') == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [0, 1, 2, 3]),
        ("cat", [1, 2]),
        ("CAT", [1, 2]),
        ("class:cat", [1, 2]),
        ("predicted:cat", [0, 1, 2]),
        ('"golden retriever"', [0]),
        ("retriever", [0, 3]),
        ("golden retriever", [0]),
        ("003", [3]),
        ("name:001", [1]),
        ("class:003", []),
        ("split:train", [1]),
        ("split:tra", []),
        ("camera:front", [0]),
        ('camera:"Front Left"', [1]),
        ("site:10", [2]),
        ("site:1", []),
        ("camera:front predicted:cat", [0]),
        ("nothing", []),
    ],
)
def test_search_finds(text: str, found: list[int]) -> None:
    assert [one["index"] for one in ImageSearch(ROWS, DATA).find(text)] == found


def test_columns_are_those_of_the_run_and_of_the_metadata() -> None:
    assert ImageSearch(ROWS, DATA).columns == ["class", "predicted", "name", "split", "camera", "site"]
    without = ImageSearch(ROWS, None)
    assert without.columns == ["class", "predicted", "name", "split"]
    with pytest.raises(DataError, match="no column 'camera' to search"):
        without.find("camera:front")
    with pytest.raises(DataError, match=r"no column 'kamera' to search\. Did you mean 'camera'"):
        ImageSearch(ROWS, DATA).find("kamera:front")


def test_metadata_is_read_without_the_annotations() -> None:
    def complete(item: Item) -> Item:
        raise AssertionError("the annotations were read")

    data = ListDataset("lazy", LazyItems(DATA.items, complete))
    assert metadata_of(data, 1) == {"Camera": "front left"}
    assert source_of(data, 1) is IMAGE
