"""Cutting images into segments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.errors import MethodError
from camlucida.maps import gaussian_blur
from camlucida.methods import find
from camlucida.methods.common.infill import infill_image
from camlucida.methods.common.superpixels import COMPACTNESS, N_ITERATIONS, segment_images


def reference(picture: Tensor, rows: int, columns: int) -> list[list[int]]:
    """SLIC pixel by pixel, with lists: k-means in colour and position among the nine nearest centres."""
    _, height, width = picture.shape
    apart = (height * width / (rows * columns)) ** 0.5
    cell = [[(y * rows // height, x * columns // width) for x in range(width)] for y in range(height)]
    labels = [[r * columns + c for r, c in line] for line in cell]

    def point(y: int, x: int) -> list[float]:
        return [*picture[:, y, x].tolist(), y * COMPACTNESS / apart, x * COMPACTNESS / apart]

    centres: dict[int, list[float]] = {}
    for _ in range(N_ITERATIONS):
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


def test_reference() -> None:
    image = torch.randn(3, 9, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result, count = segment_images(image[None], "slic", 6)
    assert count == 6
    assert result[0].tolist() == reference(image, 2, 3)


def test_follows_edges() -> None:
    """A disc on another colour: no superpixel has pixels of both."""
    y, x = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
    disc = (y - 19) ** 2 + (x - 30) ** 2 < 11**2
    image = torch.where(disc, 2.0, -1.0).expand(1, 3, 40, 50)
    result, _ = segment_images(image, "slic", 30)
    assert not set(result[0][disc].tolist()) & set(result[0][~disc].tolist())
    even, _ = segment_images(image, "grid", 30)
    assert set(even[0][disc].tolist()) & set(even[0][~disc].tolist())


@pytest.mark.parametrize("kind", ["slic", "grid"])
@pytest.mark.parametrize(("size", "asked"), [((32, 32), 48), ((20, 12), 48), ((7, 90), 20), ((3, 3), 99), ((5, 5), 1)])
def test_about_as_many_as_asked_for(kind: str, size: tuple[int, int], asked: int) -> None:
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    result, count = segment_images(images, kind, asked)
    assert result.shape == (2, *size)
    assert result.min() >= 0
    assert result.max() < count <= size[0] * size[1]
    assert abs(count - min(asked, size[0] * size[1])) <= 0.35 * asked
    assert len(result[0].unique()) > 0.7 * count
    one_by_one = torch.cat([segment_images(image[None], kind, asked)[0] for image in images])
    assert_close(one_by_one, result, rtol=0, atol=0)


def test_a_image_of_one_colour_gives_even_parts() -> None:
    result, count = segment_images(torch.ones(1, 3, 24, 24), "slic", 9)
    assert count == 9
    assert_close(result, segment_images(torch.ones(1, 3, 24, 24), "grid", 9)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "asked", "says"),
    [
        ("slik", 9, "superpixels is one of slic, grid .*, not 'slik'. Did you mean 'slic'"),
        ("grid", 0, "segments is an integer from 1 .*, not 0"),
        ("grid", 2.5, "segments is an integer from 1 .*, not 2.5"),
    ],
)
def test_refuses(kind: str, asked: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says):
        find("lime").with_options({"superpixels": kind, "segments": asked})


# --- what hides them ---


def test_a_blur_is_the_mean_under_a_bell() -> None:
    image = torch.randn(1, 2, 11, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result, sigma = gaussian_blur(image, 1.3, 5, "replicate"), 1.3
    reach = round(4 * sigma)
    for y, x in [(0, 0), (5, 6), (10, 12), (2, 11)]:
        total, weight = torch.zeros(2).double(), 0.0
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                bell = float(torch.exp(torch.tensor(-(dy**2 + dx**2) / (2 * sigma**2)).double()))
                total += bell * image[0, :, min(max(y + dy, 0), 10), min(max(x + dx, 0), 12)]
                weight += bell
        assert_close(result[0, :, y, x], total / weight)


def test_a_blur_of_one_colour_is_that_colour_and_keeps_the_precision() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert_close(
            infill_image(torch.full((1, 3, 9, 9), 1.5, dtype=dtype), "blur"), torch.full((1, 3, 9, 9), 1.5, dtype=dtype)
        )


def test_the_mean_colour_is_nought() -> None:
    assert_close(infill_image(torch.ones(1, 3, 4, 4), "mean"), torch.zeros(1, 3, 4, 4))
