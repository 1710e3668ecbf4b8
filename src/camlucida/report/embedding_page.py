"""The page of an embedding: a scatter to look into, with the picture under the pointer, and a list for the keyboard."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.analysing.embeddings import Embedding
from camlucida.data.datasets import spread
from camlucida.data.images import load_image
from camlucida.errors import CamlucidaError
from camlucida.evaluation.store import Row
from camlucida.extras import need
from camlucida.render.display import show_picture, shown_size
from camlucida.render.text import percent
from camlucida.report.numbers import counted
from camlucida.report.rendering import text_of, write_page
from camlucida.report.thumbnails import as_uri

WIDTH, HEIGHT, EDGE = 900, 620, 16
POINTS = 4000
"""Points on the page at most; of more, so many are drawn at random."""
THUMBNAIL, ROOM = 72, 3_000_000
"""The longer side of a picture in pixels, and bytes that all of them may take."""
COLOURS = 12
"""Classes that have a colour of their own."""
LISTED = 600
"""Lines of the list at most, the wrong answers first."""
FAILURES = 20


def embedding_report(found: Embedding, path: str | Path) -> Path:
    """Write the page: under 5 MB, no other host, no other file. Without scripts the points and the list stay.

    Raises `MissingExtra` where jinja2 is not installed.
    """
    need("jinja2", extra="analysis", what="writing a report")
    return write_page(Path(path).expanduser(), "embedding.html", view(found))


def view(found: Embedding) -> dict[str, Any]:
    """Everything that the template puts on the page."""
    chosen = spread(len(found.rows), POINTS, 0)
    rows = [found.rows[i] for i in chosen]
    xy = _on_paper(found.projection.places[chosen])
    groups, named = _groups(rows)
    photos = _thumbnails(found, rows)
    points = [
        {"x": f"{x:.1f}", "y": f"{y:.1f}", "k": groups[i], "wrong": row["correct"] is False}
        for i, (row, (x, y)) in enumerate(zip(rows, xy.tolist(), strict=True))
    ]
    return {
        "title": f"What {found.model.name} takes for alike in {found.data.name}",
        "facts": _facts(found),
        "sentences": _sentences(found, len(rows), len(photos)),
        "points": points,
        "wrong": sum(point["wrong"] for point in points),
        "judged": any(row["correct"] is not None for row in rows),
        "legend": named,
        "listed": _listed(rows),
        "size": (WIDTH, HEIGHT),
        "data": _script_data(rows, photos),
        "script": text_of("embedding.js"),
        "failures": found.failures[:FAILURES],
        "more": max(0, len(found.failures) - FAILURES),
    }


def _facts(found: Embedding) -> list[tuple[str, str]]:
    return [
        ("model", f"{found.model.name} (weights {found.model.weights_hash})"),
        ("data", f"{found.data.name} ({counted(len(found.rows), 'picture')})"),
        ("features", f"{found.features.shape[1]:,} numbers a picture: {found.place}"),
        ("projection", found.projection.how),
        ("run", str(found.path)),
    ]


def _sentences(found: Embedding, shown: int, photos: int) -> list[str]:
    said = []
    if not math.isnan(found.agreement):
        said.append(
            f"Of the pictures with a label, {percent(found.agreement)} have a nearest neighbour with the same one: by "
            "the cosine of the features, not by the place on this page."
        )
    said.append(
        "Who is near to whom means something here; how far groups lie apart, and how large they are, does not."
        if "t-SNE" in found.projection.how or "UMAP" in found.projection.how
        else "Distances are those of the first two components only."
    )
    if shown < len(found.rows):
        said.append(f"{shown:,} of {len(found.rows):,} points are drawn, chosen at random.")
    if photos < shown:
        said.append(f"{photos:,} of the points have their picture with them.")
    return said


def _on_paper(places: NDArray[np.float32]) -> NDArray[np.float64]:
    """Places in the units of the drawing, with one scale for both axes, y upwards."""
    low, high = places.min(0).astype(np.float64), places.max(0).astype(np.float64)
    room = np.array([WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE])
    scale = (room / np.maximum(high - low, 1e-12)).min() if (high > low).any() else 0.0
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    return np.asarray(middle + (places - (low + high) / 2) * scale * np.array([1, -1]))


def _groups(rows: list[Row]) -> tuple[list[int], list[tuple[int, str, int]]]:
    """Each row's colour, and what the colours mean with how many: the largest classes, one for all others."""
    names = [row["label"] or row["said"] for row in rows]
    sizes = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    own = COLOURS if len(sizes) <= COLOURS else COLOURS - 1
    colours = {name: i for i, (name, _) in enumerate(sizes[:own])}
    legend = [(i, name, count) for i, (name, count) in enumerate(sizes[:own])]
    rest = sizes[own:]
    if rest:
        legend.append((COLOURS, f"{len(rest)} other classes", sum(count for _, count in rest)))
    return [colours.get(name, COLOURS) for name in names], legend


def _thumbnails(found: Embedding, rows: list[Row]) -> dict[int, str]:
    """Small pictures by the number of their point, as many as there is room for, drawn at random."""
    made: dict[int, str] = {}
    room = ROOM
    for i in np.random.default_rng(0).permutation(len(rows)).tolist():
        try:
            picture = load_image(found.data[rows[i]["index"]].image)
        except CamlucidaError:
            continue
        uri = as_uri(show_picture(picture, shown_size(picture.size, (THUMBNAIL, THUMBNAIL))))
        room -= len(uri)
        if room < 0:
            break
        made[i] = uri.partition(",")[2]
    return made


def _listed(rows: list[Row]) -> list[dict[str, Any]]:
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["correct"] is not False, rows[i]["label"] or "", i))
    return [
        {
            "point": i,
            "name": rows[i]["picture"],
            "label": rows[i]["label"] or "–",
            "said": rows[i]["said"],
            "chance": percent(rows[i]["confidence"]),
            "wrong": rows[i]["correct"] is False,
        }
        for i in order[:LISTED]
    ]


def _script_data(rows: list[Row], photos: dict[int, str]) -> str:
    """As JSON that cannot end the script it stands in."""
    content = [
        [row["picture"], row["label"] or "", row["said"], percent(row["confidence"]), photos.get(i, "")]
        for i, row in enumerate(rows)
    ]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
