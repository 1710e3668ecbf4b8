"""An evaluation as the page shows it: the table, what the paired tests say, curves. Computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from camlucida.evaluation import Evaluation, Summary
from camlucida.evaluation.comparison import holm_corrected
from camlucida.evaluation.metric_checks import untrusted
from camlucida.report.charts import MAX_SERIES, MeanCurve, mean_curve
from camlucida.report.evaluation_page import strongest_control
from camlucida.report.summary_text import TestResults, summary_sentences


@dataclass(eq=False)
class Evaluated:
    """The same numbers and words as on the page that `camlucida report` writes."""

    found: Evaluation

    @cached_property
    def table(self) -> dict[tuple[str, str], Summary]:
        """(metric, method) -> its number with an interval."""
        return {(one.metric, one.method): one for one in self.found.table()}

    @cached_property
    def metrics(self) -> list[str]:
        """Those that were measured at all."""
        return [m for m in self.found.values if any(self.table[m, method].n for method in self.found.methods)]

    @property
    def methods(self) -> list[str]:
        """Without the controls."""
        return [method for method in self.found.methods if method not in self.found.controls]

    @cached_property
    def verdicts(self) -> TestResults:
        """Paired tests of all methods, and of each with the strongest control that knows nothing."""
        judging = self._judging
        strongest = {m: strongest_control(self.found, self.table, m) for m in judging}
        against = [self.found.compare(m, one, other) for m, other in strongest.items() if other for one in self.methods]
        return TestResults(
            self.found, self.table, self.found.comparisons(judging), holm_corrected(against), untrusted(self.found)
        )

    @cached_property
    def sentences(self) -> list[str]:
        """What the numbers say."""
        agreement = self.found.agreement(self._judging) if len(self._judging) > 1 and len(self.methods) > 2 else None
        return summary_sentences(self.verdicts, agreement)

    def curves(self, metric: str) -> tuple[Sequence[str], list[MeanCurve]]:
        """What the axes are, and a mean curve with its band for each of the first methods; none where none are kept."""
        axes = self.found.values[metric].axes if metric in self.found.values else None
        if not axes:
            return (), []
        kept = {method: self.found.curves(metric, method) for method in self.methods[:MAX_SERIES]}
        return axes, [mean_curve(method, curves) for method, curves in kept.items() if curves is not None]

    @property
    def _judging(self) -> list[str]:
        return [m for m in self.metrics if self.found.values[m].better != "neither"]
