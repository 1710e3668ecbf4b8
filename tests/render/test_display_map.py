"""How maps are scaled for display: the record contains the scale, and the raw map is unmodified."""

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
IMAGE = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()


@pytest.mark.parametrize(
    ("values", "display", "expected"),
    [
        ([-5.0, 1.0, 2.0, NAN], Display(), 2.0),
        ([-5.0, 1.0, 2.0, NAN], Display(signed=True), 5.0),
        ([*range(1, 101), NAN], Display(percentile=99), 99.0),
        ([*range(-100, 0), NAN], Display(signed=True, percentile=99), 99.0),
        ([0.0] * 200 + [3.0], Display(percentile=99), 3.0),  # the percentile is zero
        ([-1.0, -2.0], Display(), 0.0),
        ([NAN], Display(), 0.0),
    ],
)
def test_saturation_value(values: list[float], display: Display, expected: float) -> None:
    assert saturation_value(torch.tensor(values, dtype=torch.float32), display) == expected


def test_display_map() -> None:
    map_ = torch.tensor([-4.0, -1.0, 0.0, 1.0, 2.0, 9.0])
    assert_close(display_map(map_, 2.0, signed=False), torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 1.0]))
    assert_close(display_map(map_, 2.0, signed=True), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 1.0]))
    assert_close(display_map(map_ * 0, 0.0, signed=True), torch.full((6,), 0.5))


def test_signed_input_map() -> None:
    e = cl.explain("toybox", IMAGE, method="integrated_gradients", steps=4)
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


def test_colormap_decides_whether_negative_values_are_displayed() -> None:
    e = cl.explain("toybox", IMAGE, method="input_x_gradient")
    default, signed, ember = (np.asarray(e.overlay(colormap=name)) for name in (None, "signed", "ember"))
    np.testing.assert_array_equal(default, signed)
    negative = e.landed < 0
    np.testing.assert_array_equal(ember[negative], np.asarray(e.image)[negative])
    assert (default[negative] != np.asarray(e.image)[negative]).any()


def test_unsigned_map_has_the_default_colormap() -> None:
    e = cl.explain("toybox", IMAGE, method="gradient")
    assert not e.shows_signs
    assert e.record()["display"]["percentile"] == 99
    several = cl.explain("toybox", IMAGE, method=["gradient", "input_x_gradient", "grad_cam"])
    assert several.figure(density=0.5).size[0] > 0
