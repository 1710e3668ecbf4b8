"""An evaluation as the app displays it: scores, results of the paired tests, curves. Each is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from camlucida.evaluation import Evaluation, Summary
from camlucida.evaluation.comparison import holm_corrected
from camlucida.evaluation.metric_checks import untrusted
from camlucida.report.charts import MAX_SERIES, MeanCurve
from camlucida.report.evaluation_page import mean_curve_of, strongest_control
from camlucida.report.summary_text import TestResults, summary_sentences


@dataclass(eq=False)
class EvaluationView:
    """The numbers and sentences of an evaluation, the same as in the report of `camlucida report`."""

    evaluation: Evaluation

    @cached_property
    def table(self) -> dict[tuple[str, str], Summary]:
        """The summary of each (metric, method), with its interval."""
        return {(summary.metric, summary.method): summary for summary in self.evaluation.table()}

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that were measured for at least one method."""
        return [m for m in self.evaluation.values if any(self.table[m, method].n for method in self.evaluation.methods)]

    @property
    def methods(self) -> list[str]:
        """The methods without the controls."""
        return [method for method in self.evaluation.methods if method not in self.evaluation.controls]

    @cached_property
    def verdicts(self) -> TestResults:
        """Paired tests of all pairs of methods, and of each method with the strongest uninformative baseline."""
        ranked = self._ranking_metrics
        strongest = {m: strongest_control(self.evaluation, self.table, m) for m in ranked}
        with_control = [
            self.evaluation.compare(m, method, control)
            for m, control in strongest.items()
            if control
            for method in self.methods
        ]
        return TestResults(
            self.evaluation,
            self.table,
            self.evaluation.comparisons(ranked),
            holm_corrected(with_control),
            untrusted(self.evaluation),
        )

    @cached_property
    def sentences(self) -> list[str]:
        """The summary sentences."""
        agreement = (
            self.evaluation.agreement(self._ranking_metrics)
            if len(self._ranking_metrics) > 1 and len(self.methods) > 2
            else None
        )
        return summary_sentences(self.verdicts, agreement)

    def curves(self, metric: str) -> tuple[Sequence[str], list[MeanCurve]]:
        """Return the axis labels of a metric and the mean curves of the first methods, with their 95 % bands.

        Args:
            metric: A metric of the evaluation.

        Returns:
            The labels of the x and y axis, and one curve per method; both are empty if no curves are kept.
        """
        axes = self.evaluation.values[metric].axes if metric in self.evaluation.values else None
        if not axes:
            return (), []
        stored = {method: self.evaluation.curves(metric, method) for method in self.methods[:MAX_SERIES]}
        return axes, [mean_curve_of(self.evaluation, metric, m, c) for m, c in stored.items() if c is not None]

    @property
    def _ranking_metrics(self) -> list[str]:
        return [m for m in self.metrics if self.evaluation.values[m].better != "neither"]
