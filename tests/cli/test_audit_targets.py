"""`camlucida audit --target all`: boxes, regions and words as rows; `query`, `export` and `--against` on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import camlucida as cl

LINE = ("audit", "toybox:3", "--model", "toybox:detector", "--target", "all", "--limit", "3", "-o", "boxes")


def words(text: str) -> str:
    return " ".join(text.split())


def test_boxes_from_audit_to_export(run: Callable[..., Any]) -> None:
    code, out, err = run(*LINE, "--findings", "slices,differences,label_errors")
    assert (code, err) == (0, "")
    audit = cl.Audit("boxes")
    counts = audit.summary
    n_correct, n_false, n_missed = (counts[f"n_{name}"] for name in ("correct", "false", "missed"))
    found = (
        f"detected objects: {n_correct} of {n_correct + n_missed} (recall {counts['recall']:.1%}), {n_missed} missed"
    )
    assert found in words(out)
    right = (
        f"correct detections: {n_correct} of {n_correct + n_false} (precision {counts['precision']:.1%}), {n_false} "
    )
    assert right in words(out)
    assert "accuracy" not in out
    assert "3 images of toybox:3 · toybox:detector · no errors" in words(out)
    assert "energy in its own box" in words(out)
    assert "label_errors is left out: a box that is missed" in words(out)
    assert Path("boxes/audit.html").exists()

    code, out, err = run("query", "boxes", "correct and size < .2", "--panel", "panel.png", "--json")
    document = json.loads(out)
    expected = [row for row in audit.rows if row["correct"] and row["box_area"] < 0.2]
    assert (code, err) == (0, "")
    assert [row["target"] for row in document["rows"]] == [row["target"] for row in expected]
    assert Path("panel.png").exists()
    code, out, err = run("query", "boxes", "mised")
    assert code == 2
    assert "Did you mean 'missed'" in words(err)
    code, out, _ = run("query", "boxes")
    assert f"{counts['n_rows']} of {counts['n_rows']} targets" in out
    assert "box 1" in out

    code, out, err = run("export", "boxes", "--format", "coco", "-o", "coco.json")
    assert (code, err) == (0, "")
    assert f"{counts['n_rows']} of {counts['n_rows']} targets" in out
    assert len(json.loads(Path("coco.json").read_text())["annotations"]) == counts["n_rows"]

    code, out, err = run(*LINE[:-1], "later", "--findings", "none", "--against", "boxes", "--fail-on", "accuracy drops")
    assert code == 0, err
    assert "60" not in out.splitlines()[0]


def test_the_default_of_a_detector_is_the_whole_image(run: Callable[..., Any]) -> None:
    code, _, _ = run("audit", "toybox:2", "--model", "toybox:detector", "--limit", "2", "--findings", "none")
    audit = cl.Audit("camlucida-out/audit")
    assert code == 0
    assert len(audit.rows) == 2
    assert not audit.has_targets
    code, out, _ = run("audit", "--help")
    assert "all: one row for each target of an image" in words(out).replace("│", "").replace("  ", " ")


def test_captioners_and_classifiers_get_one_sentence(run: Callable[..., Any]) -> None:
    for model, message, extra in (
        ("toybox:captioner", "audit its words with --target all", ()),
        ("toybox", "no detector, segmentation network or captioner", ("--target", "all")),
    ):
        code, out, err = run("audit", "toybox", "--model", model, "--limit", "1", "-o", "none", *extra)
        assert code == 2
        assert out == "" or out.startswith("Explained with layer_cam, the default for words")
        assert message in words(err)
        assert not Path("none").exists()


def test_an_audit_of_targets_and_one_of_images_are_not_mixed(run: Callable[..., Any]) -> None:
    run(*LINE, "--findings", "none")
    code, _, err = run(*[word for word in LINE if word not in ("--target", "all")], "--findings", "none")
    assert code == 2
    assert "boxes holds another audit" in words(err)
