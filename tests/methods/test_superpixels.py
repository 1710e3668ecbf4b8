"""Cutting pictures into segments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.errors import MethodError
from camlucida.methods import find
from camlucida.methods.parts.fills import filled
from camlucida.methods.parts.superpixels import COMPACTNESS, ROUNDS, segmented
from camlucida.tensors import gaussian_blur


def slow(picture: Tensor, rows: int, columns: int) -> list[list[int]]:
    """SLIC pixel by pixel, with lists: k-means in colour and place among the nine nearest centres."""
    _, height, width = picture.shape
    apart = (height * width / (rows * columns)) ** 0.5
    cell = [[(y * rows // height, x * columns // width) for x in range(width)] for y in range(height)]
    labels = [[r * columns + c for r, c in line] for line in cell]

    def point(y: int, x: int) -> list[float]:
        return [*picture[:, y, x].tolist(), y * COMPACTNESS / apart, x * COMPACTNESS / apart]

    centres: dict[int, list[float]] = {}
    for _ in range(ROUNDS):
        for segment in range(rows * columns):
            points = [point(y, x) for y in range(height) for x in range(width) if labels[y][x] == segment]
            if points:
                centres[segment] = [sum(values) / len(points) for values in zip(*points, strict=True)]
        for y in range(height):
            for x in range(width):
                near = [
                    min(max(cell[y][x][0] + r, 0), rows - 1) * columns + min(max(cell[y][x][1] + c, 0), columns - 1)
                    for r in (-1, 0, 1)
                    for c in (-1, 0, 1)
                ]
                here = point(y, x)
                labels[y][x] = min(near, key=lambda s: sum((a - b) ** 2 for a, b in zip(here, centres[s], strict=True)))
    return labels


def test_slow_twin() -> None:
    picture = torch.randn(3, 9, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, count = segmented(picture[None], "slic", 6)
    assert count == 6
    assert found[0].tolist() == slow(picture, 2, 3)


def test_follows_edges() -> None:
    """A disc on another colour: no superpixel has pixels of both."""
    y, x = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
    disc = (y - 19) ** 2 + (x - 30) ** 2 < 11**2
    picture = torch.where(disc, 2.0, -1.0).expand(1, 3, 40, 50)
    found, _ = segmented(picture, "slic", 30)
    assert not set(found[0][disc].tolist()) & set(found[0][~disc].tolist())
    even, _ = segmented(picture, "grid", 30)
    assert set(even[0][disc].tolist()) & set(even[0][~disc].tolist())


@pytest.mark.parametrize("kind", ["slic", "grid"])
@pytest.mark.parametrize(("size", "asked"), [((32, 32), 48), ((20, 12), 48), ((7, 90), 20), ((3, 3), 99), ((5, 5), 1)])
def test_about_as_many_as_asked_for(kind: str, size: tuple[int, int], asked: int) -> None:
    pictures = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    found, count = segmented(pictures, kind, asked)
    assert found.shape == (2, *size)
    assert found.min() >= 0
    assert found.max() < count <= size[0] * size[1]
    assert abs(count - min(asked, size[0] * size[1])) <= 0.35 * asked
    assert len(found[0].unique()) > 0.7 * count
    one_by_one = torch.cat([segmented(picture[None], kind, asked)[0] for picture in pictures])
    assert_close(one_by_one, found, rtol=0, atol=0)


def test_a_picture_of_one_colour_gives_even_parts() -> None:
    found, count = segmented(torch.ones(1, 3, 24, 24), "slic", 9)
    assert count == 9
    assert_close(found, segmented(torch.ones(1, 3, 24, 24), "grid", 9)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "asked", "says"),
    [
        ("slik", 9, "superpixels is one of slic, grid .*, not 'slik'. Did you mean 'slic'"),
        ("grid", 0, "segments is a whole number from 1 .*, not 0"),
        ("grid", 2.5, "segments is a whole number from 1 .*, not 2.5"),
    ],
)
def test_refuses(kind: str, asked: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says):
        find("lime").with_options({"superpixels": kind, "segments": asked})


# --- what hides them ---


def test_a_blur_is_the_mean_under_a_bell() -> None:
    picture = torch.randn(1, 2, 11, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, sigma = gaussian_blur(picture, 1.3, 5, "replicate"), 1.3
    reach = round(4 * sigma)
    for y, x in [(0, 0), (5, 6), (10, 12), (2, 11)]:
        total, weight = torch.zeros(2).double(), 0.0
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                bell = float(torch.exp(torch.tensor(-(dy**2 + dx**2) / (2 * sigma**2)).double()))
                total += bell * picture[0, :, min(max(y + dy, 0), 10), min(max(x + dx, 0), 12)]
                weight += bell
        assert_close(found[0, :, y, x], total / weight)


def test_a_blur_of_one_colour_is_that_colour_and_keeps_the_precision() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert_close(
            filled(torch.full((1, 3, 9, 9), 1.5, dtype=dtype), "blur"), torch.full((1, 3, 9, 9), 1.5, dtype=dtype)
        )


def test_the_mean_colour_is_nought() -> None:
    assert_close(filled(torch.ones(1, 3, 4, 4), "mean"), torch.zeros(1, 3, 4, 4))
