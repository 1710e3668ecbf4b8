"""`explain`, `evaluate` and `sanity` with boxes, regions and words as targets."""

from __future__ import annotations

import csv
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import camlucida as cl
from camlucida.data import toybox
from camlucida.data.toybox import CLASSES
from camlucida.errors import NothingFound
from camlucida.models.captions.words import choose_words


@pytest.fixture
def photos() -> list[toybox.Scene]:
    """Two scenes in a folder, and boxes of the objects of the first; of the dog there, the box is elsewhere."""
    scenes = [toybox.Toybox(2, seed=3, objects=2).scene(i) for i in range(2)]
    Path("photos").mkdir()
    lines = ["file,x0,y0,x1,y1,label"]
    for i, scene in enumerate(scenes):
        drawing = scene.draw()
        drawing.image.save(f"photos/{i}.png")
        for label, box in zip(scene.labels, drawing.boxes, strict=True) if i == 0 else ():
            name = CLASSES[label]
            corners = (0, 60, 20, 90) if name == "dog" else box
            lines.append(",".join(map(str, (f"{i}.png", *corners, name))))
    Path("boxes.csv").write_text("\n".join(lines))
    return scenes


def test_explain_prints_every_target(run: Callable[..., Any], photos: list[toybox.Scene]) -> None:
    code, out, _ = run("explain", "photos", "--model", "toybox:detector")
    assert code == 0
    assert re.search(r"^0\.png: car \d+\.\d%, dog \d+\.\d% → ", out, re.MULTILINE)
    code, out, _ = run("explain", "photos/0.png", "--model", "toybox:detector")
    assert "predictions of car (box 1)" in out
    code, out, _ = run("explain", "photos/0.png", "--model", "toybox:detector", "--target", "box 2")
    assert "predictions of" not in out
    code, out, err = run("explain", "photos/0.png", "--model", "toybox:segmenter", "--target", "at 2,2,at 90,2")
    assert (code, err) == (0, "")
    assert out.count("explained: background") >= 1


def test_explain_says_which_default_method_and_why(run: Callable[..., Any], photos: list[toybox.Scene]) -> None:
    code, out, _ = run("explain", "photos/0.png", "--model", "toybox:segmenter", "--maps")
    assert code == 0
    assert "Explained with hires_cam, the default for regions: it weights positions, not channels." in out
    records = [json.loads(path.read_text()) for path in Path("camlucida-out").rglob("*.json")]
    assert {record["method_reason"][:19] for record in records} == {"default for regions"}
    code, out, _ = run("explain", "photos/0.png", "--model", "toybox:segmenter", "--method", "grad_cam", "--overwrite")
    assert code == 0
    assert "default for regions" not in out
    assert "by grad_cam at" in out


def test_evaluate_without_any_target(run: Callable[..., Any], photos: list[toybox.Scene]) -> None:
    options = ("--model", "toybox:detector", "--target", "box 19", "--metrics", "gini", "--no-controls")
    code, out, _ = run("evaluate", "photos", *options)
    assert code == 2
    assert "0 targets in 0 images.\n" in out
    assert "Region that metrics" not in out


def test_evaluate_each_box_of_a_folder(run: Callable[..., Any], photos: list[toybox.Scene]) -> None:
    options = ("--boxes", "boxes.csv", "--model", "toybox:detector", "--target", "all", "--metrics", "energy,gini")
    code, out, _ = run("evaluate", "photos", *options, "--no-controls", "--report", "page.html")
    assert code == 0
    table = pyarrow.parquet.read_table("camlucida-out/evaluation/results.parquet").to_pylist()
    found = {(row["image"], row["target"]): (row["match"], row["region"]) for row in table if row["metric"] == "energy"}
    assert found == {
        ("0.png", "car (box 1)"): ("matched", "annotated box"),
        ("0.png", "dog (box 2)"): ("not matched", "predicted box"),
        ("1.png", "house (box 1)"): (None, "predicted box"),
        ("1.png", "car (box 2)"): (None, "predicted box"),
    }
    assert "4 targets in 2 images; 1 of 2 with an annotation to compare agree with it." in out
    assert "target: all" in out
    assert "not matched" in Path("page.html").read_text()


