"""Edge cases: ties, the last row and column, an incomplete batch, the labels of the colour bar."""

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


def inputs_of(scores: Any, relevance: Tensor) -> dict[str, Any]:
    """Return the inputs of the two metrics for a network `scores` and a random image."""
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
    """Wu et al., algorithm 1: a pair counts as correct if the first drop is at least the second."""
    relevance = torch.arange(HEIGHT * WIDTH, dtype=torch.float64).view(HEIGHT, WIDTH)
    metric_inputs = inputs_of(lambda images: two_classes(torch.ones(len(images))), relevance)
    logits = torch.tensor([1.0, 0.0])
    assert saco.function(**metric_inputs, logits=logits) == pytest.approx(1)


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
    top, left, bottom, exact = squares.T
    assert (int(top.min()), int(left.min())) == (0, 0)
    assert (int(bottom.max()), int(exact.max())) == size
    assert torch.equal(bottom - top, exact - left)
    assert int((bottom - top).min()) >= 1
    assert int((bottom - top).max()) == round(min(size) * 10 / 28)


def test_infidelity_of_the_last_row_alone() -> None:
    """A network that depends only on the last row and column, and its exact map, which has no error."""
    weights = torch.zeros(HEIGHT, WIDTH)
    weights[-1], weights[:, -1] = 1, 2
    metric_inputs = inputs_of(lambda images: two_classes((images.mean(1) * weights).sum((1, 2))), torch.zeros(1))
    exact = (metric_inputs["inputs"].mean(0) * weights).double()
    result = infidelity.function(**{**metric_inputs, "relevance": exact}, scale="none", samples=400)
    assert result["infidelity_share"] == pytest.approx(0, abs=1e-9)
    assert result["infidelity"] == pytest.approx(0, abs=1e-9)
    metric_inputs["random"] = torch.Generator().manual_seed(0)
    shifted = infidelity.function(**{**metric_inputs, "relevance": exact.roll(1, 0)}, scale="none", samples=400)
    assert shifted["infidelity_share"] > 0.1


def test_the_loss_of_an_epoch_is_the_mean_over_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven images in batches of three: the reported loss weights every image equally, also in the incomplete batch."""
    losses: list[tuple[float, int]] = []

    def recorded(logits: Tensor, labels: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        loss = cross_entropy(logits, labels, *args, **kwargs)
        if kwargs.get("reduction") != "sum":
            losses.append((float(loss.detach()), len(labels)))
        return loss

    monkeypatch.setattr(loop, "cross_entropy", recorded)
    items = [Item(toybox.scene(i, kinds=[("cat", "dog")[i % 2]], size=32).picture(), f"{i}", i % 2) for i in range(8)]
    data = ListDataset("eight", items, ("cat", "dog"))
    reported: list[tuple[int, int, int, float]] = []
    trained_run = train(data, out=tmp_path / "run", epochs=1, batch_size=3, val=0.0, size=32, lr=0.5,
                 progress=lambda *state: reported.append(state))  # fmt: skip
    assert [count for _, count in losses] == [3, 3, 2]
    mean = sum(loss * count for loss, count in losses) / 8
    assert trained_run.rows[0]["loss"] == pytest.approx(mean, rel=1e-5)
    assert mean != pytest.approx(sum(loss for loss, _ in losses) / 3, rel=1e-4)
    assert reported[-1][3] == pytest.approx(mean, rel=1e-5)


@pytest.fixture(scope="module")
def signed() -> Explanation:
    image = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
    result = cl.explain("toybox", image, method="input_x_gradient")
    assert result.shows_signs
    return result


@pytest.mark.parametrize("colormap", [None, DEFAULT_COLORMAP, "signed"])
def test_the_scale_is_that_of_the_colours(
    signed: Explanation, colormap: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The colour bar has the units of the map: symmetric for diverging colour maps, otherwise starting at 0."""
    panel_arguments: dict[str, Any] = {}

    def recorded(image: Any, saliency: Any, *args: Any, **kwargs: Any) -> Any:
        panel_arguments.update(kwargs, saliency=saliency)
        return image

    monkeypatch.setattr("camlucida.attribution.explanation.draw_panel", recorded)
    signed.panel(colormap=colormap)
    low, high = panel_arguments["scale"]
    saliency, raw = panel_arguments["saliency"], signed.landed
    inside = np.isfinite(saliency) & (saliency > 0) & (saliency < 1)
    np.testing.assert_allclose(low + saliency[inside] * (high - low), raw[inside], rtol=1e-3, atol=1e-5 * signed.peak)
    assert inside.any()
    assert (low, high) == ((0.0, signed.peak) if colormap == DEFAULT_COLORMAP else (-signed.peak, signed.peak))
