"""Embeddings of a data set by a model's penultimate features, in `embed`."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida._ambient import plain_arithmetic
from camlucida._files import atomic_stream, atomic_write, write_image
from camlucida.analysis.embedding_files import (
    FEATURES_FILE,
    PROJECTED_COLUMNS,
    PROJECTION_FILE,
    PROJECTION_RECORD,
    STORED_COLUMNS,
    StoredFeatures,
)
from camlucida.analysis.neighbours import nearest_neighbours, neighbour_agreement
from camlucida.analysis.penultimate import penultimate
from camlucida.analysis.projection import PERPLEXITY, Projection, ProjectionMethod, project
from camlucida.attribution.network_inputs import check_takes_an_image
from camlucida.data.datasets import Dataset, check_dataset, sample_indices
from camlucida.data.images import load_image
from camlucida.errors import DataError, ModelError
from camlucida.errors import nearest as nearest_name
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.prediction_rows import BASE_COLUMNS, prediction_row
from camlucida.evaluation.read_images import LoadedImage, stacked
from camlucida.evaluation.run_parts import run_pass
from camlucida.evaluation.store import Row, Store, write_table
from camlucida.features.common import shrink_image
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.opaque_networks import described, has_layers
from camlucida.options import Count, Positive, Seed, checked_arguments
from camlucida.render.film_strip import Strip, StripFrame, draw_strips
from camlucida.types import ProgressCallback

N_NEIGHBOURS, N_ROWS = 6, 6


@dataclass(frozen=True, eq=False)
class Embedding:
    """The images of a data set as points: close to each other where the network's penultimate features are similar.

    Attributes:
        path: The folder, with features.parquet, embedding.npy `(n, c)`, embedding.parquet (with the columns x and y)
            and projection.json.
        rows: Rows of the images that have features, in the order of `features`.
        features: Features `(n, c)`.
        projection: Positions `(n, 2)`, and how they were computed.
        failures: Images that could not be read or run, each with the error message.
        feature_source: Where in the network the features were taken.
        model: The model.
        data: The data set.
    """

    path: Path
    rows: list[Row]
    features: NDArray[np.float32]
    projection: Projection
    failures: list[tuple[str, str]]
    feature_source: str
    model: Model
    data: Dataset

    @property
    def names(self) -> list[str]:
        """Return the names of the images, in the order of `rows`."""
        return [row["image"] for row in self.rows]

    @cached_property
    def agreement(self) -> float:
        """Return the fraction of the images of `n_comparable` whose nearest neighbour has the same label.

        NaN if no class has two images. Neighbours are searched among all labelled images.
        """
        labelled = [i for i, row in enumerate(self.rows) if row["label"] is not None]
        names = sorted({self.rows[i]["label"] for i in labelled})
        labels = np.array([names.index(self.rows[i]["label"]) for i in labelled], dtype=np.int64)
        return neighbour_agreement(self.features[labelled], labels)

    @property
    def n_comparable(self) -> int:
        """Return the number of labelled images whose class has another image, so that a neighbour can agree."""
        counts = Counter(row["label"] for row in self.rows if row["label"] is not None)
        return sum(count for count in counts.values() if count > 1)

    def nearest(self, image: str | int, n: int = N_NEIGHBOURS) -> list[tuple[Row, float]]:
        """Return the nearest neighbours of an image by cosine similarity of the features.

        Args:
            image: Name of the image, or its row index.
            n: Number of neighbours.

        Returns:
            Pairs of row and cosine similarity, most similar first.

        Raises:
            DataError: If there is no such image, or several have that name.
        """
        indices, cosines = nearest_neighbours(self.features, np.array([self._row(image)]), n)
        return [(self.rows[i], float(cosine)) for i, cosine in zip(indices[0], cosines[0], strict=True)]

    def figure(self, images: Sequence[str | int] | None = None, n: int = N_NEIGHBOURS) -> Image.Image:
        """Draw one row per image: the image and its nearest neighbours.

        Args:
            images: Names or row indices; None for six images at random.
            n: Number of neighbours.

        Returns:
            The figure, RGB.
        """
        chosen = list(images) if images else sample_indices(len(self.rows), min(N_ROWS, len(self.rows)), 0)
        if len(self.rows) < 2:
            raise DataError(f"nearest neighbours need at least two images; this embedding has {len(self.rows)}.")
        image_strips = [self._strip(self._row(image), n) for image in chosen]
        return draw_strips(
            image_strips,
            title="Nearest neighbours",
            subtitle=f"images of {self.data.name} and their nearest neighbours in the features of {self.model.name}",
            footer=f"cosine similarity of {self.feature_source} · red: another class · "
            f"camlucida {camlucida.__version__}",
        )

    def save(self, path: str | Path, images: Sequence[str | int] | None = None) -> list[Path]:
        """Write the figure of nearest neighbours as an image file.

        Args:
            path: File name.
            images: Names or row indices; None for six images at random.

        Returns:
            The files written.
        """
        write_image(lambda: self.figure(images), Path(path))
        return [Path(path)]

    def _strip(self, row: int, n: int) -> Strip:
        query = self.rows[row]
        frames = [StripFrame(None, query["image"], _prediction_text(query), image=self._thumbnail(query))]
        for other, cosine in self.nearest(row, n):
            other_class = query["label"] is not None and other["label"] != query["label"]
            caption = f"{cosine:.2f} · {other['label'] or other['predicted']}"
            frames.append(StripFrame(None, other["image"], caption, warning=other_class, image=self._thumbnail(other)))
        return Strip(
            query["label"] or query["image"], f"predicted as {query['predicted']}", query["correct"] is False, frames
        )

    def _thumbnail(self, row: Row) -> Image.Image:
        return shrink_image(load_image(self.data[row["index"]].image))

    def _row(self, image: str | int) -> int:
        if isinstance(image, int):
            if not 0 <= image < len(self.rows):
                raise DataError(
                    f"there is no image {image}: the embedding has {len(self.rows)} images, numbered from 0."
                )
            return image
        matches = [i for i, name in enumerate(self.names) if name == image or name.endswith(f"/{image}")]
        if len(matches) != 1:
            problem = f"{len(matches)} images are named" if matches else "no image is named"
            raise DataError(f"{problem} {image!r}.{nearest_name(image, self.names)}")
        return matches[0]


@checked_arguments(DataError)
@plain_arithmetic()
def embed(
    model: Model | nn.Module | str,
    data: Dataset,
    *,
    way: ProjectionMethod = "tsne",
    perplexity: Positive = PERPLEXITY,
    limit: Count | None = None,
    seed: Seed = 0,
    out: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> Embedding:
    """Compute the penultimate features of a data set and project them to two dimensions.

    The features are the input of the last linear layer, which is found by running the network. For a network that ends
    otherwise, they are the activations of its default layer, averaged over the positions.

    Args:
        model: As in `explain`.
        data: A data set, with or without labels.
        way: Projection method: tsne, umap (an extra) or pca. The first two are preceded by PCA to 50 dimensions.
        perplexity: Perplexity of t-SNE, roughly the number of neighbours taken into account.
        limit: Number of images, sampled at random with `seed`; None for all.
        seed: Seed of the sampling and of the projection.
        out: Output folder. Features that are stored there are not recomputed. None for a temporary folder.
        source: How the model and the data were specified, stored with the results.
        progress: Called with the number of images done and the total number.

    Returns:
        Features and positions of all images.

    Raises:
        DataError: If `out` holds a different run, or no image could be read.
    """
    wrapped = as_model(model)
    if not has_layers(wrapped.network):
        raise ModelError(
            f"embed needs the features before the class scores, and the model is {described(wrapped.network)}, whose "
            "layers cannot be accessed."
        )
    check_takes_an_image(wrapped)
    check_dataset(data)
    indices = sample_indices(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no images.")
    dataset_pass = DatasetPass.of(wrapped, data, indices)
    store = Store(
        Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="camlucida-")), STORED_COLUMNS, FEATURES_FILE
    )
    with store.lock():
        store.begin({"analysis": "embed", **dataset_pass.record(), "seed": seed}, source)
        run_pass(
            store,
            dataset_pass,
            lambda images: _extract(wrapped, stacked(images)),
            lambda image, output: _feature_row(dataset_pass, image, output),
            progress,
        )
        return _build_embedding(store, wrapped, data, way, perplexity, seed)


def _build_embedding(
    store: Store, model: Model, data: Dataset, way: ProjectionMethod, perplexity: float, seed: int
) -> Embedding:
    """Project the stored features, write the files of the embedding and return it."""
    stored = StoredFeatures.read(store.path)
    if not stored.rows:
        image, reason = stored.failures[0]
        raise DataError(f"no image of {data.name} could be read: {image}: {reason}")
    projection = project(stored.features, way, perplexity=perplexity, seed=seed)
    with atomic_stream(store.path / "embedding.npy") as stream:
        np.save(stream, stored.features)
    rows = [
        {key: row[key] for key in BASE_COLUMNS} | {"x": float(x), "y": float(y)}
        for row, (x, y) in zip(stored.rows, projection.positions, strict=True)
    ]
    write_table(store.path / PROJECTION_FILE, rows, PROJECTED_COLUMNS, digest=True)
    record = {"way": way, "description": projection.description, "explained_variance": projection.explained_variance}
    atomic_write(store.path / PROJECTION_RECORD, json.dumps(record, indent=2) + "\n")
    return Embedding(
        store.path, stored.rows, stored.features, projection, stored.failures, stored.feature_source, model, data
    )


def _extract(model: Model, batch: Tensor) -> list[tuple[Tensor, Tensor, str]]:
    """Return scores, features and their location in the network for each image of a batch."""
    result = penultimate(model, batch)
    return [(*pair, result.feature_source) for pair in zip(result.scores.cpu(), result.features.cpu(), strict=True)]


def _feature_row(dataset_pass: DatasetPass, image: LoadedImage, output: tuple[Tensor, Tensor, str]) -> Row:
    scores, features, feature_source = output
    return {
        **prediction_row(dataset_pass, image, scores),
        "feature_source": feature_source,
        "features": features.tolist(),
    }


def _prediction_text(row: Row) -> str:
    confidence = row["confidence"]
    return f"{row['predicted']} {confidence:.0%}" if confidence == confidence else str(row["predicted"])
