"""Test every map of one explained image, for `camlucida explain --trust`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from camlucida.cli.progress import ExplanationProgress, progress_bar
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation
    from camlucida.attribution.explanation_set import ExplanationSet
    from camlucida.models.model import Model


def print_verdicts(console: Terminal, model: Model, result: Explanation | ExplanationSet) -> None:
    """Run the tests of `trust` on each map, about 125 forward passes for each, and print the verdicts.

    A map that cannot be tested is a row with the reason.
    """
    from camlucida.attribution.explanation import Explanation
    from camlucida.reliability import trust_each

    items: list[Any] = [result] if isinstance(result, Explanation) else list(result)
    table = Table(title="Verdict on each map", title_justify="left", box=None, pad_edge=False)
    for name in ("target", "method", "layer", "verdict"):
        table.add_column(name)
    verdicts: list[dict[str, str]] = []
    with progress_bar(console, len(items)) as progress:
        bars = ExplanationProgress(progress, len(items), "trust")
        for (_, tested), explanation in zip(trust_each(model, items, progress=bars.runs), items, strict=True):
            text = f"not tested: {tested}" if isinstance(tested, CamlucidaError) else str(tested.verdict)
            cells = (explanation.target, explanation.method, explanation.layer, text)
            table.add_row(*map(escape, cells))
            verdicts.append(dict(zip(("target", "method", "layer", "verdict"), cells, strict=True)))
            bars.advance()
    console.print()
    console.print(table)
    console.add(verdicts=verdicts)
