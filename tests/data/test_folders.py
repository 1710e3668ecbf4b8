"""Folders, tables and URLs as data sets: names, classes, splits and boxes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
import pytest

import camlucida as cl
from camlucida.data.datasets import Item, annotated_objects, folder, items_without_files
from camlucida.data.images import load_image
from camlucida.data.location import RemotePath
from camlucida.data.open import open_dataset
from camlucida.errors import DataError, ImageError, MissingExtra

Write = Callable[..., Path]


def rows(dataset: object) -> list[tuple[str, str, str]]:
    return [
        (item.name, dataset.classes[item.label] if item.label is not None else "", item.split)  # type: ignore[attr-defined]
        for item in items_without_files(dataset)  # type: ignore[arg-type]
    ]


# --- folders


def test_splits_are_no_classes(tmp_path: Path, write_image: Write) -> None:
    for name in ("Train/cat/1.jpg", "Train/dog/1.jpg", "valid/cat/2.jpg", "testing/dog/deep/3.jpg", "testing/4.jpg"):
        write_image(tmp_path / name)
    result = folder(tmp_path)
    assert result.classes == ("cat", "dog")
    assert rows(result) == [
        ("Train/cat/1.jpg", "cat", "train"),
        ("Train/dog/1.jpg", "dog", "train"),
        ("testing/4.jpg", "", "test"),
        ("testing/dog/deep/3.jpg", "dog", "test"),
        ("valid/cat/2.jpg", "cat", "val"),
    ]
    assert len(open_dataset(tmp_path, split="val")) == 1


def test_a_class_may_be_called_train(tmp_path: Path, write_image: Write) -> None:
    for name in ("train/1.jpg", "car/2.jpg"):
        write_image(tmp_path / name)
    assert rows(folder(tmp_path)) == [("car/2.jpg", "car", ""), ("train/1.jpg", "train", "")]
    with pytest.raises(DataError, match="its images have no splits"):
        open_dataset(tmp_path, split="train")


def test_boxes_name_images_that_are_not_there(tmp_path: Path, write_image: Write) -> None:
    write_image(tmp_path / "data/train/cat/1.jpg")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,x0,y0,x1,y1\ncat/1.jpg,1,2,3,4\ncat/9.jpg,1,2,3,4\n")
    result = folder(tmp_path / "data", boxes)
    assert result[0].boxes.tolist() == [[1, 2, 3, 4]]
    assert result.problems == ("cat/9.jpg is in boxes.csv, but there is no such image.",)


def test_boxes_of_several_classes(tmp_path: Path, write_image: Write) -> None:
    """The box of each class is an object of its own; boxes without a label have that of the image."""
    for name in ("cat/1.jpg", "cat/2.jpg"):
        write_image(tmp_path / "data" / name)
    boxes = tmp_path / "boxes.csv"
    lines = ["1.jpg,1,2,3,4,cat", "1.jpg,5,6,7,8,dog", "2.jpg,1,2,3,4,cat"]
    boxes.write_text("file,x0,y0,x1,y1,label\n" + "".join(f"cat/{line}\n" for line in lines))
    table = tmp_path / "data/table.csv"
    table.write_text(boxes.read_text())
    for result in (folder(tmp_path / "data", boxes), open_dataset(table)):
        assert result.classes == ("cat", "dog")
        objects = annotated_objects(result[0])
        assert objects is not None
        assert [(each.label, each.box.tolist()) for each in objects if each.box is not None] == [
            (0, [1, 2, 3, 4]),
            (1, [5, 6, 7, 8]),
        ]
        assert result[1].objects is None
        (only,) = annotated_objects(result[1]) or ()
        assert only.label == 0
    assert annotated_objects(Item(tmp_path, "a")) is None


def test_folders_without_images_and_our_own_output(tmp_path: Path, write_image: Write) -> None:
    write_image(tmp_path / "cat/1.jpg")
    write_image(tmp_path / "camlucida-out/data/classes.png")
    (tmp_path / "dog").mkdir()
    (tmp_path / ".hidden").mkdir()
    result = folder(tmp_path)
    assert result.classes == ("cat",)
    assert result.problems == ("the folder dog contains no images, so it is not a class.",)


def test_a_image_is_a_data_set_of_one(tmp_path: Path, write_image: Write) -> None:
    assert [item.name for item in folder(write_image(tmp_path / "one.jpg")).items] == ["one.jpg"]


# --- tables


def test_a_csv(tmp_path: Path, write_image: Write) -> None:
    (tmp_path / "table.csv").write_text(
        "\ufeffpath,Label,split,x0,y0,x1,y1\n"
        "a.jpg,10,train,1,2,3,4\na.jpg,10,train,5,6,7,8\nsub/b.jpg,9,validation,,,,\nc.jpg,,test,,,,\n",
        encoding="utf-8",
    )
    write_image(tmp_path / "sub/b.jpg")
    result = open_dataset(tmp_path / "table.csv")
    assert result.classes == ("9", "10")
    assert rows(result) == [("a.jpg", "10", "train"), ("sub/b.jpg", "9", "val"), ("c.jpg", "", "test")]
    assert result[0].boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert result[1].boxes is None
    assert load_image(result[1].image).size == (40, 30)


def test_a_csv_with_lists_of_boxes(tmp_path: Path) -> None:
    one, two = json.dumps([1, 2, 3, 4]), json.dumps([[1, 2, 3, 4], [5.5, 6, 7, 8]])
    (tmp_path / "t.csv").write_text(f'image,class,bboxes\na.jpg,cat,"{one}"\nb.jpg,cat,"{two}"\n')
    result = open_dataset(tmp_path / "t.csv")
    assert result[0].boxes.tolist() == [[1, 2, 3, 4]]
    assert result[1].boxes.tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]


def test_parquet(tmp_path: Path) -> None:
    table = {
        "path": ["a.jpg", "b.jpg"],
        "label": ["cat", None],
        "boxes": [[[1.0, 2.0, 3.0, 4.0]], None],
        "split": ["val", ""],
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "t.parquet")
    result = open_dataset(tmp_path / "t.parquet")
    assert rows(result) == [("a.jpg", "cat", "val"), ("b.jpg", "", "")]
    assert result[0].boxes.tolist() == [[1, 2, 3, 4]]
    (tmp_path / "t.parquet").write_text("nothing")
    with pytest.raises(DataError, match=r"t\.parquet is not a Parquet file"):
        open_dataset(tmp_path / "t.parquet")


def test_further_columns_are_metadata(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "path,label,x0,y0,x1,y1,site,age,pose\na.jpg,cat,1,2,3,4,A,3,left\na.jpg,cat,5,6,7,8,A,3,right\nb.jpg,dog,,,,,,4,\n"
    )
    result = open_dataset(tmp_path / "t.csv")
    assert result[0].metadata == {"site": "A", "age": "3"}  # the pose is that of each box
    assert result[1].metadata == {"age": "4"}
    table = {"path": ["a.jpg", "b.jpg"], "age": [3, None], "night": [True, False]}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "t.parquet")
    result = open_dataset(tmp_path / "t.parquet")
    assert result[0].metadata == {"age": 3, "night": True}
    assert result[1].metadata == {"night": False}


def test_a_bad_line_is_a_sentence_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,x0,y0,x1,y1\na.jpg,cat,1,2,x,4\na.jpg,dog,1,2,3,4\nb.jpg,dog,9,2,3,4\n")
    result = open_dataset(tmp_path / "t.csv")
    assert result[0].boxes.tolist() == [[1, 2, 3, 4]]
    assert result[0].problems == (
        "t.csv, line 2: a box must be four numbers, not ['1', '2', 'x', '4'].",
        "t.csv, line 3: the label is dog, but an earlier row has cat.",
    )
    assert "must have x0 < x1" in result[1].problems[0]


def test_tables_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"t.csv needs a column path \(or file, .*\); it has a, b"):
        open_dataset(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path\n")
    with pytest.raises(DataError, match="lists no images"):
        open_dataset(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path,label\n,cat\n")
    with pytest.raises(DataError, match="line 2: the file name is empty"):
        open_dataset(tmp_path / "t.csv")
    with pytest.raises(DataError, match="No such file"):
        open_dataset(tmp_path / "none.csv")


# --- addresses


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A store that is not the disk: fsspec's memory."""
    store = fsspec.filesystem("memory")
    yield "memory://store"
    store.rm("/store", recursive=True)


