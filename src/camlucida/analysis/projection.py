"""Projection of features to two dimensions: PCA, optionally followed by t-SNE or UMAP, with a seed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.errors import DataError
from camlucida.seeds import short_seed

ProjectionMethod: TypeAlias = Literal["tsne", "umap", "pca"]

N_COMPONENTS = 50
"""Number of principal components passed to t-SNE (van der Maaten & Hinton, 2008)."""
PERPLEXITY = 30.0
MIN_IMAGES = 8
"""Minimum number of images for t-SNE and UMAP; for fewer, the first two principal components are used."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Positions of the images in the plane.

    Attributes:
        positions: Positions `(n, 2)`.
        description: How they were computed, as text.
        explained_variance: Fraction of the variance that PCA retains.
    """

    positions: NDArray[np.float32]
    description: str
    explained_variance: float


def project(
    features: NDArray[np.float32], way: ProjectionMethod = "tsne", *, perplexity: float = PERPLEXITY, seed: int = 0
) -> Projection:
    """Project features to two dimensions.

    The same features and seed give the same positions on the same machine.

    Args:
        features: Features `(n, c)`.
        way: tsne uses openTSNE if that is installed and scikit-learn otherwise; umap needs the extra of that name; pca
            is linear.
        perplexity: Perplexity of t-SNE; at most a third of the other images is used.
        seed: Seed of the projection.

    Returns:
        The positions, and how they were computed.

    Raises:
        DataError: If the projection is unknown, or the perplexity is not positive.
    """
    if way not in get_args(ProjectionMethod):
        raise DataError(f"unknown projection {way!r}. Known: {', '.join(get_args(ProjectionMethod))}.")
    if perplexity <= 0:
        raise DataError(
            f"perplexity must be greater than 0, not {perplexity:g}. It is roughly the number of neighbours."
        )
    reduced, explained_variance = _pca(features, seed)
    count = len(features)
    if way == "pca" or count < MIN_IMAGES:
        reason = f", because {count} images are too few for {way}" if way != "pca" else ""
        return Projection(_first_two(reduced), f"the first two principal components{reason}", explained_variance)
    reduction = f"PCA to {reduced.shape[1]} components ({explained_variance:.0%} of the variance)"
    if way == "umap":
        umap = need("umap", extra="umap", what="UMAP")
        neighbours = min(15, count - 1)
        positions = umap.UMAP(n_neighbors=neighbours, random_state=short_seed(seed), n_jobs=1).fit_transform(reduced)
        return Projection(_first_two(positions), f"{reduction}, UMAP with {neighbours} neighbours", explained_variance)
    used_perplexity = min(perplexity, (count - 1) / 3)
    positions, library = _tsne(reduced, used_perplexity, seed)
    return Projection(
        _first_two(positions),
        f"{reduction}, t-SNE with perplexity {used_perplexity:.3g} ({library})",
        explained_variance,
    )


def _pca(features: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], float]:
    decomposition = need("sklearn.decomposition", extra="analysis", what="an embedding")
    components = min(N_COMPONENTS, *features.shape)
    if not np.ptp(features, axis=0).any():  # one image, or all identical: there is no variance to explain
        return np.zeros((len(features), 2), dtype=np.float32), 1.0
    pca = decomposition.PCA(components, random_state=short_seed(seed)).fit(features)
    return pca.transform(features).astype(np.float32), float(pca.explained_variance_ratio_.sum())


def _tsne(reduced: NDArray[np.float32], perplexity: float, seed: int) -> tuple[Any, str]:
    if importlib.util.find_spec("openTSNE") is not None:
        open_tsne = need("openTSNE", extra="analysis", what="t-SNE")
        positions = open_tsne.TSNE(
            perplexity=perplexity, random_state=short_seed(seed), initialization="pca", n_jobs=1
        ).fit(reduced)
        return np.asarray(positions), "openTSNE"
    manifold = need("sklearn.manifold", extra="analysis", what="t-SNE")
    tsne = manifold.TSNE(perplexity=perplexity, init="pca", random_state=short_seed(seed), n_jobs=1)
    return tsne.fit_transform(reduced), "scikit-learn"


def _first_two(positions: NDArray[Any]) -> NDArray[np.float32]:
    """Return the first two columns; a missing column is 0."""
    padded = np.zeros((len(positions), 2), dtype=np.float32)
    padded[:, : min(2, positions.shape[1])] = positions[:, :2]
    return padded
