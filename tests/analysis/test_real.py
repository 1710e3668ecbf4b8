"""A real network on real photographs has the accuracy that the README of the data states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import camlucida as cl
from camlucida.analysis import mistakes
from camlucida.data.datasets import Item, ListDataset

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_resnet18_on_photographs(real_data: Path, tmp_path: Path) -> None:
    """61.3 % and 89.9 % right, one photograph more or less; its maps lie on the animals."""
    photos = [
        photo
        for photo in json.loads((real_data / "dev" / "manifest.json").read_text())["images"]
        if photo["kind"] == "imagenet_val"
    ]
    items = []
    for photo in photos:
        first, *others = photo["accepted_indices"]
        boxes = np.array(photo["objects"][0]["boxes"], dtype=np.float64)
        items.append(Item(real_data / "dev" / photo["file"], photo["file"], first, boxes, also_correct=tuple(others)))
    model = cl.load(real_data / "weights" / "resnet18_imagenet.safetensors")
    result = mistakes(model, ListDataset("photographs", items, model.labels), out=tmp_path)
    assert 100 * result.accuracy.value == pytest.approx(61.3, abs=0.9)
    assert 100 * result.top5.value == pytest.approx(89.9, abs=0.9)
    assert not result.calibration.off, "ECE 8.8 %, by chance up to 13.8 %: so few photographs cannot tell"
    energy = next(item for item in result.contrasts if item.name == "energy")
    assert energy.right.low > 0.65
    worst = result.errors(3)
    assert all(row["confidence"] > 0.9 for row in worst)
