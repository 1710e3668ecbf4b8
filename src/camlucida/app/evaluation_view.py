"""An evaluation as the app displays it: scores, results of the paired tests, curves. Each is computed once."""

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
    """The numbers and sentences of an evaluation, the same as in the report of `camlucida report`."""

    found: Evaluation

    @cached_property
    def table(self) -> dict[tuple[str, str], Summary]:
        """The summary of each (metric, method), with its interval."""
        return {(one.metric, one.method): one for one in self.found.table()}

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that were measured for at least one method."""
        return [m for m in self.found.values if any(self.table[m, method].n for method in self.found.methods)]

    @property
    def methods(self) -> list[str]:
        """The methods without the controls."""
        return [method for method in self.found.methods if method not in self.found.controls]

    @cached_property
    def verdicts(self) -> TestResults:
        """Paired tests of all pairs of methods, and of each method with the strongest uninformative baseline."""
        judging = self._judging
        strongest = {m: strongest_control(self.found, self.table, m) for m in judging}
        against = [self.found.compare(m, one, other) for m, other in strongest.items() if other for one in self.methods]
        return TestResults(
            self.found, self.table, self.found.comparisons(judging), holm_corrected(against), untrusted(self.found)
        )

    @cached_property
    def sentences(self) -> list[str]:
        """The summary sentences."""
        agreement = self.found.agreement(self._judging) if len(self._judging) > 1 and len(self.methods) > 2 else None
        return summary_sentences(self.verdicts, agreement)

    def curves(self, metric: str) -> tuple[Sequence[str], list[MeanCurve]]:
        """Return the axis labels of a metric and the mean curves of the first methods, with their 95 % bands.

        Args:
            metric: A metric of the evaluation.

        Returns:
            The labels of the x and y axis, and one curve per method; both are empty if no curves are kept.
        """
        axes = self.found.values[metric].axes if metric in self.found.values else None
        if not axes:
            return (), []
        kept = {method: self.found.curves(metric, method) for method in self.methods[:MAX_SERIES]}
        return axes, [mean_curve(method, curves) for method, curves in kept.items() if curves is not None]

    @property
    def _judging(self) -> list[str]:
        return [m for m in self.metrics if self.found.values[m].better != "neither"]
