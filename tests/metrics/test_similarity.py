"""Similarity of maps, against SciPy and the formulas of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from scipy.stats import pearsonr, rankdata, spearmanr
from torch import Tensor
from torch.testing import assert_close

from camlucida.maps import pearson, ranks, spearman
from camlucida.metrics.common.similarity import hog, ssim


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    one = torch.randn(4, 20, 14, generator=draw, dtype=torch.float64)
    return one, 0.6 * one + torch.randn(one.shape, generator=draw, dtype=torch.float64)


def test_ranks_with_ties() -> None:
    values = torch.tensor([[3.0, 1.0, 3.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    assert_close(ranks(values).numpy() + 1, np.stack([rankdata(row) for row in values.numpy()]), check_dtype=False)


def test_correlations_are_scipys(maps: tuple[Tensor, Tensor]) -> None:
    one, other = maps[0].clone(), maps[1].clone()
    one[:, :5] = 0  # ties, as a ReLU makes them
    for i in range(4):
        a, b = one[i].flatten().numpy(), other[i].flatten().numpy()
        assert float(spearman(one, other)[i]) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
        assert float(pearson(one.flatten(1), other.flatten(1))[i]) == pytest.approx(pearsonr(a, b).statistic, abs=1e-12)


def test_ssim_by_its_formula(maps: tuple[Tensor, Tensor]) -> None:
    """Wang et al. (2004), eq. 13, by sliding windows."""
    x = np.arange(11) - 5
    line = np.exp(-(x**2) / (2 * 1.5**2))
    window = np.outer(line, line) / np.outer(line, line).sum()
    for i in range(4):
        a, b = ((m[i] - m[i].min()) / (m[i].max() - m[i].min()) for m in (maps[0].numpy(), maps[1].numpy()))
        inner = np.s_[5:-5, 5:-5]

        def smoothed(values: np.ndarray, inner: tuple[slice, slice] = inner) -> np.ndarray:
            similarity: np.ndarray = correlate(values, window)[inner]
            return similarity

        ma, mb = smoothed(a), smoothed(b)
        va, vb, cov = smoothed(a * a) - ma**2, smoothed(b * b) - mb**2, smoothed(a * b) - ma * mb
        c1, c2 = 0.01**2, 0.03**2
        expected = ((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()
        assert float(ssim(*maps)[i]) == pytest.approx(expected, abs=1e-12)


def test_similarity_of_equal_maps_is_1(maps: tuple[Tensor, Tensor]) -> None:
    one = maps[0]
    for similarity in (spearman(one, 3 * one + 1), ssim(one, 3 * one + 1), pearson(hog(one), hog(3 * one + 1))):
        assert_close(similarity, torch.ones(4, dtype=torch.float64))
    assert_close(spearman(one, -one), -torch.ones(4, dtype=torch.float64))


def test_a_constant_map_has_no_similarity(maps: tuple[Tensor, Tensor]) -> None:
    flat = torch.zeros_like(maps[0])
    assert spearman(flat, maps[0]).isnan().all()
    assert ssim(flat, maps[0]).isnan().all()
    assert pearson(hog(flat), hog(maps[0])).isnan().all()


def test_oriented_gradients_know_their_direction() -> None:
    right = torch.arange(32.0).expand(1, 32, 32)
    across, down = hog(right, cell=32), hog(right.mT, cell=32)
    assert across.argmax() == 0, "a horizontal gradient has the angle 0"
    assert down.argmax() == 4, "a vertical gradient has 90 degrees, the middle of nine bins"
