"""What is known of each image beside the model's output, as groups: by category, by quantile, by similarity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.audits.audit_result import Audit
from camlucida.audits.plan import FEATURES
from camlucida.seeds import short_seed

N_BINS = 4
"""Bins of a column of numbers, with about equally many images."""
MAX_CATEGORIES = 8
"""Largest number of different numbers that are categories of their own; columns with more are divided into bins."""
IMAGES_PER_CLUSTER = 100
"""Images per cluster of the features, on average."""
MAX_CLUSTERS = 12
MAX_CLUSTERED = 20_000
"""Largest number of images that k-means is fitted to; of more, a random sample. All are assigned to a cluster."""


@dataclass(frozen=True, eq=False)
class Attribute:
    """A division of the images into groups by one column.

    Attributes:
        column: The column of the audit's table, or "metadata.NAME", "image_area", "aspect", "cluster".
        groups: Group of each image `(n,)`; -1 where the column has no value.
        names: The name of each group, a condition such as "brightness in (0.61, 0.92]".
        conditions: The same to be read by programs: "column" with "value", or with "low" and "high", of which the lower
            one is excluded except in the first bin.
        settings: What determines the groups beside the data: the edges of the bins, or the medoids of the clusters.
    """

    column: str
    groups: NDArray[np.int64]
    names: tuple[str, ...]
    conditions: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def attributes(audit: Audit, seed: int = 0) -> list[Attribute]:
    """Return the divisions of the images of an audit by every attribute that takes more than one value.

    The attributes are those of the image, its label and its annotations, which do not depend on the model, and the
    cluster of its features. Where rows are targets, false detections have no label, and "class" is the predicted one.

    Args:
        audit: The audit.
        seed: Seed of k-means.
    """
    width, height = audit.column("width"), audit.column("height")
    with np.errstate(divide="ignore", invalid="ignore"):
        numbers = {
            "box_area": audit.column("box_area"),
            "n_boxes": audit.column("n_boxes"),
            "object_x": audit.column("object_x"),
            "object_y": audit.column("object_y"),
            "image_area": width * height,
            "aspect": width / height,
            "brightness": audit.column("brightness"),
        }
    classes = (
        by_category("class", _classes(audit)) if audit.has_targets else by_category("label", audit.column("label"))
    )
    found: list[Attribute | None] = [classes, by_category("split", _splits(audit))]
    found += [by_number(name, values) for name, values in numbers.items()]
    found += [by_value(f"metadata.{name}", values) for name, values in metadata_columns(audit).items()]
    found.append(by_cluster(audit, seed))
    return [attribute for attribute in found if attribute is not None and len(np.unique(attribute.groups)) > 1]


def metadata_columns(audit: Audit) -> dict[str, NDArray[Any]]:
    """Return the further columns of the data set's table, each as an array `(n,)` of values, None where missing."""
    parsed = [json.loads(text) if text else {} for text in audit.column("metadata")]
    names = sorted({name for values in parsed for name in values})
    columns = {}
    for name in names:
        column = np.empty(len(parsed), dtype=object)
        column[:] = [values.get(name) for values in parsed]
        columns[name] = column
    return columns


def by_value(column: str, values: NDArray[Any]) -> Attribute | None:
    """Divide by a column of values of any type: by quantile if all are numbers, also as text; otherwise by category."""
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, bool):
            return by_category(column, values)
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError):
            return by_category(column, values)
    return by_number(column, numbers)


def by_category(column: str, values: NDArray[Any]) -> Attribute | None:
    """Divide by a column of texts, truth values or other categories; None without any value."""
    texts = np.array(["" if value is None else str(value) for value in values])
    known = np.array([value is not None for value in values], dtype=bool)
    categories = np.unique(texts[known]) if known.any() else texts[:0]
    groups = np.where(known, np.searchsorted(categories, texts) if len(categories) else 0, -1).astype(np.int64)
    if not len(categories):
        return None
    conditions = tuple({"column": column, "value": str(category)} for category in categories)
    return Attribute(column, groups, tuple(f"{column} = {category}" for category in categories), conditions)


def by_number(column: str, values: NDArray[np.float64]) -> Attribute | None:
    """Divide by a column of numbers into bins of about equally many images; None without any finite value.

    A column of at most eight different numbers is divided by number.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return None
    different = np.unique(values[finite])
    if len(different) <= MAX_CATEGORIES:
        groups = np.where(finite, np.searchsorted(different, values), -1).astype(np.int64)
        names = tuple(f"{column} = {number:.4g}" for number in different)
        return Attribute(column, groups, names, tuple({"column": column, "value": float(v)} for v in different))
    edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, N_BINS + 1)))
    groups = np.where(finite, np.searchsorted(edges[1:-1], values), -1).astype(np.int64)
    names = tuple(
        f"{column} in {'[' if i == 0 else '('}{low:.3g}, {high:.3g}]" for i, (low, high) in enumerate(pairwise(edges))
    )
    conditions = tuple({"column": column, "low": float(low), "high": float(high)} for low, high in pairwise(edges))
    return Attribute(column, groups, names, conditions, {"edges": [float(edge) for edge in edges]})


def by_cluster(audit: Audit, seed: int = 0) -> Attribute | None:
    """Divide by the clusters of the features, by k-means after standardising each channel.

    A cluster is named by its medoid, the member that is nearest to the mean.

    Returns:
        The division; None if the audit has no features, or too few images for two clusters.
    """
    if FEATURES not in audit.store.array_names:
        return None
    features = audit.features().astype(np.float32)
    usable = np.flatnonzero(np.isfinite(features).all(1)) if features.shape[1] else np.zeros(0, dtype=np.int64)
    n_clusters = min(MAX_CLUSTERS, len(usable) // IMAGES_PER_CLUSTER)
    if n_clusters < 2:
        return None
    points = standardised(features[usable])
    cluster = need("sklearn.cluster", extra="analysis", what="clusters of the features")
    sample = np.random.default_rng(seed).permutation(len(points))[:MAX_CLUSTERED]
    model = cluster.KMeans(n_clusters, n_init=4, random_state=short_seed(seed)).fit(points[sample])
    groups = np.full(len(features), -1, dtype=np.int64)
    groups[usable] = model.predict(points)
    images = audit.column("image")
    medoids = []
    for number, center in enumerate(model.cluster_centers_):
        members = np.flatnonzero(groups[usable] == number)
        nearest = np.argmin(np.linalg.norm(points[members] - center, axis=1)) if len(members) else -1
        medoids.append(int(usable[members[nearest]]) if len(members) else -1)
    names = tuple(f"like {images[medoid]}" if medoid >= 0 else "empty cluster" for medoid in medoids)
    conditions = tuple({"column": "cluster", "value": number} for number in range(n_clusters))
    return Attribute("cluster", groups, names, conditions, {"medoids": medoids})


def standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features `(n, c)` with mean 0 and standard deviation 1 in each channel; constant channels are 0."""
    deviation = features.std(0)
    centered = features - features.mean(0)
    result: NDArray[np.float32] = np.divide(centered, deviation, out=np.zeros_like(centered), where=deviation > 1e-6)
    return result


def _classes(audit: Audit) -> NDArray[Any]:
    """Return the class of the object of each target, or of a false detection the predicted one."""
    labels, predicted = audit.column("label"), audit.column("predicted")
    return np.where(np.array([label is None for label in labels]), predicted, labels)


def _splits(audit: Audit) -> NDArray[Any]:
    """Return the splits, None where an image has none."""
    values = audit.column("split")
    values[values == ""] = None
    return values
