"""The summary of an evaluation as sentences, which are derived from the numbers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from camlucida.evaluation.comparison import Agreement, Comparison
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Image, Summary
from camlucida.evaluation.target_regions import NO_REGION
from camlucida.report.formatting import count_noun, format_interval, format_number, join_names

MAX_SENTENCES = 4
"""Maximum number of metrics that the summary describes; the tables contain all of them."""
MAX_CONFLICT_TAU = -0.3


@dataclass(frozen=True, eq=False)
class TestResults:
    """The results of the paired tests.

    Attributes:
        evaluation: The evaluation.
        table: The summary of each (metric, method).
        comparisons: All pairs of methods by every metric with a direction, corrected together.
        control_comparisons: Each method with the strongest uninformative baseline, corrected together.
        untrusted: Metrics that cannot rank the controls, with the reason.
    """

    evaluation: Evaluation
    table: Mapping[tuple[str, str], Summary]
    comparisons: Sequence[Comparison]
    control_comparisons: Sequence[Comparison]
    untrusted: Mapping[str, str]

    @property
    def methods(self) -> list[str]:
        """The methods without the controls."""
        return [m for m in self.evaluation.methods if m not in self.evaluation.controls]

    def ranked(self, metric: str) -> list[Summary]:
        """Return the methods with a finite score, best first."""
        summaries = [self.table[metric, m] for m in self.methods if np.isfinite(self.table[metric, m].value)]
        return sorted(summaries, key=lambda s: s.value, reverse=self.evaluation.values[metric].better == "high")

    def best(self, metric: str) -> list[str]:
        """Return the method that the paired tests find better than every other; several if their maps are identical."""
        order = self.ranked(metric)
        if len(order) < 2 or self.evaluation.values[metric].better == "neither" or metric in self.untrusted:
            return []
        first = order[0].method
        same_maps = [first, *(o.method for o in order[1:] if self.evaluation.same_maps(first, o.method))]
        others = [o.method for o in order if o.method not in same_maps]
        wins = others and all(self.winner(metric, first, other) == first for other in others)
        return same_maps if wins else []

    def winner(self, metric: str, first: str, second: str) -> str:
        """Return the better one of two methods, or "" if the test is not significant."""
        return next(
            (c.winner for c in self.comparisons if c.metric == metric and {c.first, c.second} == {first, second}), ""
        )


def summary_sentences(results: TestResults, agreement: Agreement | None) -> list[str]:
    """Return the sentences at the top of the report."""
    evaluation = results.evaluation
    judging = [m for m, meaning in evaluation.values.items() if meaning.better != "neither" and results.ranked(m)]
    texts = [*_similarity_sentences(evaluation)]
    texts += [_best_sentence(results, metric) for metric in judging if metric not in results.untrusted][:MAX_SENTENCES]
    texts += _control_sentences(results, [m for m in judging if m not in results.untrusted])
    texts += _accuracy_sentence(results, judging)
    texts += _conflict_sentences(agreement)
    if untrusted := [m for m in judging if m in results.untrusted]:
        verb, subject = ("is", "it does") if len(untrusted) == 1 else ("are", "they do")
        texts.append(
            f"{join_names(untrusted)} {verb} not reliable here: {subject} not separate the controls on this model."
        )
    texts += _invalid_sentences(results)
    return texts


def _similarity_sentences(evaluation: Evaluation) -> list[str]:
    texts = []
    for similarity in evaluation.map_similarities:
        n = len(similarity.differences)
        if not n:
            texts.append(f"The maps of {similarity.first} and {similarity.second} could not be compared.")
        elif similarity.same_map:
            texts.append(
                f"The maps of {similarity.first} and {similarity.second} are equal up to a positive factor on all "
                f"{count_noun(n, 'image')}: after scaling they differ by at most "
                f"{format_number(float(similarity.differences.max()))} of the maximum, and "
                f"their rank correlation is at least {similarity.correlations.min():.4f}. Neither is better."
            )
        else:
            low, median = float(similarity.correlations.min()), float(np.median(similarity.correlations))
            texts.append(
                f"The maps of {similarity.first} and {similarity.second} differ: their rank correlation over "
                f"{count_noun(n, 'image')} has a median of {median:.2f} and a minimum of {low:.2f}."
            )
    return texts


def _best_sentence(results: TestResults, metric: str) -> str:
    order = results.ranked(metric)
    better = results.evaluation.values[metric].better
    first = order[0]
    head = f"By {metric} ({better}er is better)"
    equal_maps = [s for s in order[1:] if results.evaluation.same_maps(first.method, s.method)]
    if len(order) == 1:
        return f"{head}, {first.method} has {_value_text(first)}."
    if all(s.value == first.value for s in order):
        return f"{head}, all methods have the same score, {format_number(first.value)}."
    # Maps that are equal up to a factor can have different scores by a metric with a threshold: each has its own.
    leaders = [first, *(s for s in equal_maps if _value_text(s) == _value_text(first))]
    names, several = join_names([s.method for s in leaders]), len(leaders) > 1
    others = [s for s in order[1:] if s not in equal_maps]
    unclear = [s.method for s in others if results.winner(metric, first.method, s.method) == ""]
    if not others:
        text = f"{head}, {names} {'have' if several else 'has'} {_value_text(first)}."
    elif not unclear:
        text = (
            f"{head}, {names} {'are' if several else 'is'} best with {_value_text(first)}, significantly better than "
            f"all {count_noun(len(others), 'other method')}."
        )
    else:
        text = (
            f"{head}, {names} {'have' if several else 'has'} the best score, {_value_text(first)}, but not "
            f"significantly better than {join_names(unclear)}."
        )
    return " ".join([text, *_equal_maps_sentence([s for s in equal_maps if s not in leaders])])


def _equal_maps_sentence(equal_maps: Sequence[Summary]) -> list[str]:
    """Return the values of methods whose maps equal the leader's up to a positive factor, but not their scores."""
    if not equal_maps:
        return []
    values = join_names([f"{s.method} {_value_text(s)}" for s in equal_maps])
    return [f"With maps that are equal up to a positive factor: {values}."]