def test_evaluate_says_what_there_is(run: Callable[..., Any], photos: list[toybox.Scene]) -> None:
    code, out, _ = run("evaluate", "photos", "--model", "toybox:detector", "--target", "box 3", "--metrics", "gini")
    assert code == 2
    assert "there is no box 3: the detector found box 1 (car 91%), box 2 (dog 84%)" in " ".join(out.split())
    code, _, err = run("evaluate", "photos", "--model", "toybox:captioner", "--metrics", "gini")
    assert code == 2
    assert "--target all" in err


def test_evaluate_as_json(run: Callable[..., Any], photos: list[toybox.Scene]) -> None:
    options = ("--model", "toybox:detector", "--target", "all", "--metrics", "gini", "--no-controls", "--json")
    (score,) = json.loads(run("evaluate", "photos", *options).out)["scores"]
    assert (score["n"], score["n_images"]) == (4, 2)


@pytest.mark.parametrize(
    ("model", "target", "labels"),
    [
        ("toybox:detector", "box 1", ["car (box 1)"]),
        ("toybox:detector", "all", ["car (box 1)", "dog (box 2)"]),
        ("toybox:captioner", "word 2", ["car (word 2)"]),
    ],
)
def test_sanity_of_targets(
    model: str, target: str, labels: list[str], run: Callable[..., Any], photos: list[toybox.Scene]
) -> None:
    options = ("--model", model, "--target", target, "--checks", "random_logit", "--seeds", "1")
    assert run("sanity", "photos/0.png", *options)[0] == 0
    with Path("camlucida-out/sanity/sanity.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(dict.fromkeys(row["target"] for row in rows)) == labels


@pytest.mark.parametrize("command", ["explain", "trust"])
def test_an_image_without_detections_is_a_row(
    run: Callable[..., Any], photos: list[toybox.Scene], command: str
) -> None:
    Path("photos/1.png").unlink()
    toybox.scene(0, variant="empty").picture().save("photos/empty.png")
    if command == "trust":  # which would take long
        Path("photos/0.png").write_bytes(Path("photos/empty.png").read_bytes())
    options = (command, "photos", "--model", "toybox:detector")
    code, out, _ = run(*options)
    assert code == 0
    assert "empty.png: no detection above 0.3\n" in out
    assert "0 failed" in out
    with Path("camlucida-out/results.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["image"].endswith("empty.png")]
    assert [(row["target"], row["file"], row["error"]) for row in rows] == [("no detection above 0.3", "", "")]
    code, out, _ = run(*options)
    assert code == 0
    assert "2 of 2 images are in" in out
    Path("photos/0.png").write_bytes(b"no image")
    Path("photos/empty2.png").write_bytes(Path("photos/empty.png").read_bytes())
    found = run(*options, "--json")
    assert found.code == 1
    assert [image["target"] for image in json.loads(found.out)["images"]] == ["no detection above 0.3"]


def test_nothing_found_keeps_its_summary_with_the_context(tmp_path: Path) -> None:
    file = tmp_path / "empty.png"
    toybox.scene(0, variant="empty").picture().save(file)
    with pytest.raises(NothingFound, match=r"empty\.png\)$") as raised:
        cl.explain("toybox:detector", file)
    assert raised.value.summary == "no detection above 0.3"
    assert pickle.loads(pickle.dumps(raised.value)).summary == raised.value.summary
    with pytest.raises(NothingFound) as without_words:
        choose_words(None, [])
    assert without_words.value.summary == "no word generated"


def test_the_margin_to_a_detection(run: Callable[..., Any], photos: list[toybox.Scene]) -> None:
    options = ("--model", "toybox:detector", "--margin", "--maps")
    code, out, err = run("explain", "photos/0.png", *options, "--target", "box 1")
    assert (code, err) == (0, "")
    expected = cl.explain("toybox:detector", "photos/0.png", target="box 1").detection_margin()  # type: ignore[union-attr]
    with np.load("camlucida-out/0.npz") as arrays:
        assert np.allclose(arrays["raw"], expected.raw.numpy(), atol=1e-3)
    code, out, _ = run("explain", "photos", *options, "-o", "all")
    assert code == 0
    assert "2 explained, 0 failed" in out
    code, _, err = run("explain", "photos/0.png", "--model", "toybox", "--margin")
    assert code == 2
    assert "needs the class of one box of a detector" in " ".join(err.split())
