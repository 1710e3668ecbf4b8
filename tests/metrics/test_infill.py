"""Infills: RISE's blur, the Gaussian blur, and ROAD's noisy linear imputation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch.testing import assert_close

from camlucida.errors import MetricError
from camlucida.metrics.common.imputation import impute
from camlucida.metrics.common.infill import image, pixel_remover, rise_kernel

SIDE = 28
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
PIXEL = (1 / STD).double()[:, None, None]
BLACK = -MEAN.double()[:, None, None] * PIXEL
INPUTS = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def authors_kernel() -> np.ndarray[Any, Any]:
    point = np.zeros((11, 11))
    point[5, 5] = 1
    kernel: np.ndarray[Any, Any] = scipy.ndimage.gaussian_filter(point, 5)
    return kernel.astype(np.float32)


def test_the_blur_of_rise() -> None:
    kernel = rise_kernel()
    assert_close(kernel, torch.from_numpy(authors_kernel()), rtol=0, atol=1e-9)
    assert float(kernel.double().sum()) == pytest.approx(1, abs=1e-6)
    assert float(kernel.min()) == pytest.approx(0.0077366, abs=5e-8)
    assert float(kernel.max()) == pytest.approx(0.0088326, abs=5e-8)
    x = torch.arange(11).double() - 5
    assert math.sqrt(float((kernel.double().sum(0) * x**2).sum())) == pytest.approx(3.130, abs=5e-4)


def test_gaussian_infill_keeps_a_constant_image() -> None:
    flat = torch.full((3, 20, 31), 0.7, dtype=torch.float64)
    assert_close(image(flat, "gaussian", BLACK), flat)
    assert_close(image(flat, "rise_blur", BLACK)[:, 10, 15], flat[:, 10, 15], rtol=0, atol=1e-6)
    assert float(image(flat, "rise_blur", BLACK)[0, 0, 0]) == pytest.approx(0.7 * 0.30, abs=0.01)


def test_one_missing_pixel_is_the_weighted_mean_of_its_neighbours() -> None:
    missing = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    missing[0, 10, 12] = True
    result = impute(INPUTS, missing)[0, :, 10, 12]
    neighbourhood = INPUTS[:, 9:12, 11:14]
    weights = torch.tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    assert_close(result, (neighbourhood * weights).sum((1, 2)))
    corner = torch.zeros_like(missing)
    corner[0, 0, 0] = True
    expected = (2 * INPUTS[:, 0, 1] + 2 * INPUTS[:, 1, 0] + INPUTS[:, 1, 1]) / 5
    assert_close(impute(INPUTS, corner)[0, :, 0, 0], expected)


def test_all_but_one_missing_is_its_colour_and_all_missing_an_error() -> None:
    missing = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    with pytest.raises(MetricError, match="all pixels are removed"):
        impute(INPUTS, missing)
    missing[0, 20, 3] = False
    assert_close(impute(INPUTS, missing)[0], INPUTS[:, 20, 3][:, None, None].expand(3, SIDE, SIDE))


def test_imputation_solves_the_equations() -> None:
    """A dense solver, pixel by pixel, on an image that is not square."""
    inputs = INPUTS[:, :9, :14]
    missing = torch.rand((3, 9, 14), generator=torch.Generator().manual_seed(1)) < torch.tensor([0.2, 0.6, 0.95]).view(
        3, 1, 1
    )
    for mask, result in zip(missing, impute(inputs, missing), strict=True):
        system, given = np.eye(126), inputs.flatten(1).T.numpy().copy()
        for y in range(9):
            for x in range(14):
                if not mask[y, x]:
                    continue
                neighbours = [(y + i, x + j, 12 if i and j else 6) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
                neighbours = [(v, u, n) for v, u, n in neighbours if 0 <= v < 9 and 0 <= u < 14]
                total = sum(1 / n for _, _, n in neighbours)
                given[y * 14 + x] = 0
                for v, u, n in neighbours:
                    system[y * 14 + x, v * 14 + u] = -1 / n / total
        assert_close(result.flatten(1).T, torch.from_numpy(np.linalg.solve(system, given)))
        assert_close(result[:, ~mask], inputs[:, ~mask], rtol=0, atol=0)


def test_road_noise_has_sigma_of_one_percent_on_imputed_pixels() -> None:
    missing = torch.rand((1, 200, 200), generator=torch.Generator().manual_seed(0)) < 0.5
    flat = torch.zeros(3, 200, 200, dtype=torch.float64)
    remove = pixel_remover(flat, "road", pixel_scale=PIXEL, black_level=BLACK, random=torch.Generator().manual_seed(0))
    result = remove(missing)[0]
    assert float(result[:, ~missing[0]].abs().max()) == 0
    assert_close(result[:, missing[0]].std(1), 0.01 * PIXEL.flatten(), rtol=0.03, atol=0)
