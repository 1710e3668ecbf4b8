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
from camlucida._files import atomic_stream, atomic_write, write_picture
from camlucida.analysing.features import penultimate
from camlucida.analysing.neighbours import agreement, nearest
from camlucida.analysing.passing import COLUMNS, Pass, Shown, go, judged
from camlucida.analysing.projecting import PERPLEXITY, Projection, Way, project
from camlucida.data.datasets import DataSet, check_dataset, spread
from camlucida.data.images import load_image
from camlucida.errors import DataError
from camlucida.errors import nearest as nearest_name
from camlucida.evaluation.store import Row, Store, read_table, write_table
from camlucida.explaining import as_model
from camlucida.looking import small
from camlucida.models.model import Model
from camlucida.options import Count, Positive, Seed, checked_arguments
from camlucida.render.strips import Frame, Strip, strips
from camlucida.types import ProgressCallback

KEPT = COLUMNS | {"place": "string", "features": "list<float>"}
PLACED = COLUMNS | {"x": "float64", "y": "float64"}
RESULT, PLACES, SAID = "features.parquet", "embedding.parquet", "projection.json"
NEIGHBOURS, ROWS = 6, 6


@dataclass(frozen=True, eq=False)
class Features:
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
    def read(cls, path: Path) -> Features:
        """Those in the folder, which is only read."""
        rows: list[Row] = []
        failures: list[tuple[str, str]] = []
        values: list[NDArray[np.float32]] = []
        for table in Store(path, KEPT, RESULT).tables():
            known = table.filter(table["error"].is_null())
            rows += known.drop_columns(["features"]).to_pylist()
            values += [np.asarray(one.values, dtype=np.float32) for one in known["features"]]
            failed = table.filter(table["error"].is_valid()).to_pydict()
            failures += list(zip(failed["picture"], failed["error"], strict=True))
        features = np.stack(values) if values else np.zeros((0, 0), dtype=np.float32)
        return cls(rows, features, failures, rows[0]["place"] if rows else "")


def projected(path: Path, rows: Sequence[Row]) -> tuple[Way, Projection] | None:
    """How the folder says its pictures were put on a plane; None where it does not say it of just these rows."""
    file, said = path / PLACES, path / SAID
    if not file.is_file() or not said.is_file():
        return None
    try:
        table = read_table(file)
        if table["index"].to_pylist() != [row["index"] for row in rows]:
            return None
        about = json.loads(said.read_text(encoding="utf-8"))
        places = np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()]).astype(np.float32)
        return about["way"], Projection(places, about["how"], about["kept"])
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
    data: DataSet

    @property
    def names(self) -> list[str]:
        return [row["picture"] for row in self.rows]

    @cached_property
    def agreement(self) -> float:
        """Of the pictures with a label, how many have a nearest neighbour with the same one. NaN without labels."""
        labelled = [i for i, row in enumerate(self.rows) if row["label"] is not None]
        names = sorted({self.rows[i]["label"] for i in labelled})
        labels = np.array([names.index(self.rows[i]["label"]) for i in labelled], dtype=np.int64)
        return agreement(self.features[labelled], labels)

    def nearest(self, picture: str | int, n: int = NEIGHBOURS) -> list[tuple[Row, float]]:
        """The n pictures most like one, by its name or its row here, with the cosine of their features."""
        found, cosines = nearest(self.features, np.array([self._row(picture)]), n)
        return [(self.rows[i], float(cosine)) for i, cosine in zip(found[0], cosines[0], strict=True)]

    def figure(self, pictures: Sequence[str | int] | None = None, n: int = NEIGHBOURS) -> Image.Image:
        """A row a picture: the picture, and its nearest neighbours. Six of them drawn at random where none is named."""
        asked = list(pictures) if pictures else spread(len(self.rows), min(ROWS, len(self.rows)), 0)
        if len(self.rows) < 2:
            raise DataError("a picture alone has no neighbours.")
        made = [self._strip(self._row(picture), n) for picture in asked]
        return strips(
            made,
            title="What it takes for alike",
            subtitle=f"a picture of {self.data.name}, and the nearest others to {self.model.name}",
            footer=f"cosine of {self.place} · red: another class · camlucida {camlucida.__version__}",
        )

    def save(self, path: str | Path, pictures: Sequence[str | int] | None = None) -> list[Path]:
        """The neighbours' sheet as a picture; returns the files written."""
        write_picture(lambda: self.figure(pictures), Path(path))
        return [Path(path)]

    def _strip(self, row: int, n: int) -> Strip:
        own = self.rows[row]
        frames = [Frame(None, own["picture"], _said(own), picture=self._photo(own))]
        for other, cosine in self.nearest(row, n):
            unlike = own["label"] is not None and other["label"] != own["label"]
            caption = f"{cosine:.2f} · {other['label'] or other['said']}"
            frames.append(Frame(None, other["picture"], caption, warning=unlike, picture=self._photo(other)))
        return Strip(own["label"] or own["picture"], f"taken for {own['said']}", own["correct"] is False, frames)

    def _photo(self, row: Row) -> Image.Image:
        return small(load_image(self.data[row["index"]].image))

    def _row(self, picture: str | int) -> int:
        if isinstance(picture, int):
            if not 0 <= picture < len(self.rows):
                raise DataError(f"no picture {picture}: there are {len(self.rows)}, from 0.")
            return picture
        ends = [i for i, name in enumerate(self.names) if name == picture or name.endswith(f"/{picture}")]
        if len(ends) != 1:
            several = f"{len(ends)} pictures are called" if ends else "no picture is called"
            raise DataError(f"{several} {picture!r}.{nearest_name(picture, self.names)}")
        return ends[0]


