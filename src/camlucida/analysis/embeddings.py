"""embed(): what a model takes for alike, over a data set."""

from __future__ import annotations

import json
import tempfile
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
from camlucida._files import atomic_stream, atomic_write, write_image
from camlucida.analysis.dataset_pass import BASE_COLUMNS, DatasetPass, LoadedImage, prediction_row, run_pass
from camlucida.analysis.neighbours import nearest_neighbours, neighbour_agreement
from camlucida.analysis.penultimate import penultimate
from camlucida.analysis.projection import PERPLEXITY, Projection, ProjectionMethod, project
from camlucida.attribution.explain import as_model
from camlucida.data.datasets import Dataset, check_dataset, sample_indices
from camlucida.data.images import load_image
from camlucida.errors import DataError
from camlucida.errors import nearest as nearest_name
from camlucida.evaluation.store import Row, Store, read_table, write_table
from camlucida.features.common import shrink_image
from camlucida.models.model import Model
from camlucida.options import Count, Positive, Seed, checked_arguments
from camlucida.render.film_strip import Strip, StripFrame, draw_strips
from camlucida.types import ProgressCallback

STORED_COLUMNS = BASE_COLUMNS | {"place": "string", "features": "list<float>"}
PROJECTED_COLUMNS = BASE_COLUMNS | {"x": "float64", "y": "float64"}
FEATURES_FILE, PROJECTION_FILE, PROJECTION_RECORD = "features.parquet", "embedding.parquet", "projection.json"
N_NEIGHBOURS, N_ROWS = 6, 6


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """What the network's last features of the pictures are, read from a run's folder, finished or not.

    rows      the pictures that have features, in the order of `features` (n, c)
    failures  pictures that could not be read or run, with the reason
    place     where in the network they are
    """

    rows: list[Row]
    features: NDArray[np.float32]
    failures: list[tuple[str, str]]
    place: str

    @classmethod
    def read(cls, path: Path) -> StoredFeatures:
        """Those in the folder, which is only read."""
        rows: list[Row] = []
        failures: list[tuple[str, str]] = []
        values: list[NDArray[np.float32]] = []
        for table in Store(path, STORED_COLUMNS, FEATURES_FILE).tables():
            known = table.filter(table["error"].is_null())
            rows += known.drop_columns(["features"]).to_pylist()
            values += [np.asarray(one.values, dtype=np.float32) for one in known["features"]]
            failed = table.filter(table["error"].is_valid()).to_pydict()
            failures += list(zip(failed["picture"], failed["error"], strict=True))
        features = np.stack(values) if values else np.zeros((0, 0), dtype=np.float32)
        return cls(rows, features, failures, rows[0]["place"] if rows else "")


def read_projection(path: Path, rows: Sequence[Row]) -> tuple[ProjectionMethod, Projection] | None:
    """How the folder says its pictures were put on a plane; None where it does not say it of just these rows."""
    file, record_file = path / PROJECTION_FILE, path / PROJECTION_RECORD
    if not file.is_file() or not record_file.is_file():
        return None
    try:
        table = read_table(file)
        if table["index"].to_pylist() != [row["index"] for row in rows]:
            return None
        record = json.loads(record_file.read_text(encoding="utf-8"))
        positions = np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()]).astype(np.float32)
        return record["way"], Projection(positions, record["how"], record["kept"])
    except (OSError, ValueError, KeyError, TypeError, DataError):  # damaged: it is computed again
        return None


