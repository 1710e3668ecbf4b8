"""Targets of one image are explained, drawn and tested as targets of an ordinary model that is bound to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.attribution.bind_targets import bind_targets, mask_of, region_on_image
from camlucida.attribution.set_figures import _caption
from camlucida.errors import TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.types import Geometry, Region

SIZE = 32


class GridScores(nn.Module):
    """Class scores `(b, 3, 2, 2)` of the four quarters of an image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = nn.functional.adaptive_avg_pool2d(self.head(self.features(x)), 2)
        return pooled


@dataclass(frozen=True)
class Quarter:
    row: int
    column: int

    def __call__(self, output: Tensor) -> Tensor:
        return output[:, :, self.row, self.column]


@dataclass(frozen=True)
class Quarters:
    kind: str = "segmentation"

    def bind(self, model: Model, inputs: Tensor, spec: object) -> tuple[BoundTarget, ...]:
        if isinstance(spec, str) and " at " in spec:
            x, y = map(float, spec.partition(" at ")[2].split(","))
            return (self._bound(model, int(y >= SIZE / 2), int(x >= SIZE / 2)),)
        if spec is not None:
            return ()
        return tuple(self._bound(model, row, column) for row in (0, 1) for column in (0, 1))

    def _bound(self, model: Model, row: int, column: int) -> BoundTarget:
        half = SIZE / 2
        box = column * half, row * half, (column + 1) * half, (row + 1) * half
        bound = replace(model, output=Quarter(row, column), image_targets=None)
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return BoundTarget(bound, 1, f"b at {row}{column}", f"b at {x},{y}", Region(box))


def whole(output: Tensor) -> Tensor:
    return output.mean((2, 3))


@pytest.fixture
def model() -> Model:
    preprocessing = Preprocessing(size=(SIZE, SIZE), resize=(SIZE, SIZE))
    return Model(GridScores().eval(), preprocessing, ("a", "b", "c"), "features", whole, image_targets=Quarters())


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)


def test_each_map_is_that_of_its_place(model, image):
    explanations = cl.explain(model, image)
    assert [e.target for e in explanations] == ["b at 00", "b at 01", "b at 10", "b at 11"]
    inputs = model.preprocessing(explanations[0].image)[0][None]
    for explanation, (row, column) in zip(explanations, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        activations = model.network.features(inputs).detach().requires_grad_()
        score = nn.functional.adaptive_avg_pool2d(model.network.head(activations), 2)[0, 1, row, column]
        (gradients,) = torch.autograd.grad(score, activations)
        by_hand = (activations * gradients.mean((2, 3), keepdim=True)).sum(1)[0]
        torch.testing.assert_close(explanation.raw, by_hand.detach(), rtol=1e-4, atol=1e-6)
        assert explanation.score == pytest.approx(float(score.detach()), rel=1e-4)


def test_regions_are_in_pixels_of_the_image(model, image):
    explanation = cl.explain(model, image)[3]
    left, top, right, bottom = explanation.region.box
    (sx, sy), (ox, oy) = explanation.geometry.scale, explanation.geometry.offset
    assert (left * sx + ox, top * sy + oy) == pytest.approx((SIZE / 2, SIZE / 2))
    assert explanation.record()["region"]["box"] == [round(x, 2) for x in (left, top, right, bottom)]
    plain = replace(explanation, region=None)
    assert explanation.panel().tobytes() != plain.panel().tobytes()


def test_each_map_of_a_figure_has_its_region(model, image):
    explanations = cl.explain(model, image)
    plain = cl.ExplanationSet(tuple(replace(item, region=None) for item in explanations))
    differ = np.any(np.asarray(explanations.figure()) != np.asarray(plain.figure()), axis=2)
    assert differ[differ.shape[0] // 2 :].any()
    named = [replace(item, region=replace(item.region, probability=0.25)) for item in explanations]
    assert _caption(cl.ExplanationSet(tuple(named)), named[0]).startswith("probability 25")


def test_points_are_in_pixels_of_the_image(model, image):
    explanation = cl.explain(model, image, target="b at 50,10")
    assert explanation.target == "b at 01"
    with pytest.raises(TargetError, match="outside: the image has 64×64 pixels"):
        cl.explain(model, image, target="b at 80,10")


def test_classes_of_the_whole_image(model, image):
    assert cl.explain(model, image, target="c").target == "c"


def test_trust_of_one_place(model, image):
    result = cl.trust(model, image, target="b at 50,10", n_windows=16)
    assert result.target == "b at 01"
    assert result.region is not None
    assert 0.2 < result.region.area < 0.3
    again = cl.trust(model, cl.explain(model, image)[1], n_windows=16)
    assert again.target == "b at 01"
    np.testing.assert_allclose(again.map, result.map, rtol=1e-5)


def test_several_targets_are_refused_by_trust(model, image):
    bound = cl.trust(model, image, n_windows=16)
    assert bound.target == "b at 00"


def test_masks_are_moved_with_the_image():
    geometry = Geometry((40, 20), (20, 20), (1.0, 1.0), (-10.0, 0.0))
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[5:10, 0:5] = True
    moved = region_on_image(Region(mask=mask), geometry).mask
    assert moved.shape == (20, 40)
    assert bool(moved[7, 12])
    assert not bool(moved[7, 22])
    assert not bool(moved[12, 12])
    box = mask_of(region_on_image(Region((0.0, 5.0, 5.0, 10.0)), geometry), 20, 40)
    assert box.sum() == 25
    assert box[5:10, 10:15].all()


def test_readers_of_old_images_are_forgotten(model, image):
    for _ in range(3):
        cl.explain(model, image)
    from camlucida.engine import copy_of

    readers = [key for key in copy_of(model.network).notes if key[0] == "score reader"]
    assert len(readers) <= 8


def test_without_image_targets_nothing_is_bound():
    plain = Model(GridScores().eval(), Preprocessing(size=(SIZE, SIZE), resize=(SIZE, SIZE)), output=whole)
    (bound,) = bind_targets(plain, torch.zeros(3, SIZE, SIZE), [2])
    assert bound.model is plain
    assert bound.target == 2
    assert bound.region is None


def test_maps_of_several_methods_are_in_the_order_of_sets(model, image):
    points = ["b at 4,4", "b at 20,20"]
    found = cl.explain(model, image, target=points, method=["hires_cam", "grad_cam"])
    alone = [cl.explain(model, image, target=p, method=m) for m in ("hires_cam", "grad_cam") for p in points]
    assert [(e.method, e.target) for e in found] == [(e.method, e.target) for e in alone]
    for one, other in zip(found, alone, strict=True):
        torch.testing.assert_close(one.raw, other.raw)
