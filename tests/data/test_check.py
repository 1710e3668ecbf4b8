"""`camlucida data check`: every kind of invalid data is detected, described and does not stop the check."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from camlucida.cli import main
from camlucida.data.check import DatasetCheck, check_dataset
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset, folder
from camlucida.data.duplicates import MAX_HAMMING_DISTANCE, _close_pairs, near_duplicates
from camlucida.data.inspect_image import dhash, inspect_image
from camlucida.data.open import open_dataset
from camlucida.data.toybox import Toybox

Write = Callable[..., Path]


def sentences_of(result: DatasetCheck, kind: str) -> list[str]:
    return [finding.sentence for finding in result.findings if finding.kind == kind]


@pytest.fixture
def photos(tmp_path: Path, write_image: Write) -> Path:
    """Two classes with four images each: nothing is wrong."""
    root = tmp_path / "photos"
    for seed in range(8):
        write_image(root / ("cat", "dog")[seed % 2] / f"{seed}.jpg", seed)
    return root


def test_nothing_is_wrong(photos: Path) -> None:
    result = check_dataset(folder(photos))
    assert result.findings == ()
    assert [count.total() for count in result.counts] == [4, 4]
    assert result.summary()["sizes"]["width"] == [40, 40, 40]
    assert [one.name for one in result.items] == sorted(one.name for one in result.items)


def test_broken_files(photos: Path) -> None:
    whole = (photos / "cat/0.jpg").read_bytes()
    (photos / "cat/cut.jpg").write_bytes(whole[:-200])
    (photos / "cat/empty.jpg").write_bytes(b"")
    (photos / "dog/page.png").write_text("<html>404</html>")
    result = check_dataset(folder(photos))
    sentences = sentences_of(result, "broken")
    assert len(sentences) == 3
    assert sentences[0].startswith("cat/cut.jpg: cannot read")
    assert "is truncated" in sentences[0]
    assert "the file is empty" in sentences[1]
    assert "an HTML page" in sentences[2]
    assert result.summary()["readable"] == 8


def test_missing_files_of_a_table(photos: Path) -> None:
    (photos / "t.csv").write_text("path,label\ncat/0.jpg,cat\ncat/2.jpg,cat\ncat/9.jpg,cat\n")
    (sentences,) = sentences_of(check_dataset(open_dataset(photos / "t.csv")), "broken")
    assert "no file '9.jpg'" in sentences


def test_the_same_file_twice(photos: Path) -> None:
    (photos / "cat/copy.jpg").write_bytes((photos / "cat/0.jpg").read_bytes())
    (photos / "cat/other.jpg").write_bytes((photos / "dog/1.jpg").read_bytes())
    result = check_dataset(folder(photos))
    assert sentences_of(result, "duplicate") == ["cat/0.jpg and cat/copy.jpg are the same file."]
    assert sentences_of(result, "conflict") == [
        "cat/other.jpg and dog/1.jpg are the same file, labelled 'cat' and 'dog'."
    ]
    assert sentences_of(result, "near duplicate") == []  # said once


def test_split_leaks(tmp_path: Path, write_image: Write) -> None:
    for split in ("train", "test"):
        for seed in range(4):
            write_image(tmp_path / split / "cat" / f"{seed}.png", seed + 10 * (split == "test"))
            write_image(tmp_path / split / "dog" / f"{seed}.png", seed + 100 + 10 * (split == "test"))
    assert not check_dataset(folder(tmp_path)).findings
    write_image(tmp_path / "test/cat/same.png", 0)
    write_image(tmp_path / "test/cat/smaller.jpg", 1, (33, 25))
    result = check_dataset(folder(tmp_path))
    assert sorted(sentences_of(result, "leak")) == [
        "test/cat/same.png and train/cat/0.png are the same file, in test and train.",
        "test/cat/smaller.jpg and train/cat/1.png look the same, in test and train.",
    ]
    assert all(finding.wrong for finding in result.findings if finding.kind == "leak")


def test_classes(photos: Path, write_image: Write) -> None:
    write_image(photos / "Maltese dog/1.jpg", 20)
    write_image(photos / "maltese_Dog/2.jpg", 21)
    write_image(photos / "maltese_Dog/3.jpg", 22)
    (photos / "nothing").mkdir()
    result = check_dataset(folder(photos))
    assert sentences_of(result, "class") == [
        "'Maltese dog' and 'maltese_Dog' are 2 classes. Are they the same class?",
        "the class 'Maltese dog' has only one image, which cannot be used for both training and testing.",
    ]
    assert sentences_of(result, "data set") == ["the folder nothing contains no images, so it is not a class."]


def test_a_class_whose_images_are_all_broken(photos: Path) -> None:
    (photos / "fox").mkdir()
    (photos / "fox/1.jpg").write_bytes(b"")
    result = check_dataset(folder(photos))
    assert sentences_of(result, "class") == ["1 class has no readable images: fox."]


def test_a_class_that_is_tested_and_never_learnt(tmp_path: Path, write_image: Write) -> None:
    for name, seed in (("train/cat/1", 0), ("train/cat/2", 1), ("test/cat/3", 2), ("test/fox/4", 3), ("test/fox/5", 4)):
        write_image(tmp_path / f"{name}.jpg", seed)
    assert sentences_of(check_dataset(folder(tmp_path)), "split") == ["1 class is in test, but not in train: fox."]


def test_boxes(photos: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "file,x0,y0,x1,y1\ncat/0.jpg,0,0,40,30\ncat/0.jpg,-1,0,41,30\ncat/2.jpg,5,5,60,20\ndog/1.jpg,-9,0,3,3\n"
    )
    result = check_dataset(folder(photos, boxes))
    assert sentences_of(result, "box") == [
        "cat/2.jpg: the box 5 5 60 20 exceeds the image, which is 40 x 30.",
        "dog/1.jpg: the box -9 0 3 3 exceeds the image, which is 40 x 30.",
    ]


def test_empty_boxes_and_items_without_label() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 30, 40, 3), dtype=np.uint8)
    items = [Item(noise[i], f"{i}", (0, 0, None)[i], np.array([[3.0, 4, 3, 9]])) for i in range(3)]
    result = check_dataset(ListDataset("three", items, ("cat",)))
    assert len(sentences_of(result, "box")) == 3
    assert sentences_of(result, "label") == ["1 image has no label: 2."]


def test_how_images_are_stored(photos: Path) -> None:
    with Image.open(photos / "cat/0.jpg") as image:
        image.load()
    image.convert("L").save(photos / "cat/grey.png")
    image.convert("CMYK").save(photos / "cat/cmyk.jpg")
    image.convert("RGBA").save(photos / "cat/alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(photos / "cat/turned.jpg", exif=exif)
    image.resize((40, 16)).save(photos / "cat/low.png")
    result = check_dataset(folder(photos))
    sentences = sentences_of(result, "form")
    assert [sentence.rpartition(": ")[2] for sentence in sentences[:4]] == [
        "cat/grey.png.",
        "cat/cmyk.jpg.",
        "cat/alpha.png.",
        "cat/turned.jpg.",
    ]
    assert not result.wrong
    turned = next(one for one in result.items if one.name == "cat/turned.jpg")
    assert turned.info.size == (30, 40)


def test_annotations(dogs: Path) -> None:
    (dogs / "Annotation/n02085620-Chihuahua/n02085620_7").unlink()
    result = check_dataset(open_dataset(f"stanford_dogs:{dogs}"))
    (sentences,) = sentences_of(result, "annotation")
    assert sentences.startswith("n02085620-Chihuahua/n02085620_7.jpg: no boxes: n02085620_7 is missing in")


def test_many_names_are_cut(photos: Path, write_image: Write) -> None:
    for seed in range(9):
        write_image(photos / f"loose{seed}.jpg", seed + 50)
    (sentences,) = sentences_of(check_dataset(folder(photos)), "label")
    assert sentences == "9 images have no label: loose0.jpg, loose1.jpg, loose2.jpg, loose3.jpg and 5 more."


# --- near duplicates


def test_the_difference_hash_by_hand() -> None:
    values = np.zeros((8, 9), dtype=np.uint8)
    values[0] = [9, 8, 7, 7, 8, 9, 9, 9, 1]
    by_hand = "11000001" + "0" * 56
    assert dhash(Image.fromarray(values)) == int(by_hand, 2)


def test_every_close_pair_is_found() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2**63, 60).astype(np.uint64)
    flips = [sum(1 << int(bit) for bit in rng.choice(64, size=k % 12, replace=False)) for k in range(60)]
    hashes = np.concatenate([base, base ^ np.array(flips, dtype=np.uint64)])
    slow = {
        (a, b)
        for b in range(120)
        for a in range(b)
        if bin(int(hashes[a]) ^ int(hashes[b])).count("1") <= MAX_HAMMING_DISTANCE
    }
    assert set(_close_pairs(hashes)) == slow
    assert len(slow) >= 40


def test_flat_images_are_not_alike() -> None:
    flat = [inspect_image(np.full((30, 40, 3), level, dtype=np.uint8)) for level in (10, 200, 255)]
    assert near_duplicates(flat) == []


@pytest.mark.real
def test_on_photographs(real_data: Path) -> None:
    """Scaled, compressed and grey copies are found, and no two different photographs are taken for one."""
    files = sorted((real_data / "dev/images/imagenet_val").glob("*"))
    count = len(files)
    looks = [inspect_image(file) for file in files]
    assert near_duplicates(looks) == []
    for change in (_half, _hard, _light, _grey):
        copies = [inspect_image(change(file)) for file in files]
        result = {
            one for group in near_duplicates(looks + copies) for one in group if one < count and one + count in group
        }
        assert len(result) >= 0.94 * count, change


def _half(file: Path) -> io.BytesIO:
    return _edited(file, lambda image: image.resize((image.width // 2, image.height // 2)))


def _hard(file: Path) -> io.BytesIO:
    return _edited(file, lambda image: image, quality=30)


def _light(file: Path) -> io.BytesIO:
    return _edited(file, lambda image: ImageEnhance.Brightness(image).enhance(1.25))


def _grey(file: Path) -> io.BytesIO:
    return _edited(file, lambda image: image.convert("L"))


def _edited(file: Path, change: Callable[[Image.Image], Image.Image], quality: int = 90) -> io.BytesIO:
    stream = io.BytesIO()
    with Image.open(file) as image:
        change(image.convert("RGB")).save(stream, "JPEG", quality=quality)
    return stream


# --- the command


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(stopped.value.code or 0), out, err


def test_command_where_all_is_well(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, photos, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "photos · 8 images · 2 classes · 40 × 30 to 40 × 30 pixels" in out
    assert [line.split()[:2] for line in out.splitlines() if "█" in line] == [["cat", "4"], ["dog", "4"]]
    assert "No errors found." in out
    content: dict[str, Any] = json.loads((tmp_path / "out/data.json").read_text(encoding="utf-8"))
    assert content["classes"][0] == {"name": "cat", "n_images": 4, "splits": {"": 4}}
    with Image.open(tmp_path / "out/classes.png") as sheet:
        assert sheet.width > 1000


def test_command_where_something_is_wrong(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(9):
        (photos / f"cat/broken{number}[/].jpg").parent.mkdir(exist_ok=True, parents=True)
        (photos / f"cat/broken{number}[/].jpg").write_bytes(b"")
    code, out, _ = run(capsys, photos, "-o", tmp_path / "out")
    assert code == 1
    assert out.count("broken: ") == 6
    assert "… and 3 more of broken, in data.json." in out
    assert json.loads((tmp_path / "out/data.json").read_text(encoding="utf-8"))["wrong"] == 9


def test_command_with_splits_boxes_and_many_classes(
    tmp_path: Path, write_image: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(50):
        for split in ("train", "test"):
            write_image(tmp_path / f"d/{split}/class {number:02}/1.png", number + 1000 * (split == "test"))
    code, out, _ = run(capsys, tmp_path / "d", "-o", tmp_path / "out", "--images", "1")
    assert code == 0
    assert "train 50 · test 50" in out
    assert "… 21 more" in out
    code, out, err = run(capsys, tmp_path / "d", "--split", "val")
    assert code == 2
    assert "it has test, train" in err


def test_command_does_not_write_into_the_data(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, photos, "-o", photos / "checked")
    assert code == 2
    assert "is inside the data set" in err


def test_toybox_is_in_order() -> None:
    assert check_dataset(ToyboxDataset(Toybox(60))).findings == ()


def test_a_split_without_labels_is_meant_so(tmp_path: Path, write_image: Write) -> None:
    for number in range(4):
        write_image(tmp_path / f"train/{('cat', 'dog')[number % 2]}/{number}.jpg", number)
    write_image(tmp_path / "test/9.jpg", 9)
    result = check_dataset(folder(tmp_path))
    assert sentences_of(result, "label") == ["a split has no labels at all: 1 image has no label: test/9.jpg."]
    assert not result.wrong