def upload(root: Path, url: str) -> None:
    store = fsspec.filesystem("memory")
    for file in root.rglob("*"):
        if file.is_file():
            store.pipe_file(f"/{url.partition('://')[2]}/{file.relative_to(root).as_posix()}", file.read_bytes())


def test_a_folder_elsewhere(
    tmp_path: Path, write_image: Write, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train/cat/1.jpg", "train/dog/2.JPG", "test/cat/3.jpg", "test/cat/.hidden.jpg", "test/notes.txt"):
        write_image(tmp_path / name) if name.lower().endswith(".jpg") else (tmp_path / name).write_text("x")
    upload(tmp_path, elsewhere)
    read: list[str] = []
    whole = RemotePath.read
    monkeypatch.setattr(RemotePath, "read", lambda self: (read.append(self.url), whole(self))[1])
    result = open_dataset(elsewhere)
    assert rows(result) == rows(folder(tmp_path))
    assert read == []  # nothing is fetched before it is looked at
    assert load_image(result[0].image).tobytes() == load_image(tmp_path / "test/cat/3.jpg").tobytes()
    assert read == [f"{elsewhere}/test/cat/3.jpg"]


def test_a_layout_elsewhere(dogs: Path, elsewhere: str) -> None:
    upload(dogs, elsewhere)
    here, there = open_dataset(f"stanford_dogs:{dogs}"), open_dataset(f"stanford_dogs:{elsewhere}")
    assert rows(there) == rows(here)
    assert there[0].boxes.tolist() == here[0].boxes.tolist()
    assert pickle.loads(pickle.dumps(there))[3].boxes.tolist() == here[3].boxes.tolist()


def test_a_table_elsewhere(tmp_path: Path, write_image: Write, elsewhere: str) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "t.csv").write_text(f"path,label\na.jpg,cat\n{elsewhere}/a.jpg,dog\nb.jpg,dog\n")
    upload(tmp_path, elsewhere)
    result = open_dataset(f"{elsewhere}/t.csv")
    assert [load_image(result[i].image).size for i in (0, 1)] == [(40, 30)] * 2
    with pytest.raises(ImageError, match=r"memory://store/b\.jpg does not exist"):
        load_image(result[2].image)


def test_it_can_be_evaluated_from_elsewhere(tmp_path: Path, write_image: Write, elsewhere: str) -> None:
    write_image(tmp_path / "cat/1.jpg")
    upload(tmp_path, elsewhere)
    assert cl.explain("toybox", open_dataset(elsewhere)[0].image).heatmap.shape == (30, 40)


def test_addresses_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no images in memory://nothing"):
        open_dataset("memory://nothing")
    with pytest.raises(DataError, match="cannot open nosuch://bucket"):
        open_dataset("nosuch://bucket")
    with pytest.raises(DataError, match="the folder memory://nothing does not exist"):
        open_dataset("stanford_dogs:memory://nothing")
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(MissingExtra, match=r"camlucida\[remote\]"):
        open_dataset("s3://bucket/photos")
