"""Contracts of the analyses: every argument is recorded, and limits of the arithmetic are inclusive as documented."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import camlucida as cl
from camlucida.analysis import embed, film, mistakes
from camlucida.analysis.film_result import Film, Frame
from camlucida.analysis.mistakes_result import Mistakes
from camlucida.analysis.neighbours import ROWS_PER_CHUNK, nearest_neighbours
from camlucida.analysis.projection import project
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import CLASSES, Toybox
from camlucida.errors import DataError
from camlucida.models.load import load

SCENES = ToyboxDataset(Toybox(3, seed=3))


def test_every_argument_is_in_the_record(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"method": "layer_cam"}, {"layer": "layer3"}, {"maps": False}, {"seed": 1}, {"limit": 2}
    ]  # fmt: skip
    mistakes("toybox", SCENES, out=tmp_path / "mistakes")
    for change in changes:
        with pytest.raises(DataError, match="holds another run"):
            mistakes("toybox", SCENES, out=tmp_path / "mistakes", **change)
    embed("toybox", SCENES, way="pca", out=tmp_path / "embed")
    for change in ({"seed": 1}, {"limit": 2}):
        with pytest.raises(DataError, match="holds another run"):
            embed("toybox", SCENES, way="pca", out=tmp_path / "embed", **change)
    for run in ("mistakes", "embed"):
        with pytest.raises(DataError, match="holds another run: model is 'toybox', not 'toybox:vgg'"):
            (mistakes if run == "mistakes" else embed)("toybox:vgg", SCENES, out=tmp_path / run)


def test_a_limit_and_a_seed_choose_the_images(tmp_path: Path) -> None:
    many = ToyboxDataset(Toybox(30))

    def taken(out: str, seed: int) -> list[str]:
        return [
            row["image"] for row in mistakes("toybox", many, maps=False, limit=4, seed=seed, out=tmp_path / out).rows
        ]

    assert taken("a", 0) == taken("b", 0)
    assert taken("a2", 0) != taken("c", 1)


def test_rank_five_counts_as_top5() -> None:
    rows = [{"correct": False, "rank": rank, "error": None} for rank in (5, 6)]
    result = Mistakes(Path("nowhere"))
    vars(result).update({"rows": rows, "n_classes": 6})
    assert result.top5 is not None
    assert result.top5.value == 0.5
    assert result.accuracy.value == 0


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_no_top5_of_five_classes(n_classes: int) -> None:
    result = Mistakes(Path("nowhere"))
    vars(result).update({"rows": [{"correct": True, "rank": 1, "error": None}], "n_classes": n_classes})
    assert result.top5 is None


def test_no_image_is_its_own_neighbour() -> None:
    """Also in the second group of rows, and where only some are asked about."""
    features = np.random.default_rng(0).standard_normal((ROWS_PER_CHUNK + 40, 8)).astype(np.float32)
    every = np.arange(len(features))
    result, cosines = nearest_neighbours(features, every, 2)
    assert not (result == every[:, None]).any()
    assert (cosines[:, 0] >= cosines[:, 1]).all()
    some = np.array([ROWS_PER_CHUNK + 3, 7])
    assert (nearest_neighbours(features, some, 2)[0] == result[some]).all()


def test_projection_passes_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    class Fake:
        def __init__(self, random_state: int, **how: Any) -> None:
            seeds.append(random_state)

        def fit_transform(self, features: Any) -> Any:
            return features[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Fake))
    features = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
    project(features, "umap", seed=5)
    assert seeds == [5]
    assert (project(features, "tsne", seed=1).positions == project(features, "tsne", seed=1).positions).all()


def test_only_images_known_at_every_checkpoint_are_compared() -> None:
    def take(name: str, checkpoint: str, share: float) -> Frame:
        return Frame(name, checkpoint, "cat", "cat", 0.5, 0.5, True, share, share)

    takes = (
        take("a", "1", 0.2),
        take("a", "2", 0.4),
        take("b", "1", 0.8),
        take("b", "2", float("nan")),
        take("c", "1", 0.9),
    )
    result = Film(("1", "2"), takes, {}, (), "grad_cam", "data")
    assert {name: interval.value for name, interval in result.shares().items()} == pytest.approx({"1": 0.2, "2": 0.4})


def test_boxes_of_a_frame_are_shrunk_with_its_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 900, 3), dtype=np.uint8)
    box = np.array([[90.0, 20.0, 450.0, 180.0]])
    data = ListDataset("wide", [Item(image, "wide", CLASSES.index("cat"), box)], CLASSES)
    result = film([load("toybox")], data, layer="layer4")
    (frame,) = result.frames.values()
    assert frame.image is not None
    wide, high = frame.image.size
    assert wide < 900
    assert np.asarray(frame.boxes) == pytest.approx(
        np.array([[0.1 * wide, 0.1 * high, 0.5 * wide, 0.9 * high]]), abs=0.7
    )
    assert cl.film is film
