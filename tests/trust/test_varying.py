"""A picture that is turned and shifted, and its map laid back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.controls import Control
from camlucida.data import toybox
from camlucida.evidence import Evidence
from camlucida.trusting.agreement import alike
from camlucida.trusting.asking import evidence_of
from camlucida.trusting.place import blurred
from camlucida.trusting.varying import Change, returned, varied, vary

PIXEL, BLACK = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)


def smooth(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """(1, 1, H, W) blobs from 0 to 1."""
    white = torch.rand((1, 1, height, width), generator=torch.Generator().manual_seed(seed))
    blobs = blurred(white, 5.0, "reflect")
    return (blobs - blobs.min()) / (blobs.max() - blobs.min())


def turned(picture: torch.Tensor, change: Change) -> torch.Tensor:
    return varied(picture, change, PIXEL, BLACK, torch.zeros_like(picture))


@pytest.mark.parametrize("change", [Change(angle=17), Change(angle=-45, across=0.1), Change(across=-0.2, down=0.13)])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_there_and_back(change: Change, size: tuple[int, int]) -> None:
    """A map that is moved as the picture is lies where it lay, on all that never left the picture."""
    map_ = smooth(*size)[0, 0]
    moved = turned(map_[None, None], change)[0, 0]
    back = returned(moved, change)
    known = back.isfinite()
    assert 0.3 < float(known.double().mean()) < 1
    assert alike(map_[known], back[known]) > 0.999
    assert float((map_ - back)[known].abs().max()) < 0.06  # at the border it is interpolated with what is mirrored
    assert float((map_ - back)[known].abs().mean()) < 0.005
    assert alike(map_[known], moved[known]) < 0.9  # without laying it back


@pytest.mark.parametrize("angle", [30.0, -75.0])
def test_turns_are_those_of_pillow(angle: float) -> None:
    """Anticlockwise, about the middle; Pillow knows no mirrored borders, so away from them."""
    picture = smooth(60, 60)
    theirs = Image.fromarray(picture[0, 0].numpy()).rotate(angle, Image.Resampling.BILINEAR)
    ours = turned(picture, Change(angle=angle))[0, 0].numpy()
    inner = (slice(18, 42), slice(18, 42))
    assert np.abs(ours[inner] - np.asarray(theirs)[inner]).max() < 0.01


def test_shifts_are_by_whole_pixels_where_they_should_be() -> None:
    picture = torch.rand((1, 3, 40, 80), generator=torch.Generator().manual_seed(1))
    moved = turned(picture, Change(across=0.1, down=-0.25))
    torch.testing.assert_close(moved[..., :30, 8:], picture[..., 10:, :72], atol=1e-4, rtol=0)


def test_no_change_changes_no_bit() -> None:
    picture = torch.rand((1, 3, 20, 20), generator=torch.Generator().manual_seed(1))
    assert torch.equal(turned(picture, Change()), picture)
    assert torch.equal(returned(picture[0, 0], Change(noise=0.1)), picture[0, 0])


def test_noise_and_light_in_units_of_black_to_white() -> None:
    grey = torch.full((1, 3, 100, 100), 0.5)
    noise = torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
    spread = (varied(grey, Change(noise=0.05), PIXEL, BLACK, noise) - 0.5).std()
    assert float(spread) == pytest.approx(0.05, rel=0.03)
    assert float(varied(grey, Change(light=0.2), PIXEL, BLACK, noise).mean()) == pytest.approx(0.7)
    assert float(varied(grey, Change(light=0.8), PIXEL, BLACK, noise).max()) == 1.0
    normalised = varied(grey, Change(light=0.2), 1 / torch.tensor(0.25), torch.tensor(-2.0), noise)
    assert float(normalised.mean()) == pytest.approx(0.5 + 0.2 / 0.25)


@pytest.fixture
def evidence() -> Evidence:
    return evidence_of(cl.load("toybox"), toybox.scene((9000, 0)).picture())


@pytest.mark.parametrize("angle", [10.0, 40.0])
def test_a_map_of_the_pixels_follows_every_turn(evidence: Evidence, angle: float) -> None:
    """Brightness, blurred, is the same wherever things lie: laid back it is the first map again."""

    def bright(sight: object, pictures: torch.Tensor) -> torch.Tensor:
        return blurred(pictures.mean(1, keepdim=True), 2.0, "reflect")[:, 0]

    control = Control("bright", "how bright it is", "the picture", bright)
    raw = control.maps(evidence.sight, evidence.sight.inputs, torch.tensor([0]))[0]
    found = vary(Evidence(evidence.sight, control, raw), Change(angle=angle))
    assert found.correlation > 0.98
    assert alike(raw, found.map) < 0.9
    assert 0.7 < found.shared < 1


def test_nothing_changed_is_the_same_map(evidence: Evidence) -> None:
    found = vary(evidence, Change())
    assert found.correlation == pytest.approx(1)
    assert found.shared == 1
    torch.testing.assert_close(found.logits, evidence.sight.logits)
    torch.testing.assert_close(found.map, evidence.relevance)


def test_half_a_turn_is_the_network_on_the_turned_picture(evidence: Evidence) -> None:
    found = vary(evidence, Change(angle=180))
    upside_down = evidence.sight.inputs.flip((-2, -1))
    with torch.no_grad():
        expected = evidence.sight.model.network.eval()(upside_down)[0]
    torch.testing.assert_close(found.logits, expected, atol=1e-3, rtol=1e-3)
    again = dataclasses.replace(evidence.sight, inputs=upside_down)
    raw = evidence.explainer.maps(again, upside_down, torch.tensor([evidence.sight.target]))[0]
    torch.testing.assert_close(found.raw, raw, atol=1e-3, rtol=1e-2)
    laid = dataclasses.replace(evidence, raw=raw).relevance.flip((-2, -1))
    torch.testing.assert_close(found.back, laid, atol=1e-2, rtol=1e-2)


def test_chance_is_that_of_the_seed(evidence: Evidence) -> None:
    one, again = (vary(evidence, Change(noise=0.05)).inputs for _ in range(2))
    other = vary(dataclasses.replace(evidence, sight=dataclasses.replace(evidence.sight, seed=1)), Change(noise=0.05))
    assert torch.equal(one, again)
    assert not torch.equal(one, other.inputs)
