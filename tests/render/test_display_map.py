"""How maps become colours: one step, in the record, and no number of the map changed by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import camlucida as cl
from camlucida.data import toybox
from camlucida.maps import display_map, saturation_value
from camlucida.types import Display

NAN = float("nan")
PICTURE = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()


@pytest.mark.parametrize(
    ("heat", "display", "wanted"),
    [
        ([-5.0, 1.0, 2.0, NAN], Display(), 2.0),
        ([-5.0, 1.0, 2.0, NAN], Display(signed=True), 5.0),
        ([*range(1, 101), NAN], Display(percentile=99), 99.0),
        ([*range(-100, 0), NAN], Display(signed=True, percentile=99), 99.0),
        ([0.0] * 200 + [3.0], Display(percentile=99), 3.0),  # too sparse for its percentile
        ([-1.0, -2.0], Display(), 0.0),
        ([NAN], Display(), 0.0),
    ],
)
def test_what_gets_the_full_colour(heat: list[float], display: Display, wanted: float) -> None:
    assert saturation_value(torch.tensor(heat, dtype=torch.float32), display) == wanted


def test_shown() -> None:
    heat = torch.tensor([-4.0, -1.0, 0.0, 1.0, 2.0, 9.0])
    assert_close(display_map(heat, 2.0, signed=False), torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 1.0]))
    assert_close(display_map(heat, 2.0, signed=True), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 1.0]))
    assert_close(display_map(heat * 0, 0.0, signed=True), torch.full((6,), 0.5))


def test_a_signed_pixel_map() -> None:
    e = cl.explain("toybox", PICTURE, method="integrated_gradients", steps=4)
    assert e.record()["display"] == {
        "signed": True, "percentile": 99, "full_colour": e.peak, "zero_in_the_middle": True,
    }  # fmt: skip
    assert e.record()["notes"].keys() == {"baseline_score", "completeness_gap"}
    assert e.notes["completeness_gap"] == pytest.approx(float(e.raw.sum()) - e.score + e.notes["baseline_score"], 1e-3)
    assert (np.nan_to_num(np.abs(e.landed)) > e.peak).mean() == pytest.approx(0.01, abs=0.005)
    np.testing.assert_allclose(e.heatmap, np.clip(e.landed / e.peak, -1, 1) / 2 + 0.5, atol=1e-6)
    plain = replace(e, display=Display())
    np.testing.assert_allclose(plain.heatmap, np.clip(e.landed, 0, None) / e.landed.max(), atol=1e-6)
    assert_close(plain.raw, e.raw, rtol=0, atol=0)


def test_the_palette_decides_what_is_shown() -> None:
    e = cl.explain("toybox", PICTURE, method="input_x_gradient")
    default, signed, ember = (np.asarray(e.overlay(colormap=name)) for name in (None, "signed", "ember"))
    np.testing.assert_array_equal(default, signed)
    below = e.landed < 0
    np.testing.assert_array_equal(ember[below], np.asarray(e.image)[below])
    assert (default[below] != np.asarray(e.image)[below]).any()


def test_a_map_without_signs_keeps_the_usual_palette() -> None:
    e = cl.explain("toybox", PICTURE, method="gradient")
    assert not e.shows_signs
    assert e.record()["display"]["percentile"] == 99
    both = cl.explain("toybox", PICTURE, method=["gradient", "input_x_gradient", "grad_cam"])
    assert both.figure(density=0.5).size[0] > 0
