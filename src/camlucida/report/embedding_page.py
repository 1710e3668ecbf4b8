"""The HTML report of an embedding: a scatter plot with images on hover, and a list for keyboard use."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.analysis.embeddings import Embedding
from camlucida.data.datasets import sample_indices
from camlucida.data.images import load_image
from camlucida.errors import CamlucidaError
from camlucida.evaluation.store import Row
from camlucida.render.text import format_percent
from camlucida.report.formatting import count_noun
from camlucida.report.templates import read_asset, write_page
from camlucida.report.thumbnails import data_uri, thumbnail_of

WIDTH_PX, HEIGHT_PX, MARGIN_PX = 900, 620, 16
MAX_POINTS = 4000
"""Maximum number of points; larger data sets are subsampled at random."""
THUMBNAIL_PX, MAX_THUMBNAIL_BYTES = 72, 3_000_000
"""The longer side of a thumbnail in pixels, and the maximum size of all thumbnails in bytes."""
N_COLOURS = 12
"""Number of classes with a colour of their own."""
MAX_LISTED = 600
"""Maximum number of entries of the list, wrong predictions first."""
MAX_FAILURES = 20


def embedding_report(embedding: Embedding, path: str | Path) -> Path:
    """Write the report of an embedding: under 5 MB, self-contained; without scripts, the points and the list remain.

    Args:
        embedding: The embedding.
        path: The HTML file to write.

    Returns:
        The path of the report.

    Raises:
        MissingExtra: If jinja2 is not installed.
    """
    need("jinja2", extra="analysis", what="writing a report")
    return write_page(Path(path).expanduser(), "embedding.html", page_content(embedding))


def page_content(embedding: Embedding) -> dict[str, Any]:
    """Return the variables of the template."""
    chosen = sample_indices(len(embedding.rows), MAX_POINTS, 0)
    rows = [embedding.rows[i] for i in chosen]
    xy = _to_drawing_units(embedding.projection.positions[chosen])
    groups, legend = _colour_groups(rows)
    thumbnails = _thumbnails(embedding, rows)
    points = [
        {"x": f"{x:.1f}", "y": f"{y:.1f}", "k": groups[i], "wrong": row["correct"] is False}
        for i, (row, (x, y)) in enumerate(zip(rows, xy.tolist(), strict=True))
    ]
    return {
        "title": f"Embedding of {embedding.data.name} by {embedding.model.name}",
        "facts": _facts(embedding),
        "sentences": _sentences(embedding, len(rows), len(thumbnails)),
        "points": points,
        "wrong": sum(point["wrong"] for point in points),
        "judged": any(row["correct"] is not None for row in rows),
        "legend": legend,
        "listed": _list_rows(rows),
        "size": (WIDTH_PX, HEIGHT_PX),
        "data": _script_data(rows, thumbnails),
        "script": read_asset("embedding.js"),
        "failures": embedding.failures[:MAX_FAILURES],
        "more": max(0, len(embedding.failures) - MAX_FAILURES),
    }


def _facts(embedding: Embedding) -> list[tuple[str, str]]:
    return [
        ("model", f"{embedding.model.name} (weights {embedding.model.weights_hash})"),
        ("data", f"{embedding.data.name} ({count_noun(len(embedding.rows), 'image')})"),
        ("features", f"{embedding.features.shape[1]:,} per image: {embedding.feature_source}"),
        ("projection", embedding.projection.description),
        ("run", str(embedding.path)),
    ]


def _sentences(embedding: Embedding, n_points: int, n_images: int) -> list[str]:
    texts = []
    if not math.isnan(embedding.agreement):
        texts.append(
            f"{format_percent(embedding.agreement)} of the {embedding.n_comparable:,} images whose class has another "
            "image have a nearest neighbour of the same class, by the cosine similarity of the features, not by the "
            "positions in the plot."
        )
    texts.append(
        "Neighbourhoods in the plot are meaningful; distances between groups, and their sizes, are not."
        if "t-SNE" in embedding.projection.description or "UMAP" in embedding.projection.description
        else "Distances in the plot are those of the first two components only."
    )
    if n_points < len(embedding.rows):
        texts.append(f"The plot shows {n_points:,} of {len(embedding.rows):,} points, sampled at random.")
    if n_images < n_points:
        texts.append(f"{n_images:,} of the points have a thumbnail.")
    return texts


def _to_drawing_units(positions: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scale positions to the units of the drawing, with one scale for both axes and y pointing up."""
    low, high = positions.min(0).astype(np.float64), positions.max(0).astype(np.float64)
    drawing_size = np.array([WIDTH_PX - 2 * MARGIN_PX, HEIGHT_PX - 2 * MARGIN_PX])
    scale = (drawing_size / np.maximum(high - low, 1e-12)).min() if (high > low).any() else 0.0
    middle = np.array([WIDTH_PX / 2, HEIGHT_PX / 2])
    return np.asarray(middle + (positions - (low + high) / 2) * scale * np.array([1, -1]))


def _colour_groups(rows: list[Row]) -> tuple[list[int], list[tuple[int, str, int]]]:
    """Return the colour of each row, and the legend with counts: the largest classes, and one colour for all others."""
    names = [row["label"] or row["predicted"] for row in rows]
    sizes = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    n_own = N_COLOURS if len(sizes) <= N_COLOURS else N_COLOURS - 1
    colours = {name: i for i, (name, _) in enumerate(sizes[:n_own])}
    legend = [(i, name, count) for i, (name, count) in enumerate(sizes[:n_own])]
    rest = sizes[n_own:]
    if rest:
        legend.append((N_COLOURS, f"{len(rest)} other classes", sum(count for _, count in rest)))
    return [colours.get(name, N_COLOURS) for name in names], legend


def _thumbnails(embedding: Embedding, rows: list[Row]) -> dict[int, str]:
    """Return thumbnails by the index of their point, in random order until the size limit is reached."""
    thumbnails: dict[int, str] = {}
    bytes_left = MAX_THUMBNAIL_BYTES
    for i in np.random.default_rng(0).permutation(len(rows)).tolist():
        try:
            image = load_image(embedding.data[rows[i]["index"]].image)
        except CamlucidaError:
            continue
        uri = data_uri(thumbnail_of(image, THUMBNAIL_PX))
        bytes_left -= len(uri)
        if bytes_left < 0:
            break
        thumbnails[i] = uri.partition(",")[2]
    return thumbnails


def _list_rows(rows: list[Row]) -> list[dict[str, Any]]:
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["correct"] is not False, rows[i]["label"] or "", i))
    return [
        {
            "point": i,
            "name": rows[i]["image"],
            "label": rows[i]["label"] or "–",
            "predicted": rows[i]["predicted"],
            "confidence": format_percent(rows[i]["confidence"]),
            "wrong": rows[i]["correct"] is False,
        }
        for i in order[:MAX_LISTED]
    ]


def _script_data(rows: list[Row], thumbnails: dict[int, str]) -> str:
    """Return the data as JSON that cannot end the surrounding script element."""
    content = [
        [row["image"], row["label"] or "", row["predicted"], format_percent(row["confidence"]), thumbnails.get(i, "")]
        for i, row in enumerate(rows)
    ]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
