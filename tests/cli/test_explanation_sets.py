"""Several explanations of one image: one forward pass, axes, selection, figures and files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.analysis import mistakes
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from camlucida.errors import TargetError
from camlucida.render.canvas import Sheet

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=150).picture()


RUNS: list[None] = []
"""One entry per call of a counted layer; an attribute of its class would count as a change of the network."""


class Counted(nn.Conv2d):
    """A layer that counts how often it runs, also in a network copy."""

    def forward(self, x: Tensor) -> Tensor:
        RUNS.append(None)
        return super().forward(x)


class Counting(nn.Module):
    """A network that begins with a layer that counts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = Counted(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.two(self.one(x).relu()).mean((2, 3)))
        return out


@pytest.fixture
def counting() -> Iterator[cl.Model]:
    """A model whose layers and linear head have been determined already."""
    counted = cl.wrap(Counting(), size=32, labels=["a", "b", "c", "d"])
    cl.explain(counted, PETS, method="cam")
    cl.explain(counted, PETS, layer="all")
    RUNS.clear()
    yield counted
    RUNS.clear()


@pytest.mark.parametrize(
    ("how", "count"),
    [
        ({}, 1),
        ({"target": ["a", "b", "c rather than d", "not a"]}, 4),
        ({"target": "top3", "layer": "all"}, 6),
        ({"layer": ["one", "two"], "method": ["grad_cam", "layer_cam", "eigen_cam"], "target": ["a", 2]}, 12),
        ({"method": ["grad_cam", "grad_cam_plusplus", "hires_cam", "xgrad_cam", "cam"], "layer": "two"}, 5),
    ],
)
def test_one_forward_pass_serves_all_maps(counting: cl.Model, how: dict[str, Any], count: int) -> None:
    result = cl.explain(counting, PETS, **how)
    assert len(RUNS) == 1
    assert (len(result) if isinstance(result, cl.ExplanationSet) else 1) == count


def test_maps_of_a_set_equal_single_explanations(counting: cl.Model) -> None:
    methods, targets, layers = ["grad_cam", "ablation_cam"], ["a", "not b"], ["one", "two"]
    together = cl.explain(counting, PETS, method=methods, target=targets, layer=layers)
    assert isinstance(together, cl.ExplanationSet)
    assert len(together) == 8
    for e in together:
        target = "not b" if e.target == "against b" else e.target
        alone = cl.explain(counting, PETS, method=e.method, target=target, layer=e.layer)
        assert (alone.score, alone.index, alone.record()) == (e.score, e.index, e.record())
        assert_close(alone.raw, e.raw, rtol=1e-4, atol=1e-6)


def test_axes_and_selection(counting: cl.Model) -> None:
    result = cl.explain(counting, PETS, target=["a", "b"], layer=["one", "two"])
    assert result.axis("target") == ["a", "b"]
    assert result.axis("layer") == ["one", "two"]
    assert result.axis("method") == ["grad_cam"]
    selected = result.select(layer="two")
    assert [(e.target, e.layer) for e in selected] == [("a", "two"), ("b", "two")]
    (first,) = result.select(layer="two", target="b")
    assert first is selected[1]
    assert list(result)[-1] is result[-1] is result[3]
    with pytest.raises(TargetError, match=r"no explanation with .*'c'.* target: a, b"):
        result.select(target="c")
    with pytest.raises(TargetError, match="by method, target, layer and input, not by 'index'"):
        result.select(index="c")


def test_list_of_one_returns_a_set(counting: cl.Model) -> None:
    for kwargs in (
        {"target": ["a"]},
        {"layer": ["two"]},
        {"method": ["grad_cam"]},
        {"target": "top1"},
        {"layer": "tw?"},
    ):
        assert isinstance(cl.explain(counting, PETS, **kwargs), cl.ExplanationSet)
    assert isinstance(cl.explain(counting, PETS), cl.Explanation)


def test_figures(counting: cl.Model, tmp_path: Path) -> None:
    arguments: tuple[dict[str, Any], ...] = (
        {"target": ["a", "b"]},
        {"layer": "all"},
        {"method": ["grad_cam", "cam"], "layer": "two", "target": ["a", "b"]},
        {"method": ["grad_cam", "eigen_cam"], "layer": "all", "target": ["a", "b"]},
        {"target": ["a"]},
    )
    sizes = []
    for number, kwargs in enumerate(arguments):
        result = cl.explain(counting, PETS, **kwargs)
        (path,) = result.save(tmp_path / f"{number}.png")
        with Image.open(path) as image, Image.open(io.BytesIO(result._repr_png_())) as displayed:
            assert image.tobytes() == displayed.tobytes() == result.figure().tobytes()
            sizes.append(image.size)
    assert sizes[2][1] > sizes[0][1]  # one more row
    assert sizes[3][1] > sizes[2][1]


def test_similar_names_do_not_overwrite_files(tmp_path: Path) -> None:
    names = ["great white shark " * 6 + end for end in ("one", "two", "three", "four")]
    result = cl.explain(cl.wrap(Counting(), size=32, labels=names), PETS, target=[0, 1, 2, "3", "3"])
    written = result.save(tmp_path / "map.npz")
    assert len(set(written)) == len(written) == len(list(tmp_path.iterdir())) == 10
    for e, path in zip(result, written[::2], strict=True):
        with np.load(path) as stored:
            np.testing.assert_array_equal(stored["raw"], e.raw.numpy())


def test_target_top3(counting: cl.Model) -> None:
    result = cl.explain(counting, PETS, target="top3")
    assert [e.index for e in result] == [p.index for p in result[0].predictions[:3]]
    assert [e.score for e in result] == pytest.approx([p.logit for p in result[0].predictions[:3]])


class OneSided(nn.Module):
    """The weights of class 0 are positive, those of class 1 negative: Grad-CAM's map of class 1 is zero everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.relu, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 2)
        with torch.no_grad():
            self.features.bias += 5
            self.head.weight.copy_(torch.tensor([[1.0] * 4, [-1.0] * 4]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.relu(self.features(x)).mean((2, 3)))
        return out


def drawn_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record all texts that are drawn on sheets."""
    texts: list[str] = []
    draw = Sheet.text

    def recorded(self: Sheet, x: float, y: float, text: str, *style: Any, **more: Any) -> None:
        texts.append(text)
        draw(self, x, y, text, *style, **more)

    monkeypatch.setattr(Sheet, "text", recorded)
    return texts


def test_an_empty_map_in_a_sheet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = cl.wrap(OneSided().eval(), labels=["yes", "no"], size=32)
    both = cl.explain(model, PETS, target=["yes", "no"])
    assert [e.is_empty for e in both] == [False, True]
    texts = drawn_texts(monkeypatch)
    both.figure()
    assert sum("the map is empty" in text for text in texts) == 1
    signed = cl.explain(model, PETS, target="no", method="input_x_gradient")
    assert signed.shows_signs
    assert not signed.is_empty


def test_an_empty_map_in_an_error_sheet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = cl.wrap(OneSided().eval(), labels=["yes", "no"], size=32)
    data = ListDataset("one", [Item(PETS, "pets", 1)], ("yes", "no"))
    texts = drawn_texts(monkeypatch)
    mistakes(model, data, maps=False).figure()
    assert sum("the map is empty" in text for text in texts) == 1
