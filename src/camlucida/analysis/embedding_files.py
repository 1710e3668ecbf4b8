"""The files of an embedding: penultimate features and their projection, in the folder of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camlucida.analysis.projection import Projection, ProjectionMethod
from camlucida.errors import DataError
from camlucida.evaluation.prediction_rows import BASE_COLUMNS
from camlucida.evaluation.store import Row, Store, read_table

STORED_COLUMNS = BASE_COLUMNS | {"feature_source": "string", "features": "list<float>"}

PROJECTED_COLUMNS = BASE_COLUMNS | {"x": "float64", "y": "float64"}

FEATURES_FILE, PROJECTION_FILE, PROJECTION_RECORD = "features.parquet", "embedding.parquet", "projection.json"


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """The penultimate features of the images, as stored in a run's folder. The run need not be complete.

    Attributes:
        rows: Rows of the images that have features, in the order of `features`.
        features: Features `(n, c)`.
        failures: Images that could not be read or run, each with the error message.
        feature_source: Where in the network the features were taken.
    """

    rows: list[Row]
    features: NDArray[np.float32]
    failures: list[tuple[str, str]]
    feature_source: str

    @classmethod
    def read(cls, path: Path) -> StoredFeatures:
        """Read the features in a folder, without modifying it."""
        rows: list[Row] = []
        failures: list[tuple[str, str]] = []
        values: list[NDArray[np.float32]] = []
        for table in Store(path, STORED_COLUMNS, FEATURES_FILE).tables():
            known = table.filter(table["error"].is_null())
            rows += known.drop_columns(["features"]).to_pylist()
            values += [np.asarray(vector.values, dtype=np.float32) for vector in known["features"]]
            failed = table.filter(table["error"].is_valid()).to_pydict()
            failures += list(zip(failed["image"], failed["error"], strict=True))
        features = np.stack(values) if values else np.zeros((0, 0), dtype=np.float32)
        return cls(rows, features, failures, rows[0]["feature_source"] if rows else "")


def read_projection(path: Path, rows: Sequence[Row]) -> tuple[ProjectionMethod, Projection] | None:
    """Return the stored projection of exactly these rows, or None if the folder has none."""
    file, record_file = path / PROJECTION_FILE, path / PROJECTION_RECORD
    if not file.is_file() or not record_file.is_file():
        return None
    try:
        table = read_table(file)
        if table["index"].to_pylist() != [row["index"] for row in rows]:
            return None
        record = json.loads(record_file.read_text(encoding="utf-8"))
        positions = np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()]).astype(np.float32)
        return record["way"], Projection(positions, record["description"], record["explained_variance"])
    except (OSError, ValueError, KeyError, TypeError, DataError):  # damaged: the projection is recomputed
        return None
