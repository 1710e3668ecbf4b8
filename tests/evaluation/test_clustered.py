"""Statistics of rows that share images: against the bootstrap, closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from camlucida.analysis.correct_vs_wrong import group_differences
from camlucida.analysis.roc import roc_areas
from camlucida.analysis.within_class import within_class_difference
from camlucida.evaluation.clustered import (
    clustered_difference_p,
    clustered_variance,
    effective_size,
    image_means,
    row_resamples,
)
from camlucida.evaluation.statistics import resampled_means, resamples

N_IMAGES, PER_IMAGE = 40, 5
IMAGES = np.repeat(np.arange(N_IMAGES), PER_IMAGE)


def correlated(seed: int, spread: float = 1.0) -> np.ndarray:
    """Return values whose rows of one image share a random shift."""
    rng = np.random.default_rng(seed)
    return spread * rng.standard_normal(N_IMAGES)[IMAGES] + 0.3 * rng.standard_normal(len(IMAGES))


def test_images_are_resampled_with_all_their_rows() -> None:
    counts = np.concatenate(list(row_resamples(len(IMAGES), IMAGES, 20, seed=1)))
    by_image = np.concatenate(list(resamples(N_IMAGES, 20, seed=1)))
    assert np.array_equal(counts, by_image[:, IMAGES])
    plain = np.concatenate(list(row_resamples(7, None, 20, seed=1)))
    assert np.array_equal(plain, np.concatenate(list(resamples(7, 20, seed=1))))


def test_the_variance_is_that_of_the_bootstrap_of_images() -> None:
    values = correlated(0)
    variance = float(clustered_variance((values - values.mean())[:, None] / len(values), IMAGES)[0])
    drawn = np.concatenate([resampled_means(c, values[:, None])[:, 0] for c in row_resamples(len(IMAGES), IMAGES)])
    assert variance == pytest.approx(drawn.var(), rel=0.1)
    naive = values.var() / len(values)
    assert variance > 3 * naive


def test_a_row_for_each_image_gives_the_usual_variance() -> None:
    values = np.random.default_rng(0).standard_normal(50)
    variance = float(clustered_variance((values - values.mean())[:, None] / 50, np.arange(50))[0])
    assert variance == pytest.approx(values.var(ddof=1) / 50)
    assert effective_size(values, np.arange(50)) == pytest.approx(50, rel=0.03)
    assert np.isnan(clustered_variance(values[:, None], np.zeros(50, dtype=int))).all()


def test_rows_that_are_alike_count_as_one() -> None:
    values = np.random.default_rng(0).integers(0, 2, N_IMAGES).astype(float)[IMAGES]
    assert effective_size(values, IMAGES) == pytest.approx(N_IMAGES, rel=0.05)
    assert effective_size(np.ones(len(IMAGES)), IMAGES) == N_IMAGES
    assert np.array_equal(image_means(values, IMAGES), values[::PER_IMAGE])


def test_false_alarms_of_groups_of_images_stay_at_their_level() -> None:
    """Rows of an image share its shift and its group: a test of rows would be wrong most of the time."""
    clustered, naive = [], []
    for seed in range(300):
        values = correlated(seed)
        inside = (np.random.default_rng(seed + 1000).permutation(N_IMAGES) < N_IMAGES // 2)[IMAGES]
        clustered.append(clustered_difference_p(values, inside, IMAGES) <= 0.05)
        naive.append(stats.mannwhitneyu(values[inside], values[~inside]).pvalue <= 0.05)
    assert np.mean(clustered) <= 0.08
    assert np.mean(naive) >= 0.3


def test_a_difference_of_groups_is_found() -> None:
    inside = (np.arange(N_IMAGES) % 2 == 0)[IMAGES]
    assert clustered_difference_p(correlated(0, 0.2) + inside, inside, IMAGES) < 1e-4
    assert np.isnan(clustered_difference_p(correlated(0), np.ones(len(IMAGES), dtype=bool), IMAGES))
    assert clustered_difference_p(np.ones(len(IMAGES)), inside, IMAGES) == 1


def test_roc_areas_of_rows_alike_have_the_interval_of_images() -> None:
    rng = np.random.default_rng(0)
    positive, scores = rng.random(N_IMAGES) < 0.4, rng.standard_normal((2, N_IMAGES))
    scores[0] += positive
    of_images = roc_areas(scores, positive)
    repeated = roc_areas(scores[:, IMAGES], positive[IMAGES], IMAGES)
    naive = roc_areas(scores[:, IMAGES], positive[IMAGES])
    assert repeated.areas == pytest.approx(of_images.areas)
    assert repeated.covariance == pytest.approx(of_images.covariance, rel=0.06, abs=2e-4)
    assert naive.covariance[0, 0] < 0.3 * of_images.covariance[0, 0]
    single = roc_areas(scores, positive, np.arange(N_IMAGES))
    assert single.covariance == pytest.approx(of_images.covariance, rel=0.06, abs=2e-4)


def test_differences_of_correct_and_wrong_resample_images() -> None:
    correct = (np.arange(N_IMAGES) % 2 == 0)[IMAGES]
    values = correlated(3)[:, None]
    (clustered,) = group_differences(["a"], values, correct, images=IMAGES)
    (naive,) = group_differences(["a"], values, correct)
    assert clustered.difference.value == naive.difference.value
    widths = [each.difference.high - each.difference.low for each in (clustered, naive)]
    assert widths[0] > 1.6 * widths[1]
    classes = np.zeros(len(IMAGES), dtype=np.int64)
    within = within_class_difference(values[:, 0], correct, classes, IMAGES)
    assert within.p > within_class_difference(values[:, 0], correct, classes).p
    assert within.difference.high - within.difference.low == pytest.approx(widths[0], rel=0.15)
