"""Do maps land where they belong: on the right place of the right image, the right way round?"""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata, spearmanr
from torch import Tensor
from torch.testing import assert_close

from camlucida.maps import (
    blurred_infill,
    gaussian_blur,
    gaussian_kernel,
    max_scale,
    ranks,
    spearman,
    spearman_matrix,
    to_image_grid,
    upsample,
)
from camlucida.models.preprocessing import Preprocessing
from camlucida.types import Geometry

NAN = math.nan


# --- upsample ---


def test_upsample_by_hand() -> None:
    """Half-pixel centres: the four new cells of [0, 1] lie at -1/4, 1/4, 3/4, 5/4 of the old ones."""
    assert_close(upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4)), torch.tensor([[[0.0, 0.25, 0.75, 1.0]]]))
    found = upsample(torch.tensor([[[0.0, 4.0], [8.0, 12.0]]]), (4, 4))
    wanted = torch.tensor([[0.0, 1.0, 3.0, 4.0], [2.0, 3.0, 5.0, 6.0], [6.0, 7.0, 9.0, 10.0], [8.0, 9.0, 11.0, 12.0]])
    assert_close(found, wanted[None])


def sampled(grid: list[list[float]], x: float, y: float) -> float:
    """Bilinear between the centres of the cells, constant beyond the outermost; the first centre is at 0.5."""
    h, w = len(grid), len(grid[0])
    x, y = min(max(x - 0.5, 0.0), w - 1.0), min(max(y - 0.5, 0.0), h - 1.0)
    left, top = min(int(x), max(w - 2, 0)), min(int(y), max(h - 2, 0))
    right, bottom = min(left + 1, w - 1), min(top + 1, h - 1)
    across, down = x - left, y - top
    above = grid[top][left] * (1 - across) + grid[top][right] * across
    below = grid[bottom][left] * (1 - across) + grid[bottom][right] * across
    return above * (1 - down) + below * down


def reference_upsample(map_: Tensor, size: tuple[int, int]) -> list[list[float]]:
    (h, w), (height, width) = map_.shape, size
    grid = map_.double().tolist()
    return [[sampled(grid, (i + 0.5) * w / width, (j + 0.5) * h / height) for i in range(width)] for j in range(height)]


