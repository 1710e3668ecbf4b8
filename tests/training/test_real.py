"""The published study on real photographs: a frozen real backbone, a new head, CAM beside Grad-CAM on boxes.

The pack has one photograph of most breeds, too few to learn from, so the classes are dog, cat and other.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import camlucida as cl
from camlucida.evaluation import evaluate
from camlucida.evaluation.recipes import recipe
from camlucida.training.training_data import validation_data

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def photos(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dog/, cat/ and other/ with their photographs, and boxes.csv beside them."""
    root = tmp_path_factory.mktemp("photos")
    images = json.loads((real_data / "dev" / "manifest.json").read_text())["images"]
    rows = []
    for image in images:
        if image["kind"] != "imagenet_val":
            continue
        group = image["group"] if image["group"] in ("dog", "cat") else "other"
        name = f"{group}/{Path(image['file']).name}"
        (root / "photos" / group).mkdir(parents=True, exist_ok=True)
        shutil.copy(real_data / "dev" / image["file"], root / "photos" / name)
        rows += [[name, *box] for thing in image["objects"] for box in thing["boxes"]]
    with (root / "boxes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["file", "x0", "y0", "x1", "y1"], *rows])
    return root


def test_the_study_runs_and_the_two_maps_are_one(photos: Path, real_data: Path, tmp_path: Path) -> None:
    weights = real_data / "weights" / "resnet18_imagenet.safetensors"
    trained = cl.train(
        photos / "photos", arch="resnet18", weights=weights, boxes=photos / "boxes.csv", val=0.4, out=tmp_path / "run"
    )
    assert trained.best["val_accuracy"] > 62 / 119 + 0.1  # better than to say "other" always
    validation_images, model = validation_data(trained.path), trained.model
    assert len(validation_images) == 48
    assert validation_images[0].boxes is not None
    study = recipe("cam-vs-gradcam", model)
    methods = ("cam", "grad_cam", "grad_cam @ layer3")
    result = evaluate(
        model,
        validation_images,
        methods=methods,
        metrics=["box_iou"],
        compared=study.compared_pairs,
        limit=12,
        out=tmp_path / "iou",
    )
    assert all(alike.same_map for alike in result.map_similarities)
    cam, grad = (result.summary("box_iou", name) for name in ("cam", "grad_cam"))
    assert cam.value == pytest.approx(grad.value, abs=1e-3)  # their last digits may fall on two sides of a threshold
    assert 0.2 < cam.low < cam.value < cam.high < 1
