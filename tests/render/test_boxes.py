"""Bounding boxes are drawn at their positions, and no other pixels change."""

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
    result = np.asarray(draw_boxes(IMAGE, [(10, 20, 31, 44)]))
    expected = PHOTO.copy()
    expected[20:44, 10:31] = rgb(TRUE_COLOUR)
    expected[21:43, 11:30] = rgb(EDGE_COLOUR)
    expected[22:42, 12:29] = PHOTO[22:42, 12:29]
    assert_array_equal(result, expected)


def test_boxes_are_clipped_to_the_image() -> None:
    whole = np.asarray(draw_boxes(IMAGE, [(0, 0, 90, 60)]))
    for line in (whole[0], whole[-1], whole[:, 0], whole[:, -1]):
        assert (line == rgb(TRUE_COLOUR)).all()
    assert_array_equal(np.asarray(draw_boxes(IMAGE, [(-30, -5, 200, 61)])), whole)
    assert_array_equal(np.asarray(draw_boxes(IMAGE, [(100, 0, 120, 10), (5, 70, 9, 80), (9, 9, 9, 12)])), PHOTO)


def test_predicted_boxes_are_on_top_and_colours_are_used() -> None:
    result = np.asarray(draw_boxes(IMAGE, np.array([(10, 20, 31, 44)]), [(10.4, 19.6, 31.2, 44)]))
    assert_array_equal(result[20, 10:31], np.broadcast_to(rgb(PREDICTED_COLOUR), (21, 3)))
    apart = np.asarray(draw_boxes(IMAGE, [(1, 1, 9, 9)], [(20, 1, 29, 9)], colours=("#010203", "#040506")))
    assert apart[1, 1].tolist() == [1, 2, 3]
    assert apart[1, 20].tolist() == [4, 5, 6]


def test_line_width_scales_with_the_image_and_the_input_is_unmodified() -> None:
    large = Image.new("RGB", (960, 640))
    result = np.asarray(draw_boxes(large, [(100, 100, 400, 400)]))
    assert (result[300, 100:110] == rgb(TRUE_COLOUR)).all(axis=1).sum() == 4
    assert (result[300, 100:110] == rgb(EDGE_COLOUR)).all(axis=1).sum() == 4
    assert np.asarray(large).max() == 0
    assert_array_equal(np.asarray(draw_boxes(IMAGE)), PHOTO)


def test_invalid_shape_of_boxes() -> None:
    with pytest.raises(MethodError, match=r"boxes of shape \(4,\)"):
        draw_boxes(IMAGE, np.array([1, 2, 3, 4]))