@pytest.mark.parametrize("size", [(3, 4), (6, 8), (7, 5), (20, 31), (1, 1), (2, 3)], ids=str)
def test_upsample_equals_the_reference(size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert_close(
        upsample(maps, size).double(),
        torch.tensor([reference_upsample(m, size) for m in maps]).double(),
        rtol=1e-5,
        atol=1e-5,
    )


def test_upsample_to_the_same_size_changes_nothing() -> None:
    maps = torch.randn(2, 3, 4)
    assert_close(upsample(maps, (3, 4)), maps, rtol=0, atol=0)


def test_upsample_of_half_precision_is_computed_in_float32() -> None:
    assert upsample(torch.ones(1, 2, 2, dtype=torch.bfloat16), (4, 4)).dtype is torch.float32


# --- land ---

GEOMETRIES = {
    "identity": ((7, 5), Geometry((7, 5), (7, 5), (1.0, 1.0), (0.0, 0.0))),
    "crop of a wide one": ((40, 20), Preprocessing((16, 16), 18)),
    "crop of a high one": ((20, 40), Preprocessing((16, 16), 18)),
    "crop of an odd one": ((37, 23), Preprocessing((12, 16), 19)),
    "squash": ((40, 20), Preprocessing((16, 16), fit="squash")),
    "squash to oblong": ((21, 33), Preprocessing((12, 20), fit="squash")),
    "letterbox of a wide one": ((40, 20), Preprocessing((16, 16), fit="letterbox")),
    "letterbox of a high one": ((20, 41), Preprocessing((16, 24), fit="letterbox")),
    "enlarged": ((9, 6), Preprocessing((16, 16), None)),
    "padded": ((40, 10), Preprocessing((16, 16), 11)),
}


@pytest.fixture(params=GEOMETRIES.values(), ids=GEOMETRIES.keys())
def geometry(request: pytest.FixtureRequest) -> Geometry:
    size, how = request.param
    return how if isinstance(how, Geometry) else how.resize_and_place(Image.new("RGB", size))[1]


def reference_to_image_grid(map_: Tensor, geometry: Geometry) -> Tensor:
    """Pixel by pixel: where does its centre lie in the input, was that evaluated, and how hot is the map there?"""
    (width, height), (input_width, input_height) = geometry.original, geometry.input
    at_input = reference_upsample(map_, (input_height, input_width))
    found = torch.full((height, width), NAN, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            x = (column + 0.5) * geometry.scale[0] + geometry.offset[0]
            y = (row + 0.5) * geometry.scale[1] + geometry.offset[1]
            if 0 < x < input_width and 0 < y < input_height:
                found[row, column] = sampled(at_input, x, y)
    return found


def test_to_image_grid_equals_the_reference(geometry: Geometry) -> None:
    map_ = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    assert_close(
        to_image_grid(map_, geometry).double(),
        reference_to_image_grid(map_, geometry),
        equal_nan=True,
        rtol=1e-4,
        atol=1e-4,
    )


def test_identity_is_exact() -> None:
    map_ = torch.randn(5, 7)
    landed = to_image_grid(map_, Geometry((7, 5), (7, 5), (1.0, 1.0), (0.0, 0.0)))
    assert landed.shape == (5, 7)
    assert_close(landed, map_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("place", [(0.2, 0.3), (0.8, 0.3), (0.3, 0.9), (0.6, 0.55)], ids=str)
def test_a_cell_maps_to_its_position_in_the_image(geometry: Geometry, place: tuple[float, float]) -> None:
    """A point of what was seen is hot in the input; on the image its surroundings must be the hottest."""
    left, top, right, bottom = geometry.visible_box
    x, y = left + place[0] * (right - left), top + place[1] * (bottom - top)
    in_x, in_y = x * geometry.scale[0] + geometry.offset[0], y * geometry.scale[1] + geometry.offset[1]
    hot = torch.zeros(geometry.input[1], geometry.input[0])
    around = [
        math.ceil(scale) - 1 for scale in geometry.scale
    ]  # of an enlarged image a whole pixel, or none may meet it
    hot[
        int(max(in_y - around[1], 0)) : int(in_y) + around[1] + 1,
        int(max(in_x - around[0], 0)) : int(in_x) + around[0] + 1,
    ] = 1
    landed = to_image_grid(hot, geometry).nan_to_num(-1)
    row, column = divmod(int(landed.argmax()), landed.shape[1])
    reach = max(1.0, 1 / geometry.scale[0]), max(1.0, 1 / geometry.scale[1])
    assert abs(column + 0.5 - x) <= reach[0]
    assert abs(row + 0.5 - y) <= reach[1]


def test_left_right_top_and_bottom() -> None:
    geometry = Preprocessing((16, 16), 16).resize_and_place(Image.new("RGB", (40, 20)))[1]
    for cell, (rows, columns) in {
        (0, 0): (slice(0, 10), slice(10, 20)),
        (0, 1): (slice(0, 10), slice(20, 30)),
        (1, 0): (slice(10, 20), slice(10, 20)),
        (1, 1): (slice(10, 20), slice(20, 30)),
    }.items():
        map_ = torch.zeros(2, 2)
        map_[cell] = 1
        landed = to_image_grid(map_, geometry)
        assert landed[rows, columns].mean() > 0.5
        assert landed[rows, columns].sum() > 0.6 * landed.nansum()


def test_cropped_pixels_are_nan() -> None:
    cropped = to_image_grid(
        torch.ones(2, 2), Preprocessing((16, 16), 16).resize_and_place(Image.new("RGB", (40, 20)))[1]
    )
    assert_close(cropped[:, 10:30], torch.ones(20, 20))
    assert cropped[:, :10].isnan().all()
    assert cropped[:, 30:].isnan().all()
    letterboxed = to_image_grid(
        torch.ones(2, 2), Preprocessing((16, 16), fit="letterbox").resize_and_place(Image.new("RGB", (40, 20)))[1]
    )
    assert_close(letterboxed, torch.ones(20, 40))


def test_a_letterbox_leaves_its_bars_behind() -> None:
    """What is hot in the bars alone is not on the image, save for the rim that bilinear smears."""
    geometry = Preprocessing((16, 16), fit="letterbox").resize_and_place(Image.new("RGB", (40, 20)))[1]
    bars = torch.ones(16, 16)
    bars[4:12] = 0
    assert to_image_grid(bars, geometry)[2:-2].abs().max() == 0


# --- for display ---


@pytest.mark.parametrize(
    ("saliency", "wanted"),
    [
        ([[0.0, 0.0]], [[0.0, 0.0]]),
        ([[-1.0, -3.0]], [[0.0, 0.0]]),
        ([[-1.0, 2.0, 4.0]], [[0.0, 0.5, 1.0]]),
        ([[NAN, 2.0, 4.0]], [[NAN, 0.5, 1.0]]),
        ([[NAN, -2.0, 0.0]], [[NAN, 0.0, 0.0]]),
        ([[NAN, NAN]], [[NAN, NAN]]),
        ([[1e-30, 2e-30]], [[0.5, 1.0]]),
        ([[3.0, 3.0]], [[1.0, 1.0]]),
    ],
)
def test_scaled(saliency: list, wanted: list) -> None:
    assert_close(max_scale(torch.tensor(saliency)), torch.tensor(wanted), equal_nan=True)


def test_maps_are_scaled_apart() -> None:
    saliency = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]], [[-3.0, 10.0]]])
    assert_close(max_scale(saliency), torch.tensor([[[0.5, 1.0]], [[0.0, 0.0]], [[0.0, 1.0]]]))
    assert_close(max_scale(saliency[:, None])[:, 0], max_scale(saliency))