def _value_text(summary: Summary) -> str:
    return f"{format_number(summary.value)} ({format_interval(summary.low, summary.high)})"


def _control_sentences(results: TestResults, judging: Sequence[str]) -> list[str]:
    """Return which methods are better than the strongest uninformative baseline."""
    texts = []
    for metric in judging:
        metric_comparisons = [c for c in results.control_comparisons if c.metric == metric]
        if not metric_comparisons:
            continue
        control = metric_comparisons[0].second
        better = [c.first for c in metric_comparisons if c.winner == c.first]
        if len(better) == len(metric_comparisons):
            subject = f"{join_names(better)} {'is' if len(better) == 1 else 'are'}"
        elif better:
            subject = f"only {join_names(better)} {'is' if len(better) == 1 else 'are'}"
        else:
            methods = [c.first for c in metric_comparisons]
            subject = f"{join_names(methods)} {'is' if len(methods) == 1 else 'are'} not"
        value = format_number(results.table[metric, control].value)
        texts.append(
            f"By {metric}, {subject} significantly better than {control} ({value}), the strongest uninformative "
            "baseline."
        )
    return texts[:MAX_SENTENCES]


def _accuracy_sentence(results: TestResults, judging: Sequence[str]) -> list[str]:
    if results.evaluation.has_several_targets:
        return [target_sentence(results.evaluation)]
    images = results.evaluation.images.values()
    labelled = [p for p in images if p.correct is not None]
    correct = sum(bool(p.correct) for p in labelled)
    if not labelled:
        return []
    return [f"The model predicts {correct:,} of {count_noun(len(labelled), 'labelled image')} correctly."]


def target_sentence(evaluation: Evaluation) -> str:
    """Return how many targets of the images agree with an annotation, and on which regions they were measured."""
    targets = list(evaluation.images.values())
    n_images = len({each.image for each in targets})
    text = f"{count_noun(len(targets), 'target')} in {count_noun(n_images, 'image')}"
    known = [each for each in targets if each.correct is not None]
    if known:
        agree = sum(bool(each.correct) for each in known)
        text += f"; {agree:,} of {len(known):,} with an annotation to compare agree with it"
    if not targets:
        return f"{text}."
    regions = Counter(each.region for each in targets)
    without = [each for each in targets if each.region == NO_REGION]
    sentences = [f"{text}."]
    if measured := [f"{name} {n:,}" for name, n in sorted(regions.items()) if name != NO_REGION]:
        sentences.append(f"Region that metrics of localisation use: {join_names(measured, len(measured))}.")
    if without:
        sentences.append(_without_region(without))
    return " ".join(sentences)


def _without_region(targets: Sequence[Image]) -> str:
    """Return how many targets have no region, on which metrics of localisation were not measured."""
    are_words = all(each.target_spec.startswith("word ") for each in targets)
    noun = count_noun(len(targets), "word" if are_words else "target")
    what = "object of the data set" if are_words else "annotated object"
    verb = ("names" if len(targets) == 1 else "name") if are_words else ("has" if len(targets) == 1 else "have")
    return f"{noun} {verb} no {what}: not measured."


def _conflict_sentences(agreement: Agreement | None) -> list[str]:
    if agreement is None:
        return []
    rows, columns = np.where(np.triu(agreement.high < MAX_CONFLICT_TAU, 1))
    return [
        f"{agreement.metrics[a]} and {agreement.metrics[b]} rank the methods in opposite orders "
        f"(τ = {format_number(float(agreement.tau[a, b]))})."
        for a, b in list(zip(rows, columns, strict=True))[:MAX_SENTENCES]
    ]


def _invalid_sentences(results: TestResults) -> list[str]:
    worst: dict[str, tuple[int, int]] = {}
    for (_, method), summary in results.table.items():
        if summary.invalid and not summary.control:
            worst[method] = max(worst.get(method, (0, 0)), (summary.invalid, summary.n))
    return [
        f"{invalid:,} of {count_noun(n, 'map')} of {method} could not be scored by at least one metric and "
        f"{'receives' if invalid == 1 else 'receive'} its worst value."
        for method, (invalid, n) in worst.items()
    ]