@checked_arguments(DataError)
def embed(
    model: Model | nn.Module | str,
    data: DataSet,
    *,
    way: Way = "tsne",
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
    indices = spread(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no pictures.")
    run = Pass.of(wrapped, data, indices)
    store = Store(Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="camlucida-")), KEPT, RESULT)
    with store.alone():
        store.begin({"analysis": "embed", **run.record(), "seed": seed}, source)
        go(store, run, lambda batch: _ask(wrapped, batch), lambda one, answer: _described(run, one, answer), progress)
        return _embedding(store, wrapped, data, way, perplexity, seed)


def _embedding(store: Store, model: Model, data: DataSet, way: Way, perplexity: float, seed: int) -> Embedding:
    known = Features.read(store.path)
    if not known.rows:
        picture, reason = known.failures[0]
        raise DataError(f"no picture of {data.name} could be read: {picture}: {reason}")
    found = project(known.features, way, perplexity=perplexity, seed=seed)
    with atomic_stream(store.path / "embedding.npy") as stream:
        np.save(stream, known.features)
    placed = [
        {key: row[key] for key in COLUMNS} | {"x": float(x), "y": float(y)}
        for row, (x, y) in zip(known.rows, found.places, strict=True)
    ]
    write_table(store.path / PLACES, placed, PLACED, digest=True)
    said = {"way": way, "how": found.how, "kept": found.kept}
    atomic_write(store.path / SAID, json.dumps(said, indent=2) + "\n")
    return Embedding(store.path, known.rows, known.features, found, known.failures, known.place, model, data)


def _ask(model: Model, batch: Tensor) -> list[tuple[Tensor, Tensor, str]]:
    found = penultimate(model, batch)
    return [(*pair, found.place) for pair in zip(found.scores.cpu(), found.features.cpu(), strict=True)]


def _described(run: Pass, one: Shown, answer: tuple[Tensor, Tensor, str]) -> Row:
    scores, features, place = answer
    return {**judged(run, one, scores), "place": place, "features": features.tolist()}


def _said(row: Row) -> str:
    return f"{row['said']} {row['confidence']:.0%}"