def test_a_sliver_of_a_pixel_is_seen() -> None:
    """Of an image 1 wide and 2,000 high the crop shows less than a pixel: that one is not nowhere."""
    geometry = Geometry((1, 2000), (224, 224), (256.0, 256.0), (-16.0, -255888.0))
    landed = to_image_grid(torch.ones(7, 7), geometry)
    assert landed.isfinite().sum() == 1
    assert landed[1000, 0] == 1


# --- blur and rank correlation ---


@pytest.mark.parametrize(("border", "mode"), [("replicate", "nearest"), ("reflect", "mirror"), ("circular", "wrap")])
def test_gaussian_blur_is_scipys(border: str, mode: str) -> None:
    images = torch.randn(2, 3, 24, 31, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blurred = gaussian_blur(images, (1.5, 4.0), (6, 9), border)
    expected = gaussian_filter(images.numpy(), (0, 0, 1.5, 4.0), mode=mode, radius=(0, 0, 6, 9))
    assert_close(blurred, torch.from_numpy(expected))


def test_gaussian_blur_keeps_shape_precision_and_mean_colour() -> None:
    flat = torch.full((1, 2, 20, 30), 0.5, dtype=torch.float16)
    assert_close(gaussian_blur(flat, 2.0, 6, "replicate"), flat)
    assert_close(blurred_infill(flat), flat)
    assert float(gaussian_kernel(3.0, 7).sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlation_is_scipys(levels: int) -> None:
    """With many equal values and with almost none."""
    values = torch.randint(levels, (4, 60), generator=torch.Generator().manual_seed(levels)).float()
    assert_close(ranks(values), torch.from_numpy(rankdata(values.numpy(), axis=1) - 1))
    matrix = spearman_matrix(values)
    for i in range(4):
        for j in range(4):
            expected = spearmanr(values[i], values[j]).statistic
            assert float(matrix[i, j]) == pytest.approx(expected)
            assert float(spearman(values[i : i + 1], values[j : j + 1])) == pytest.approx(expected)


def test_a_constant_row_has_no_rank_correlation() -> None:
    values = torch.stack([torch.arange(5.0), torch.ones(5)])
    assert_close(spearman_matrix(values), torch.tensor([[1.0, NAN], [NAN, NAN]]).double(), equal_nan=True)
    assert math.isnan(float(spearman(values[:1], values[1:])))
