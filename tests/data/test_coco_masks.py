"""COCO masks against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest

from camlucida.data.coco_masks import decode_rle, mask_from_polygon, mask_from_rle
from camlucida.errors import DataError

THEIRS = [
    (
        [-2.0, -3.0, 45.0, 51.0, 32.0, 40.0, 29.0, 52.0, 45.0, -4.0, 48.0, -2.0, 40.0, 7.0],
        (51, 39),
        "c11b11O1O1O1O2N1O1O1O1O101N1O1O1O100O1O2N100O1O1O100O2N1O100O1ETOMm0NSO6o06O_OTO>h0FXO9d0L\\O3a01_ON=7CI9;F^O",
    ),
    (
        [
            4.72,
            4.25,
            2.24,
            3.41,
            -2.39,
            8.03,
            4.13,
            -0.05,
            13.19,
            17.26,
            15.21,
            -0.77,
            17.74,
            5.73,
            17.77,
            -2.01,
            19.41,
            -1.7,
            13.74,
            13.0,
            14.02,
            1.82,
        ],
        (18, 16),
        "e01`0002N12Nc01\\O2N2N2M3N2NN6IM33",
    ),
    ([50.0, 42.0, 36.0, -0.0, 45.0, 42.0, 15.0, 22.0, 0.0, 12.0, 18.0, 17.0], (5, 46), "e5170Q1"),
    (
        [
            -1.72,
            17.86,
            7.26,
            37.12,
            -0.13,
            11.19,
            2.22,
            13.18,
            28.84,
            -1.63,
            13.58,
            32.1,
            4.79,
            32.83,
            -1.85,
            2.64,
            28.43,
            4.94,
            0.44,
            19.09,
        ],
        (35, 9),
        "3:6I:6FN73HHM394JNNK67L16NJ72IN90F0;0E0;M",
    ),
    (
        [40.0, 33.0, 6.0, 38.0, 34.0, 40.0, 25.0, 31.0, 24.0, 25.0, 17.0, 59.0],
        (57, 55),
        "Va01h10000001O000O100kNNc02YO2g0NTO6m0JnN:S1DlN>Q1EPO:l0JUO5m0JSO4R1InN6T1IlN6V1IkN5W1JiN5^1OKMfN2[1OdN0]11bNM`14200O1O001O`k0",
    ),
]
"""Corners at random, partly outside; (height, width); what pycocotools 2.0.11 makes of them (frPyObjects), packed."""


@pytest.mark.parametrize(("corners", "size", "packed"), THEIRS)
def test_polygons_as_cocos_own_tool_draws_them(corners: list[float], size: tuple[int, int], packed: str) -> None:
    assert (mask_from_polygon(corners, size) == mask_from_rle(packed, size)).all()
    assert (mask_from_rle(packed.encode(), size) == mask_from_rle(decode_rle(packed), size)).all()
    assert 0 < mask_from_polygon(corners, size).sum() < size[0] * size[1]


def test_runs_go_down_the_columns() -> None:
    mask = mask_from_rle([2, 3, 1, 1, 5], (3, 4))
    assert mask.astype(int).tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]


def test_a_rectangle_and_a_large_triangle() -> None:
    rectangle = mask_from_polygon([2, 3, 12, 3, 12, 11, 2, 11], (30, 40))
    assert (rectangle.sum(), rectangle[3:11, 2:12].all()) == (80, True)
    triangle = mask_from_polygon([5, 5, 395, 20, 100, 290], (300, 400))
    assert triangle.sum() == pytest.approx(abs(390 * 285 - 95 * 15) / 2, rel=0.003)


def test_crossed_lines_leave_a_hole() -> None:
    twice = [0, 0, 20, 0, 20, 20, 0, 20, 0, 0, 5, 5, 15, 5, 15, 15, 5, 15, 5, 5]
    assert not mask_from_polygon(twice, (20, 20))[7:13, 7:13].any()


def test_a_point_said_twice_changes_nothing() -> None:
    once = mask_from_polygon([2, 3, 12, 3, 12, 11], (30, 40))
    assert (mask_from_polygon([2, 3, 2, 3, 12, 3, 12, 11], (30, 40)) == once).all()


@pytest.mark.parametrize(
    ("counts", "words"),
    [([5, 5], "run lengths for 10"), ("~", "is not allowed"), ("P", "middle of a number"), ([20, -8], "run lengths")],
)
def test_runs_that_are_none(counts: str | list[int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        mask_from_rle(counts, (3, 4))


def test_polygons_that_are_none() -> None:
    for corners in ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, np.nan, 5, 6]):
        with pytest.raises(DataError, match="at least three corners"):
            mask_from_polygon(corners, (3, 4))
