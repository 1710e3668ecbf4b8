"""The panel of `trust` outlines the box or region of its target, as that of `explain` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import camlucida as cl
from camlucida.data import toybox
from camlucida.types import Region

SCENE = toybox.scene(4, kinds=["cat", "dog"], objects=2).picture().resize((140, 96))


@pytest.fixture(scope="module")
def trusted() -> cl.Trust:
    return cl.trust("toybox:detector", SCENE, target="box 1", n_windows=16)


def test_the_region_is_that_of_the_explanation(trusted: cl.Trust) -> None:
    explained = cl.explain("toybox:detector", SCENE, target="box 1")
    assert isinstance(explained, cl.Explanation)
    assert trusted.target_region is not None
    assert trusted.input_region is not None
    assert trusted.target_region.box == pytest.approx(explained.region.box)  # type: ignore[union-attr]
    (left, top, right, bottom), geometry = trusted.target_region.box, trusted.geometry  # type: ignore[misc]
    (sx, sy), (ox, oy) = geometry.scale, geometry.offset
    expected = [left * sx + ox, top * sy + oy, right * sx + ox, bottom * sy + oy]
    assert np.clip(trusted.input_region.box, 0, 96) == pytest.approx(np.clip(expected, 0, 96), abs=1e-3)  # type: ignore[arg-type]
    assert cl.trust("toybox", SCENE, n_windows=16).target_region is None


def test_the_panel_draws_the_outline(trusted: cl.Trust) -> None:
    region = Region(box=(20.0, 10.0, 60.0, 50.0))
    with_box = replace(trusted, target_region=region, input_region=None).panel(density=1.0)
    without = replace(trusted, target_region=None, input_region=None).panel(density=1.0)
    assert with_box.size == without.size
    changed = np.abs(np.asarray(with_box).astype(int) - np.asarray(without)).sum(2) > 0
    rows, columns = np.nonzero(changed[:340, :350])  # the large overlay, in the first of three columns
    scale = 300 / SCENE.width
    assert columns.max() + 1 - columns.min() == pytest.approx(40 * scale, abs=3)
    assert rows.max() + 1 - rows.min() == pytest.approx(40 * scale, abs=3)
    blurred = replace(trusted, target_region=None, input_region=trusted.input_region).panel(density=1.0)
    difference = Image.fromarray((np.asarray(blurred) != np.asarray(without)).any(2))
    left, _, right, _ = difference.getbbox() or (0, 0, 0, 0)
    assert 340 < left < right < 680  # the blurred network input, in the second column
