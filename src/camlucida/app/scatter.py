"""Images as points on a plane: projections, nearest neighbours, and their agreement with the labels."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camlucida.analysis.embedding_files import StoredFeatures, read_projection
from camlucida.analysis.neighbours import nearest_neighbours, neighbour_agrees
from camlucida.analysis.projection import Projection, ProjectionMethod, project
from camlucida.data.datasets import sample_indices
from camlucida.errors import DataError

MAX_POINTS = 5000
"""Maximum number of points; larger data sets are subsampled at random, and neighbours are searched in the subsample."""

MAX_QUICK_TSNE = 1000
"""Maximum number of points that t-SNE projects within seconds."""


@dataclass(frozen=True)
class ClassAgreement:
    """The neighbour agreement of one class.

    Attributes:
        name: The class.
        count: The number of its images.
        agreeing: How many of them have a nearest neighbour of the same class.
    """

    name: str
    count: int
    agreeing: int


class Scatter:
    """The images of an embedding folder as points.

    Args:
        path: The folder.
        seed: The seed of projections that are computed here.

    Attributes:
        count: The number of images with features.
        all_rows: The records of all images with features.
        rows: The records of the images that are points, at most `MAX_POINTS`.
        features: Their features, `(points, d)`.

    Raises:
        DataError: If no image has features.
    """

    def __init__(self, path: Path, seed: int) -> None:
        stored_features = StoredFeatures.read(path)
        if not stored_features.rows:
            raise DataError(
                f"no image of {path.name} has features; {len(stored_features.failures)} could not be read or evaluated."
            )
        chosen = sample_indices(len(stored_features.rows), MAX_POINTS, 0)
        self.all_rows = stored_features.rows
        self.count = len(stored_features.rows)
        self.rows = [stored_features.rows[i] for i in chosen]
        self.features = stored_features.features[chosen]
        self.failures = stored_features.failures
        self.feature_source = stored_features.feature_source
        self._seed = seed
        self._lock = threading.Lock()
        self._projections: dict[ProjectionMethod, Projection] = {}
        if saved := read_projection(path, stored_features.rows):
            name, projection = saved
            self._projections[name] = Projection(
                projection.positions[chosen], projection.description, projection.explained_variance
            )

    @property
    def projections(self) -> list[ProjectionMethod]:
        """The available projections; UMAP requires an extra and is included only if the folder contains it."""
        return ["tsne", "pca", *(name for name in self._projections if name == "umap")]

    @property
    def default_projection(self) -> ProjectionMethod:
        """The projection to display first: a stored one, else one that is computed within seconds."""
        return next(
            (name for name in self.projections if name in self._projections),
            "tsne" if len(self.rows) <= MAX_QUICK_TSNE else "pca",
        )

    def projection(self, name: ProjectionMethod) -> Projection:
        """Return the positions `(points, 2)`, from the folder or computed once."""
        with self._lock:
            if name not in self._projections:
                if name not in self.projections:
                    raise DataError(f"there is no projection {name!r}; available: {', '.join(self.projections)}.")
                self._projections[name] = project(self.features, name, seed=self._seed)
            return self._projections[name]

    def nearest(self, point: int, n: int) -> list[tuple[int, float]]:
        """Return the `n` points most similar to `point`, with the cosine similarity of their features."""
        if point >= len(self.rows):
            raise DataError(f"there is no point {point}: the points are numbered from 0 to {len(self.rows) - 1}.")
        indices, cosines = nearest_neighbours(self.features, np.array([point]), n)
        return list(zip(indices[0].tolist(), cosines[0].tolist(), strict=True))

    @cached_property
    def classes(self) -> list[ClassAgreement]:
        """The neighbour agreement of each class over the labelled images, largest class first."""
        labelled = [i for i, row in enumerate(self.rows) if row["label"] is not None]
        names, labels = np.unique([self.rows[i]["label"] for i in labelled], return_inverse=True)
        hits: NDArray[np.bool_] = neighbour_agrees(self.features[labelled], labels.astype(np.int64))
        hits = hits if len(hits) else np.zeros(len(labelled), dtype=np.bool_)
        class_counts = [
            ClassAgreement(str(name), int((labels == i).sum()), int(hits[labels == i].sum()))
            for i, name in enumerate(names)
        ]
        return sorted(class_counts, key=lambda each: (-each.count, each.name))

    @property
    def agreement(self) -> float | None:
        """The fraction of labelled images whose nearest neighbour has the same label; None if no class has two images.

        The only image of a class has no neighbour of its class and is not counted.
        """
        comparable = [each for each in self.classes if each.count > 1]
        n = sum(each.count for each in comparable)
        return sum(each.agreeing for each in comparable) / n if n else None
