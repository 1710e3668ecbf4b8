"""Arithmetic at the edge: ties, the last row and column, a batch that is not full, the numbers beside the colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import camlucida as cl
from camlucida.attribution.explanation import Explanation
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from camlucida.metrics.infidelity import _squares, _sums_inside, infidelity
from camlucida.metrics.saco import saco
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.training import loop, train

HEIGHT, WIDTH = 12, 20


def given(scores: Any, relevance: Tensor) -> dict[str, Any]:
    """What the two metrics ask for, of a network `scores` and a random image."""
    inputs = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    return {
        "relevance": relevance,
        "inputs": inputs,
        "target": 0,
        "pixel_scale": torch.ones(3, 1, 1),
        "black_level": torch.zeros(3, 1, 1),
        "predict": lambda variants, count: scores(variants(torch.arange(count))),
        "random": torch.Generator().manual_seed(0),
    }


def two_classes(first: Tensor) -> Tensor:
    return torch.stack([first, torch.zeros_like(first)], dim=1)


def test_saco_counts_equal_drops_as_the_right_order() -> None:
    """Wu et al., algorithm 1: the pair counts as right where the first fall is at least the second."""
    relevance = torch.arange(HEIGHT * WIDTH, dtype=torch.float64).view(HEIGHT, WIDTH)
    asked = given(lambda pictures: two_classes(torch.ones(len(pictures))), relevance)
    logits = torch.tensor([1.0, 0.0])
    assert saco.function(**asked, logits=logits) == pytest.approx(1)


@pytest.mark.parametrize("size", [(12, 20), (20, 12)])
def test_the_sum_in_a_square_reaches_the_last_row_and_column(size: tuple[int, int]) -> None:
    relevance = torch.rand(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    height, width = size
    corners = torch.tensor([[0, 0, height, width], [height - 1, 0, height, width], [0, width - 1, height, width],
                            [2, 3, 7, 8], [height - 1, width - 1, height, width], [0, 0, 0, 0]])  # fmt: skip
    by_hand = [float(relevance[t:b, l:r].sum()) for t, l, b, r in corners.tolist()]
    np.testing.assert_allclose(_sums_inside(relevance, corners).numpy(), by_hand, atol=1e-12)


@pytest.mark.parametrize("size", [(12, 20), (20, 12), (56, 40)])
def test_squares_stay_inside_and_reach_every_edge(size: tuple[int, int]) -> None:
    squares = _squares(torch.Size(size), 4000, torch.Generator().manual_seed(0))[1:]
    top, left, bottom, right = squares.T
    assert (int(top.min()), int(left.min())) == (0, 0)
    assert (int(bottom.max()), int(right.max())) == size
    assert torch.equal(bottom - top, right - left)
    assert int((bottom - top).min()) >= 1
    assert int((bottom - top).max()) == round(min(size) * 10 / 28)


def test_infidelity_of_the_last_row_alone() -> None:
    """A network that reads only the last row and column, and the map that says so, without an error."""
    weights = torch.zeros(HEIGHT, WIDTH)
    weights[-1], weights[:, -1] = 1, 2
    asked = given(lambda pictures: two_classes((pictures.mean(1) * weights).sum((1, 2))), torch.zeros(1))
    right = (asked["inputs"].mean(0) * weights).double()
    found = infidelity.function(**{**asked, "relevance": right}, scale="none", samples=400)
    assert found["infidelity_share"] == pytest.approx(0, abs=1e-9)
    assert found["infidelity"] == pytest.approx(0, abs=1e-9)
    asked["random"] = torch.Generator().manual_seed(0)
    wrong = infidelity.function(**{**asked, "relevance": right.roll(1, 0)}, scale="none", samples=400)
    assert wrong["infidelity_share"] > 0.1


def test_the_loss_of_an_epoch_is_the_mean_over_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven images in batches of three: the last one weighs a third, or the reported loss would be that of batches."""
    losses: list[tuple[float, int]] = []

    def recorded(logits: Tensor, labels: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        loss = cross_entropy(logits, labels, *args, **kwargs)
        if kwargs.get("reduction") != "sum":
            losses.append((float(loss.detach()), len(labels)))
        return loss

    monkeypatch.setattr(loop, "cross_entropy", recorded)
    items = [Item(toybox.scene(i, kinds=[("cat", "dog")[i % 2]], size=32).picture(), f"{i}", i % 2) for i in range(8)]
    data = ListDataset("eight", items, ("cat", "dog"))
    told: list[tuple[int, int, int, float]] = []
    made = train(data, out=tmp_path / "run", epochs=1, batch_size=3, val=0.0, size=32, lr=0.5,
                 progress=lambda *now: told.append(now))  # fmt: skip
    assert [count for _, count in losses] == [3, 3, 2]
    mean = sum(loss * count for loss, count in losses) / 8
    assert made.rows[0]["loss"] == pytest.approx(mean, rel=1e-5)
    assert mean != pytest.approx(sum(loss for loss, _ in losses) / 3, rel=1e-4)
    assert told[-1][3] == pytest.approx(mean, rel=1e-5)


@pytest.fixture(scope="module")
def signed() -> Explanation:
    picture = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
    found = cl.explain("toybox", picture, method="input_x_gradient")
    assert found.shows_signs
    return found


@pytest.mark.parametrize("colormap", [None, DEFAULT_COLORMAP, "signed"])
def test_the_scale_is_that_of_the_colours(
    signed: Explanation, colormap: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heat 0 and 1 in the map's own units: symmetric for colours with zero in the middle, else from zero on."""
    drawn: dict[str, Any] = {}

    def recorded(image: Any, heat: Any, *args: Any, **kwargs: Any) -> Any:
        drawn.update(kwargs, heat=heat)
        return image

    monkeypatch.setattr("camlucida.attribution.explanation.draw_panel", recorded)
    signed.panel(colormap=colormap)
    low, high = drawn["scale"]
    heat, raw = drawn["heat"], signed.landed
    seen = np.isfinite(heat) & (heat > 0) & (heat < 1)
    np.testing.assert_allclose(low + heat[seen] * (high - low), raw[seen], rtol=1e-3, atol=1e-5 * signed.peak)
    assert seen.any()
    assert (low, high) == ((0.0, signed.peak) if colormap == DEFAULT_COLORMAP else (-signed.peak, signed.peak))
