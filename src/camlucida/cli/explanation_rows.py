"""What `camlucida explain` prints of explanations, and the rows of its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from camlucida.cli.explanation_files import as_set
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation
    from camlucida.attribution.explanation_set import ExplanationSet

COLUMNS = (
    "image", "predicted", "probability", "target", "score", "score_kind", "method", "layer", "peak", "file", "error",
)  # fmt: skip


def as_json(file: Path, result: Explanation | ExplanationSet) -> dict[str, Any]:
    """Return the explanations of an image as an entry of the JSON document."""
    from camlucida.attribution.explanation import Explanation

    items = [result] if isinstance(result, Explanation) else list(result)
    fields = ("target", "score", "score_kind", "method", "layer", "peak")
    return {
        "image": str(file),
        "model": items[0].model,
        "predictions": items[0].predictions,
        "maps": [{name: getattr(e, name) for name in fields} for e in items],
    }


def print_explanation(
    console: Terminal, result: Explanation | ExplanationSet, written: Sequence[Path], *, brief: bool
) -> None:
    """Print the predictions and the explained targets of an image, or one line of many with `brief`."""
    from camlucida.attribution.explanation import Explanation
    from camlucida.render.text import format_confidence

    items = [result] if isinstance(result, Explanation) else list(result)
    first = items[0]
    if brief:
        found = list({e.spec: e for e in items}.values())  # all boxes, regions or words
        top = ", ".join(
            f"{p.name} {format_confidence(p.probability, p.logit, 1)}" for e in found[:5] for p in e.predictions[:1]
        )
        top += f" and {len(found) - 5} more" if len(found) > 5 else ""
        console.print_line(f"{first.source}: {top or first.score_label} → {written[0]}")
        console.note_files(written)
        return
    console.print_line(f"{first.source} · {first.model}")
    if len({e.spec for e in items}) > 1:  # boxes, regions and words have predictions of their own
        console.print_line(f"predictions of {first.target}:")
    table = Table(box=None, pad_edge=False)
    table.add_column("prediction")
    table.add_column("probability", justify="right")
    table.add_column("logit", justify="right")
    for p in first.predictions:
        table.add_row(escape(p.name), "–" if p.probability is None else f"{p.probability:.1%}", f"{p.logit:.2f}")
    console.print(table)
    for e in items:
        console.print_line(f"explained: {e.target} ({e.score_label}) by {e.method} at {e.layer}, {e.grid_label}")
    console.print_paths(written)


def print_agreement(console: Terminal, result: Explanation | ExplanationSet) -> None:
    """Print the rank correlations of all pairs of maps."""
    explanations = as_set(result)
    correlations = explanations.rank_correlation()
    console.print()
    table = Table(title="Rank correlation of the maps", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for number in range(1, len(explanations) + 1):
        table.add_column(f"{number}", justify="right", no_wrap=True)
    for number, (label, row) in enumerate(zip(explanations.labels, correlations, strict=True), start=1):
        table.add_row(f"{number} {escape(label)}", *("–" if value != value else f"{value:.2f}" for value in row))
    console.print(table)


def table_rows(file: Path, result: Explanation | ExplanationSet, written: Sequence[Path]) -> list[dict[str, Any]]:
    """Return a row of results.csv per map of an image."""
    from camlucida.attribution.explanation import Explanation

    items = [result] if isinstance(result, Explanation) else list(result)
    return [
        {
            "image": str(file),
            "predicted": e.predictions[0].name if e.predictions else "",
            "probability": "".join(f"{p.probability:.6f}" for p in e.predictions[:1] if p.probability is not None),
            "target": e.target,
            "score": f"{e.score:.6g}",
            "score_kind": e.score_kind,
            "method": e.method,
            "layer": e.layer,
            "peak": f"{e.peak:.6g}",
            "file": str(written[0]),
            "error": "",
        }
        for e in items
    ]


def failure_row(file: Path, error: CamlucidaError) -> dict[str, Any]:
    """Return the row of results.csv of an image that could not be explained."""
    return {"image": str(file), "error": f"{type(error).__name__}: {error}"}
