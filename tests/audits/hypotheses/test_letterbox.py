"""Interventions on images that are not square: the border of a letterbox is no part of the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camlucida as cl
from camlucida.attribution.output_reader import predict
from camlucida.audits.hypotheses.edits import paste, remove
from camlucida.audits.hypotheses.interventions import cover, transplant
from camlucida.audits.hypotheses.regions import Regions
from camlucida.audits.hypotheses.scoring import Scorer
from camlucida.data.datasets import Item, ListDataset

SIZE = 32
IMAGE_ROWS = slice(8, 24)


class Grey(nn.Module):
    """Class scores per pixel: red, green, or grey, which is the only colour with blue in it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[6.0, -6, 0], [-6, 6, 0], [0, 0, 9]])[:, :, None, None])
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(x)
        return scores


@pytest.fixture
def scorer() -> Scorer:
    """Return a scorer of a segmentation network, whose letterbox is grey: a wide, a high and a square image."""
    options = {"size": SIZE, "mean": (0, 0, 0), "std": (1, 1, 1), "fit": "letterbox", "fill": 0.5}
    model = cl.wrap(Grey().eval(), labels=["red", "green", "grey"], task="segmentation", **options)
    items = []
    for i, (width, height) in enumerate(((32, 16), (16, 32), (32, 32))):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[..., 0] = 255
        pixels[:, width * 3 // 4 :] = (0, 255, 0)
        items.append(Item(Image.fromarray(pixels), f"{i}", i % 2))
    return Scorer(model, ListDataset("stripes", items, ("red", "green", "grey")))


def by_hand(inputs: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return the class scores of the pixels of one image: the mean of exp(logit), as a logarithm."""
    logits = Grey()(inputs[None])[0, :, rows, columns].detach().double()
    return logits.flatten(1).logsumexp(1) - np.log(logits[0].numel())


def assert_near(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)


def test_scores_are_those_of_the_image_without_its_border(scorer: Scorer) -> None:
    inputs = scorer.inputs([0, 1, 2, 0])
    scores = scorer.scores(inputs, [0, 1, 2, 0])
    whole = slice(0, SIZE)
    assert_near(scores[0], by_hand(inputs[0], IMAGE_ROWS, whole))
    assert_near(scores[1], by_hand(inputs[1], whole, IMAGE_ROWS))
    assert_near(scores[2], by_hand(inputs[2], whole, whole))
    assert_near(scores[3], scores[0])
    assert int(scores[0].argmax()) == 0
    with_border = predict(scorer.model, inputs[:1])[0][0].double()
    assert float((with_border - scores[0]).abs().max()) > 0.3  # what was read before


def test_covered_and_pasted_images_are_read_without_the_border(scorer: Scorer) -> None:
    box = (24, 8, 32, 24)  # the green stripe of the wide image
    regions = Regions((box,), (SIZE, SIZE), visible=tuple(scorer.visible_boxes([0])))
    targets = torch.tensor([1])
    covered = cover(scorer, np.array([0]), targets, regions, 2, np.random.default_rng(0))
    inputs = scorer.inputs([0])
    before, after = (by_hand(x[0], IMAGE_ROWS, slice(0, SIZE)) for x in (inputs, remove(inputs, regions.masks())))
    odds = [float(s[1] - torch.stack([s[0], s[2]]).logsumexp(0)) for s in (before, after)]
    assert covered.drops[0] == pytest.approx(odds[0] - odds[1], rel=1e-5)
    pasted = transplant(
        scorer, np.array([0]), targets, regions, np.array([1]), scorer.scores(scorer.inputs([1]), [1]), 1
    )
    assert pasted.n_recipients.tolist() == [1]
    into = scorer.inputs([1])
    edited = paste(into, inputs, regions.masks())
    odds = [by_hand(x[0], slice(0, SIZE), IMAGE_ROWS) for x in (into, edited)]
    rise = [float(s[1] - torch.stack([s[0], s[2]]).logsumexp(0)) for s in odds]
    assert pasted.rises[0] == pytest.approx(rise[1] - rise[0], rel=1e-4, abs=1e-6)


def test_other_positions_lie_in_the_image(scorer: Scorer) -> None:
    assert scorer.visible_boxes([0, 1, 2]) == [(0, 8, 32, 24), (8, 0, 24, 32), (0, 0, 32, 32)]
    visible = tuple(scorer.visible_boxes([0, 1, 2]))
    boxes = ((0, 8, 6, 14), (8, 0, 14, 6), (0, 0, 6, 6))
    regions, rng = Regions(boxes, (SIZE, SIZE), visible=visible), np.random.default_rng(0)
    for _ in range(20):
        masks = regions.masks_elsewhere(rng)
        assert masks.flatten(1).sum(1).tolist() == [36] * 3
        for mask, (left, top, right, bottom) in zip(masks, visible, strict=True):
            assert int(mask[top:bottom, left:right].sum()) == 36
    border = Regions(visible, (SIZE, SIZE), is_border=True)
    own, cross = border.masks(), border.masks_elsewhere(rng)
    for i, (left, top, right, bottom) in enumerate(visible):
        for masks in (own, cross):
            assert int(masks[i].sum()) == int(masks[i, top:bottom, left:right].sum()) > 0
        assert int(own[i].sum()) == int(cross[i].sum())
        assert bool(own[i, top, left])
        assert not bool(cross[i, top, left])