@dataclass(frozen=True, eq=False)
class Embedding:
    """Pictures as points: alike where the network's last features are.

    path        the folder: features.parquet, embedding.npy (n, c), embedding.parquet with x and y, projection.json
    rows        the pictures that have features, in the order of `features`
    projection  places (n, 2), and how they were found
    failures    pictures that could not be read or run, with the reason
    """

    path: Path
    rows: list[Row]
    features: NDArray[np.float32]
    projection: Projection
    failures: list[tuple[str, str]]
    place: str
    model: Model
    data: Dataset

    @property
    def names(self) -> list[str]:
        return [row["picture"] for row in self.rows]

    @cached_property
    def agreement(self) -> float:
        """Of the pictures with a label, how many have a nearest neighbour with the same one. NaN without labels."""
        labelled = [i for i, row in enumerate(self.rows) if row["label"] is not None]
        names = sorted({self.rows[i]["label"] for i in labelled})
        labels = np.array([names.index(self.rows[i]["label"]) for i in labelled], dtype=np.int64)
        return neighbour_agreement(self.features[labelled], labels)

    def nearest(self, image: str | int, n: int = N_NEIGHBOURS) -> list[tuple[Row, float]]:
        """The n pictures most like one, by its name or its row here, with the cosine of their features."""
        indices, cosines = nearest_neighbours(self.features, np.array([self._row(image)]), n)
        return [(self.rows[i], float(cosine)) for i, cosine in zip(indices[0], cosines[0], strict=True)]

    def figure(self, images: Sequence[str | int] | None = None, n: int = N_NEIGHBOURS) -> Image.Image:
        """A row a picture: the picture, and its nearest neighbours. Six of them drawn at random where none is named."""
        chosen = list(images) if images else sample_indices(len(self.rows), min(N_ROWS, len(self.rows)), 0)
        if len(self.rows) < 2:
            raise DataError("a picture alone has no neighbours.")
        image_strips = [self._strip(self._row(image), n) for image in chosen]
        return draw_strips(
            image_strips,
            title="What it takes for alike",
            subtitle=f"a picture of {self.data.name}, and the nearest others to {self.model.name}",
            footer=f"cosine of {self.place} · red: another class · camlucida {camlucida.__version__}",
        )

    def save(self, path: str | Path, images: Sequence[str | int] | None = None) -> list[Path]:
        """The neighbours' sheet as a picture; returns the files written."""
        write_image(lambda: self.figure(images), Path(path))
        return [Path(path)]

    def _strip(self, row: int, n: int) -> Strip:
        query = self.rows[row]
        frames = [StripFrame(None, query["picture"], _prediction_text(query), image=self._thumbnail(query))]
        for other, cosine in self.nearest(row, n):
            other_class = query["label"] is not None and other["label"] != query["label"]
            caption = f"{cosine:.2f} · {other['label'] or other['said']}"
            frames.append(
                StripFrame(None, other["picture"], caption, warning=other_class, image=self._thumbnail(other))
            )
        return Strip(
            query["label"] or query["picture"], f"taken for {query['said']}", query["correct"] is False, frames
        )

    def _thumbnail(self, row: Row) -> Image.Image:
        return shrink_image(load_image(self.data[row["index"]].image))

    def _row(self, image: str | int) -> int:
        if isinstance(image, int):
            if not 0 <= image < len(self.rows):
                raise DataError(f"no picture {image}: there are {len(self.rows)}, from 0.")
            return image
        matches = [i for i, name in enumerate(self.names) if name == image or name.endswith(f"/{image}")]
        if len(matches) != 1:
            problem = f"{len(matches)} pictures are called" if matches else "no picture is called"
            raise DataError(f"{problem} {image!r}.{nearest_name(image, self.names)}")
        return matches[0]


@checked_arguments(DataError)
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
    """What a model takes for alike: the features of every picture just before the last layer, put on a plane.

    model       as of `explain`
    data        a data set, with labels or without
    way         tsne, umap (an extra) or pca; the first two after PCA to 50 dimensions
    perplexity  of t-SNE: about how many neighbours count
    limit       how many pictures, drawn at random with `seed`; None for all
    seed        of the projection, too
    out         a folder; features that are there are not computed again. None for a temporary one
    source      how the model and the data were named, to be kept beside the numbers
    progress    told how many of how many pictures are done

    Features are what enters the last linear layer, found by running the network; where it ends otherwise, its default
    layer averaged over the places. Raises `DataError` where `out` holds another run, or nothing could be read.
    """
    wrapped = as_model(model)
    check_dataset(data)
    indices = sample_indices(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no pictures.")
    dataset_pass = DatasetPass.of(wrapped, data, indices)
    store = Store(
        Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="camlucida-")), STORED_COLUMNS, FEATURES_FILE
    )
    with store.lock():
        store.begin({"analysis": "embed", **dataset_pass.record(), "seed": seed}, source)
        run_pass(
            store,
            dataset_pass,
            lambda batch: _extract(wrapped, batch),
            lambda one, answer: _feature_row(dataset_pass, one, answer),
            progress,
        )
        return _build_embedding(store, wrapped, data, way, perplexity, seed)


def _build_embedding(
    store: Store, model: Model, data: Dataset, way: ProjectionMethod, perplexity: float, seed: int
) -> Embedding:
    stored = StoredFeatures.read(store.path)
    if not stored.rows:
        image, reason = stored.failures[0]
        raise DataError(f"no picture of {data.name} could be read: {image}: {reason}")
    projection = project(stored.features, way, perplexity=perplexity, seed=seed)
    with atomic_stream(store.path / "embedding.npy") as stream:
        np.save(stream, stored.features)
    rows = [
        {key: row[key] for key in BASE_COLUMNS} | {"x": float(x), "y": float(y)}
        for row, (x, y) in zip(stored.rows, projection.positions, strict=True)
    ]
    write_table(store.path / PROJECTION_FILE, rows, PROJECTED_COLUMNS, digest=True)
    record = {"way": way, "how": projection.description, "kept": projection.explained_variance}
    atomic_write(store.path / PROJECTION_RECORD, json.dumps(record, indent=2) + "\n")
    return Embedding(store.path, stored.rows, stored.features, projection, stored.failures, stored.place, model, data)


def _extract(model: Model, batch: Tensor) -> list[tuple[Tensor, Tensor, str]]:
    result = penultimate(model, batch)
    return [(*pair, result.place) for pair in zip(result.scores.cpu(), result.features.cpu(), strict=True)]


def _feature_row(dataset_pass: DatasetPass, image: LoadedImage, output: tuple[Tensor, Tensor, str]) -> Row:
    scores, features, place = output
    return {**prediction_row(dataset_pass, image, scores), "place": place, "features": features.tolist()}


def _prediction_text(row: Row) -> str:
    return f"{row['said']} {row['confidence']:.0%}"
