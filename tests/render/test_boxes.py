"""Are boxes drawn exactly where they are, and nothing else?"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.boxes import EDGE_COLOUR, PREDICTED_COLOUR, TRUE_COLOUR, draw_boxes

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
IMAGE = Image.fromarray(PHOTO)


def rgb(colour: str) -> list[int]:
    return list(bytes.fromhex(colour[1:]))


def test_frame_lies_on_the_outermost_pixels_of_an_exclusive_box() -> None:
    drawn = np.asarray(draw_boxes(IMAGE, [(10, 20, 31, 44)]))
    want = PHOTO.copy()
    want[20:44, 10:31] = rgb(TRUE_COLOUR)
    want[21:43, 11:30] = rgb(EDGE_COLOUR)
    want[22:42, 12:29] = PHOTO[22:42, 12:29]
    assert_array_equal(drawn, want)


def test_whole_picture_and_beyond() -> None:
    whole = np.asarray(draw_boxes(IMAGE, [(0, 0, 90, 60)]))
    for line in (whole[0], whole[-1], whole[:, 0], whole[:, -1]):
        assert (line == rgb(TRUE_COLOUR)).all()
    assert_array_equal(np.asarray(draw_boxes(IMAGE, [(-30, -5, 200, 61)])), whole)
    assert_array_equal(np.asarray(draw_boxes(IMAGE, [(100, 0, 120, 10), (5, 70, 9, 80), (9, 9, 9, 12)])), PHOTO)


def test_map_over_truth_and_colours() -> None:
    drawn = np.asarray(draw_boxes(IMAGE, np.array([(10, 20, 31, 44)]), [(10.4, 19.6, 31.2, 44)]))
    assert_array_equal(drawn[20, 10:31], np.broadcast_to(rgb(PREDICTED_COLOUR), (21, 3)))
    apart = np.asarray(draw_boxes(IMAGE, [(1, 1, 9, 9)], [(20, 1, 29, 9)], colours=("#010203", "#040506")))
    assert apart[1, 1].tolist() == [1, 2, 3]
    assert apart[1, 20].tolist() == [4, 5, 6]


def test_lines_grow_with_the_picture_and_the_picture_stays() -> None:
    large = Image.new("RGB", (960, 640))
    drawn = np.asarray(draw_boxes(large, [(100, 100, 400, 400)]))
    assert (drawn[300, 100:110] == rgb(TRUE_COLOUR)).all(axis=1).sum() == 4
    assert (drawn[300, 100:110] == rgb(EDGE_COLOUR)).all(axis=1).sum() == 4
    assert np.asarray(large).max() == 0
    assert_array_equal(np.asarray(draw_boxes(IMAGE)), PHOTO)


def test_box_of_another_shape() -> None:
    with pytest.raises(MethodError, match=r"boxes of shape \(4,\)"):
        draw_boxes(IMAGE, np.array([1, 2, 3, 4]))
