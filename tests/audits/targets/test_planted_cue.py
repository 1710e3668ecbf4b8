"""A planted cue for boxes: a tag beside objects of one class, and a detector whose reliance on it is set by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from camlucida.audits.audit_result import Audit
from camlucida.audits.hypotheses import Hypotheses, Settings, find_hypotheses
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset, ObjectAnnotation
from camlucida.models.detection.candidates import Detector
from camlucida.models.detection.targets import DetectionTargets, detector_model
from camlucida.models.preprocessing import Preprocessing

CELL, CELLS = 8, 6
SIZE = CELL * CELLS
N, N_TAGGED = 36, 10
SETTINGS = Settings(max_hypotheses=12, max_members=16, max_controls=8, n_pilot=8)
LABELS = ("red", "blue")


class Cells(Detector):
    """One candidate for each cell of 8 pixels, whose box is the cell. Red and blue cells are objects.

    The score of "red" rises with the green of the cell to the left as well: a tag beside the object.

    Args:
        tag_weight: Log-odds of "red" that a green cell beside the object adds.
    """

    def __init__(self, tag_weight: float) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, CELL, CELL, bias=False)
        self.layer.weight.data = torch.eye(3)[:, :, None, None].expand(3, 3, CELL, CELL) / CELL**2
        self.scores = nn.Conv2d(3, 2, 3, padding=1)
        self.scores.weight.data.zero_()
        self.scores.weight.data[0, 0, 1, 1], self.scores.weight.data[1, 2, 1, 1] = 12.0, 12.0
        self.scores.weight.data[0, 1, 1, 0] = tag_weight
        self.scores.bias.data = torch.tensor([-7.0, -7.0])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores = self.scores(self.layer(x).relu())
        top, left = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
        boxes = CELL * torch.stack([left, top, left + 1, top + 1], -1).flatten(0, 1)
        return {"boxes": boxes[None].expand(len(x), -1, -1).float(), "scores": scores.flatten(2).transpose(1, 2)}


def scenes() -> ListDataset:
    """Images with one red and one blue object; left of the red object of the first ones is a green tag."""
    rng = np.random.default_rng(0)
    items = []
    for i in range(N):
        pixels = rng.integers(0, 20, (SIZE, SIZE, 3))
        red, blue = rng.permutation([(r, c) for r in range(CELLS) for c in range(1, CELLS, 2)])[:2]
        brightness = 120 + int(rng.integers(60))
        objects = []
        for label, (row, column) in enumerate((red, blue)):
            box = np.array([column, row, column + 1, row + 1]) * CELL
            pixels[box[1] : box[3], box[0] : box[2], 2 * label] = brightness + 60
            objects.append(ObjectAnnotation(label, box.astype(float)))
        if i < N_TAGGED:
            row, column = red
            pixels[row * CELL : (row + 1) * CELL, (column - 1) * CELL : column * CELL, 1] = 250
        items.append(
            Item(Image.fromarray(pixels.astype(np.uint8)), f"{i}", 0, objects=lambda found=tuple(objects): found)  # type: ignore[misc]
        )
    return ListDataset("tagged cells", items, LABELS)


def audited(tag_weight: float, folder: Path) -> tuple[Audit, Hypotheses]:
    preprocessing = Preprocessing((SIZE, SIZE), None, "crop", (0.0,) * 3, (1.0,) * 3)
    model = detector_model(
        Cells(tag_weight).eval(), preprocessing, LABELS, DetectionTargets(threshold=0.3), layer="layer"
    )
    result = audit(model, scenes(), folder, methods=["hires_cam"], target="all")
    return result, find_hypotheses(result, settings=SETTINGS, with_images=False)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, Hypotheses]:
    return audited(9.0, tmp_path_factory.mktemp("planted"))


def test_the_tag_beside_boxes_is_ranked_first_and_verified(planted: tuple[Audit, Hypotheses]) -> None:
    result, found = planted
    first = found.hypotheses[0]
    assert first.verified
    assert first.class_name == "red"
    tagged = {
        i
        for i, row in enumerate(result.rows)
        if row["index"] < N_TAGGED and row["predicted"] == "red" and row["outcome"] == "correct"
    }
    members = set(first.members)
    assert len(tagged) == N_TAGGED
    assert len(tagged & members) / len(tagged | members) > 0.7
    assert first.effect.name.startswith("drop of the log-odds of the same target")
    assert first.effect.low is not None
    assert first.effect.low > 0.5
    assert first.counts["outside_object"] > 0.5
    assert "'red' targets" in first.sentence
    assert "Not verified" not in first.sentence
    others = [each for each in found.hypotheses if each.verified and each.same_as is None]
    assert [each.class_name for each in others] == ["red"]


def test_a_detector_that_ignores_the_tag_has_no_cue(tmp_path: Path) -> None:
    _, found = audited(0.0, tmp_path)
    assert found.hypotheses
    assert not any(each.verified for each in found.hypotheses)
