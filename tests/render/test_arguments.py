"""Arguments of drawing functions have an effect on the pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from camlucida.render.overlay import overlay
from camlucida.render.panel import draw_panel
from camlucida.render.resize import resize_heatmap

RAMP = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (48, 1))
GREY = Image.new("RGB", (64, 48), (120, 120, 120))


def test_a_small_map_is_enlarged_without_new_values() -> None:
    """The filter depends on the size of the map, not on the size at which it is drawn."""
    result = resize_heatmap(np.array([[0.0, 1.0]], dtype=np.float32), (200, 100))
    assert set(np.unique(result)) == {0.0, 1.0}


@pytest.mark.parametrize("contour", [0.25, 0.75])
def test_the_contour_lies_at_its_value(contour: float) -> None:
    without, with_contour = (np.asarray(overlay(GREY, RAMP, contour=value), dtype=int) for value in (None, contour))
    changed = np.flatnonzero(np.abs(with_contour - without).sum(2)[24])
    assert abs(changed.mean() / 63 - contour) < 0.1


def test_a_panel_draws_the_contour() -> None:
    without, with_contour = (np.asarray(draw_panel(GREY, RAMP, title="", contour=value)) for value in (None, 0.5))
    assert not np.array_equal(without, with_contour)


def test_a_panel_prints_the_scale() -> None:
    first, second = (np.asarray(draw_panel(GREY, RAMP, title="", scale=(0.0, top))) for top in (1.0, 5.0))
    assert not np.array_equal(first, second)
