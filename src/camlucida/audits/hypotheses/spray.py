"""Spectral relevance analysis (SpRAy): clusters of explanations within a class, with the number of clusters.

Lapuschkin et al., Nature Communications 2019: the explanations of one class are compared, a graph of nearest neighbors
is built, and the eigenvalues of its normalised Laplacian indicate the number of clusters: a gap after the m-th
smallest one indicates m clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.seeds import short_seed

Floats = NDArray[np.float64]

N_NEIGHBORS = 10
"""Neighbors per explanation in the graph, as in corelay."""
MAX_CLUSTERS = 8
"""Largest number of clusters that the eigengap may choose."""
N_STARTS = 3
"""Random starts of k-means, of which the best one is kept."""
MIN_ITEMS = 20
"""Smallest number of explanations that are clustered; fewer have no reliable spectrum."""


@dataclass(frozen=True, eq=False)
class SpectralClusters:
    """Clusters of n explanations.

    Attributes:
        labels: Cluster of each explanation `(n,)`, -1 for those without one (not finite, or zero).
        eigenvalues: The smallest eigenvalues of the normalised Laplacian, ascending, 0 to 2.
        eigengap: Difference of the eigenvalues after and at the number of clusters.
        tightness: Per cluster, the mean distance of its members to their medoid, divided by that of all explanations to
            the medoid of all: near 0 for a tight cluster, 1 for a typical subset.
        medoids: Per cluster, the index of its medoid.
    """

    labels: NDArray[np.int64]
    eigenvalues: Floats
    eigengap: float
    tightness: Floats
    medoids: NDArray[np.int64]

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.medoids)

    def members(self, cluster: int) -> NDArray[np.int64]:
        """Return the indices of the members of a cluster."""
        return np.flatnonzero(self.labels == cluster)


def spectral_clusters(vectors: Floats, seed: int = 0, n_neighbors: int = N_NEIGHBORS) -> SpectralClusters:
    """Cluster explanations by the spectrum of their neighborhood graph.

    Args:
        vectors: `(n, d)`: maps or channel relevances, flattened. Negative values are set to 0 and each row is divided
            by its sum, so that the strength of an explanation does not matter, only its form.
        seed: Seed of the eigenvalue solver and of k-means.
        n_neighbors: Neighbors per explanation in the graph.

    Returns:
        The clusters; a single one if there are fewer than 20 explanations.
    """
    return spectral_partitions(vectors, seed, n_neighbors, numbers=())[0]


def spectral_partitions(
    vectors: Floats, seed: int = 0, n_neighbors: int = N_NEIGHBORS, numbers: Sequence[int] = ()
) -> list[SpectralClusters]:
    """Cluster explanations into several numbers of clusters, by one spectrum.

    Args:
        vectors: As for `spectral_clusters`.
        seed: As for `spectral_clusters`.
        n_neighbors: As for `spectral_clusters`.
        numbers: Numbers of clusters beside that of the eigengap, at most 9 each.

    Returns:
        The partition of the eigengap, followed by those of `numbers`; only a single cluster if there are fewer than 20
        explanations.
    """
    points, usable = hellinger_points(vectors)
    labels = np.full(len(vectors), -1, dtype=np.int64)
    if not len(usable):
        return [SpectralClusters(labels, np.zeros(0), 0.0, np.zeros(0), np.zeros(0, dtype=np.int64))]
    if len(usable) < MIN_ITEMS:
        return [_clusters(points, usable, labels, np.zeros(len(usable), dtype=np.int64), np.zeros(1), 0.0)]
    eigenvalues, eigenvectors = _spectrum(points, seed, n_neighbors)
    gaps = np.diff(eigenvalues)
    chosen = int(np.argmax(gaps)) + 1
    return [
        _clusters(points, usable, labels, _assign(eigenvectors, number, seed), eigenvalues, float(gaps[number - 1]))
        for number in (chosen, *(number for number in numbers if number <= len(gaps)))
    ]


def hellinger_points(vectors: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return points whose Euclidean distance is Hellinger's distance between explanations, as distributions.

    Args:
        vectors: `(n, d)`; negative and missing values count as 0.

    Returns:
        The points `(m, d)` of the explanations with a positive value, and their indices `(m,)`.
    """
    positive = np.clip(np.nan_to_num(vectors.astype(np.float64), nan=0.0), 0.0, None)
    sums = positive.sum(1)
    usable = np.flatnonzero(sums > 0)
    return np.sqrt(positive[usable] / sums[usable, None]), usable


def _clusters(
    points: Floats,
    usable: NDArray[np.int64],
    no_labels: NDArray[np.int64],
    assigned: NDArray[np.int64],
    eigenvalues: Floats,
    gap: float,
) -> SpectralClusters:
    labels = no_labels.copy()
    labels[usable] = assigned
    medoids, tightness = _describe(points, assigned)
    return SpectralClusters(labels, eigenvalues, gap, tightness, usable[medoids])


def _spectrum(points: Floats, seed: int, n_neighbors: int) -> tuple[Floats, Floats]:
    """Return the smallest eigenvalues of the normalised Laplacian, ascending, and their eigenvectors `(n, k)`."""
    neighbors = need("sklearn.neighbors", extra="analysis", what="clustering explanations")
    linalg = need("scipy.sparse.linalg", extra="analysis", what="clustering explanations")
    sparse = need("scipy.sparse", extra="analysis", what="clustering explanations")
    graph = neighbors.kneighbors_graph(points, min(n_neighbors, len(points) - 1), include_self=False)
    graph = 0.5 * (graph + graph.T)
    scale = sparse.diags(1 / np.sqrt(np.asarray(graph.sum(1)).ravel()))
    similarity = scale @ graph @ scale  # I - L; its largest eigenvalues belong to the smallest of L
    n_values = min(MAX_CLUSTERS + 1, len(points) - 1)
    start = np.random.default_rng(seed).standard_normal(len(points))
    values, vectors = linalg.eigsh(similarity + sparse.identity(len(points)), k=n_values, which="LA", v0=start)
    order = np.argsort(-values)
    return np.clip(2 - values[order], 0.0, None), vectors[:, order]


def _assign(eigenvectors: Floats, n_clusters: int, seed: int) -> NDArray[np.int64]:
    """Return the cluster of each point: k-means on the rows of the first eigenvectors, scaled to unit length."""
    if n_clusters == 1:
        return np.zeros(len(eigenvectors), dtype=np.int64)
    cluster = need("sklearn.cluster", extra="analysis", what="clustering explanations")
    embedding = eigenvectors[:, :n_clusters].copy()
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True).clip(1e-12)
    found = cluster.KMeans(n_clusters, n_init=N_STARTS, random_state=short_seed(seed)).fit_predict(embedding)
    labels: NDArray[np.int64] = found.astype(np.int64)
    return labels


def _describe(points: Floats, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Return the medoid and the tightness of each cluster."""
    center = _medoid(points)
    spread = float(np.linalg.norm(points - points[center], axis=1).mean())
    medoids, tightness = [], []
    for cluster in range(int(labels.max()) + 1):
        members = np.flatnonzero(labels == cluster)
        medoid = members[_medoid(points[members])]
        own = float(np.linalg.norm(points[members] - points[medoid], axis=1).mean())
        medoids.append(medoid)
        tightness.append(own / spread if spread > 0 else 0.0)
    return np.asarray(medoids, dtype=np.int64), np.asarray(tightness)


def _medoid(points: Floats) -> int:
    """Return the index of the point with the smallest sum of squared distances to all, which is nearest to the mean."""
    return int(np.argmin(np.linalg.norm(points - points.mean(0), axis=1)))
