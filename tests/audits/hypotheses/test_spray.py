"""Spectral clusters of explanations: planted groups are found, and the spectrum equals a dense one."""

from __future__ import annotations

import numpy as np
import pytest

from camlucida.audits.hypotheses.spray import N_NEIGHBORS, spectral_clusters


def blobs(sizes: list[int], seed: int = 0, width: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Maps of 7 x 7 with one peak per group, and the groups."""
    rng = np.random.default_rng(seed)
    rows, groups = [], []
    for group, size in enumerate(sizes):
        peak = np.zeros((7, 7))
        peak[(2 * group) % 7, (3 * group + 1) % 7] = 1.0
        rows += [(peak + width * rng.random((7, 7))).ravel() for _ in range(size)]
        groups += [group] * size
    return np.asarray(rows), np.asarray(groups)


@pytest.mark.parametrize("sizes", [[60, 60], [90, 12], [40, 30, 20]])
def test_planted_groups_are_found(sizes: list[int]) -> None:
    vectors, groups = blobs(sizes)
    result = spectral_clusters(vectors)
    assert result.n_clusters == len(sizes)
    for group in range(len(sizes)):
        assert len(set(result.labels[groups == group])) == 1
    assert len(set(result.labels)) == len(sizes)


def test_eigenvalues_equal_those_of_the_dense_laplacian() -> None:
    from sklearn.neighbors import kneighbors_graph

    vectors, _ = blobs([40, 15], width=0.4)
    points = np.sqrt(vectors / vectors.sum(1, keepdims=True))
    graph = kneighbors_graph(points, N_NEIGHBORS, include_self=False).toarray()
    graph = (graph + graph.T) / 2
    degrees = graph.sum(1)
    laplacian = np.eye(len(points)) - graph / np.sqrt(np.outer(degrees, degrees))
    expected = np.linalg.eigvalsh(laplacian)[:9]
    assert spectral_clusters(vectors).eigenvalues == pytest.approx(expected, abs=1e-8)


def test_one_group_is_one_cluster() -> None:
    rng = np.random.default_rng(1)
    assert spectral_clusters(rng.random((80, 49))).n_clusters == 1


def test_scale_and_negative_values_do_not_matter() -> None:
    vectors, _ = blobs([50, 20])
    scaled = vectors * np.linspace(0.1, 50, len(vectors))[:, None]
    expected = spectral_clusters(vectors)
    assert (spectral_clusters(scaled).labels == expected.labels).all()
    negative = vectors.copy()
    negative[:, 0] = np.where(vectors[:, 0] < 0.05, -1.0, vectors[:, 0])
    assert spectral_clusters(negative).n_clusters == 2


def test_small_tight_group_has_a_small_tightness() -> None:
    rng = np.random.default_rng(2)
    loose = rng.random((80, 49))
    tight = np.zeros((12, 49))
    tight[:, 48] = 1.0
    tight += 0.01 * rng.random((12, 49))
    result = spectral_clusters(np.vstack([loose, tight]))
    cluster = int(result.labels[-1])
    assert set(result.members(cluster)) == set(range(80, 92))
    assert result.tightness[cluster] < 0.5
    assert result.medoids[cluster] >= 80


def test_explanations_without_values_have_no_cluster() -> None:
    vectors, _ = blobs([40, 20])
    vectors[3] = np.nan
    vectors[5] = 0.0
    result = spectral_clusters(vectors)
    assert list(np.flatnonzero(result.labels < 0)) == [3, 5]
    assert spectral_clusters(np.zeros((4, 9))).n_clusters == 0
    assert spectral_clusters(blobs([8, 8])[0]).n_clusters == 1


def test_same_seed_same_clusters() -> None:
    vectors, _ = blobs([50, 20, 20], width=0.5)
    assert (spectral_clusters(vectors, seed=3).labels == spectral_clusters(vectors, seed=3).labels).all()
