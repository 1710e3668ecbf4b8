"""The `camlucida evaluate` command."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.allocator import keep_freed_memory
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import free_path
from camlucida.cli.method_choice import announced_method
from camlucida.cli.model_and_data import ModelOptions, open_model_and_data
from camlucida.cli.option_values import split_list
from camlucida.cli.options import (
    COMPUTATION,
    EXPLANATION,
    OUTPUT,
    TESTS,
    Boxes,
    Limit,
    Names,
    Output,
    Overwrite,
    Seed,
    Split,
    TerminalOptions,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.recorded_source import recorded_source, reopen_trusted
from camlucida.cli.terminal import Terminal, interval_text
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.data.datasets import Dataset
    from camlucida.evaluation import Evaluation, Summary
    from camlucida.models.model import Model

MAX_COLUMNS = 5
"""Maximum number of metrics in one table; more do not fit into a terminal."""

DEFAULT_METRICS = ("energy", "pointing", "insertion", "deletion", "entropy")
"""The metrics by default: two of localisation, two of faithfulness, one of complexity; they fit into one table."""

UNTRUSTED_MARK = "⚠"
"""Marks a metric that does not rank the ground truth above uninformative baselines."""


def evaluate(
    data: str,
    /,
    *,
    model: ModelOptions = ModelOptions(),
    method: Names = None,
    metrics: Annotated[list[str] | None, Parameter(negative=(), group=TESTS)] = None,
    layer: Names = None,
    recipe: Annotated[str | None, Parameter(group=TESTS)] = None,
    boxes: Boxes = None,
    split: Split = None,
    controls: Annotated[bool, Parameter(group=TESTS)] = True,
    target: Annotated[str, Parameter(group=EXPLANATION)] = "predicted",
    limit: Limit = None,
    seed: Seed = 0,
    engine: Annotated[Literal["local", "ray"], Parameter(group=COMPUTATION)] = "local",
    workers: Annotated[int | None, Parameter(group=COMPUTATION)] = None,
    output: Output = Path("camlucida-out/evaluation"),
    report: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Measure the quality of explanation methods over a data set, together with uninformative baselines.

    Prints a table with 95 % intervals and writes results.parquet, with one row per image, method and metric; and per
    target of the image, for the boxes of a detector, the regions of a segmentation or the words of a caption. An
    interrupted run resumes when it is started again; an image that cannot be read becomes a row with the reason.

    Parameters
    ----------
    data
        The images: the folder of a training run, for its validation images; or a folder of images, whose sub-folders
        are the classes; or a table (.csv, .parquet); or stanford_dogs:…, pets:…, cub:…, voc:…, coco:…, imagenet:…,
        hf:…, tfds:… and the folder; or toybox, toybox:2 (objects per scene), toybox:watermark.
        Or a benchmark with a known ground truth for the maps, which explains the true class:
        exact:mosaic, exact:difull and exact:dipart (each with :3 for 3 × 3 cells), exact:focus, exact:small,
        exact:medium, exact:large, exact:watermark, exact:watermark_control, exact:tag; and with a network of their own
        exact:red, exact:signed, exact:channels, exact:template, exact:xor, exact:square, exact:shift, exact:linear,
        exact:additive, exact:interaction.
    method
        Methods, separated by commas, or all. If not given: the default one, as of
        `camlucida explain`. See `camlucida models`.
    metrics
        Metrics, presets or groups of metrics (localisation, faithfulness, robustness, complexity, ground_truth),
        separated by commas, or all. If not given: energy, pointing, insertion, deletion and entropy, of which those
        that need boxes or masks are left out if the data has none.
    layer
        The layer to explain (target_layers in pytorch-grad-cam), or several separated by commas. If not given: the
        default layer. A method can have its own: --method "grad_cam @ layer3".
    recipe
        A predefined study, which determines the methods and metrics: cam-vs-gradcam.
    split
        Use only this split of the data set: train, val or test.
    controls
        Also measure uninformative baselines and oracles, which a metric must be able to rank.
    target
        The class to explain: predicted, or true for the label of the image; a class; or all for every box of a
        detector, every region of a segmentation, every word of a caption or every prompt, each with rows of its own;
        or one of them, as in explain: "box 1", "class:dog", "word 2", "text:a dog".
    limit
        The number of images, selected at random. If not given: all, or 500 of toybox.
    seed
        The random seed.
    engine
        local: this process; ray: the workers of a Ray cluster (RAY_ADDRESS, or `ray start`), whose nodes share the
        output folder, or else of this machine (needs the extra ray). The results are the same.
    workers
        The number of Ray workers. If not given: one per GPU, or one per two CPUs.
    output
        The folder to write to.
    report
        Also write an HTML page with tables, curves and images to this file.
    """
    from camlucida.evaluation import evaluate as run
    from camlucida.evaluation.baselines import controls_of
    from camlucida.evaluation.benchmarks import PREFIX
    from camlucida.evaluation.ray_pool import RayPool
    from camlucida.evaluation.recipes import recipe as find_recipe

    keep_freed_memory()
    console = terminal.open("evaluate", width=None if sys.stdout.isatty() else 140)
    model = model.for_data(data)
    if recipe and method:
        raise DataError(f"--recipe {recipe} determines the methods: remove --method.")
    chosen_metrics = _metrics(metrics)
    pairs: tuple[tuple[str, str], ...] = ()
    with console.status(model.status):
        loaded, dataset = open_model_and_data(data, model, boxes=boxes, count=limit, seed=seed, split=split)
    chosen_methods = _methods(method, loaded) or ([] if recipe else [announced_method(console, loaded)])
    if recipe:
        study = find_recipe(recipe, loaded)
        chosen_methods, pairs = list(study.methods), study.compared_pairs
        chosen_metrics = chosen_metrics if metrics else list(study.metrics)
    source = recorded_source(data, model, boxes, dataset) | {"split": split}
    with progress_bar(console) as progress:
        task = progress.add_task("evaluating", total=None)
        result = run(
            loaded,
            dataset,
            methods=chosen_methods,
            metrics=chosen_metrics,
            layer=_layers(layer),
            compared=pairs,
            controls=controls_of(loaded) if controls else (),
            target="true" if data.startswith(PREFIX) else target,
            limit=limit,
            seed=seed,
            out=output,
            source=source,
            engine=RayPool(workers, partial(reopen_trusted, source, str(output), seed)) if engine == "ray" else engine,
            workers=None if engine == "ray" else workers,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print_evaluation(console, result, None if metrics or recipe else DEFAULT_METRICS)
    console.print_paths([result.path / "results.parquet"])
    if report:
        write_report(console, result, free_path(report, overwrite), loaded, dataset)
    failed = [method for _, method, _ in result.failures if method not in result.controls]  # an oracle needs a mask
    return console.finish(exit_code(len(result.images), len(failed)))


def write_report(
    console: Terminal, evaluation: Evaluation, path: Path, model: Model | None, data: Dataset | None
) -> None:
    """Write the report of an evaluation and print its path."""
    from camlucida.evaluation.metric_checks import untrusted
    from camlucida.report import report

    with console.status("Drawing the report …"):
        written = report(evaluation, path, model=model, data=data, untrusted=untrusted(evaluation))
    console.print_paths([written])


def print_evaluation(console: Terminal, evaluation: Evaluation, columns: Sequence[str] | None = None) -> None:
    """Print the tables: one row per method and control, one column per metric with its 95 % interval.

    Args:
        console: The terminal.
        evaluation: The evaluation.
        columns: The columns to print; None for all that were measured.
    """
    from camlucida.evaluation.metric_checks import untrusted
    from camlucida.report.summary_text import target_sentence

    table = {(s.metric, s.method): s for s in evaluation.table()}
    measured = [name for name in evaluation.values if any(table[name, method].n for method in evaluation.methods)]
    hidden = [name for name in measured if columns is not None and name not in columns]
    measured = [name for name in measured if name not in hidden]
    untrusted_metrics = untrusted(evaluation)
    for start in range(0, len(measured), MAX_COLUMNS):
        console.print(_score_table(evaluation, table, measured[start : start + MAX_COLUMNS], untrusted_metrics))
    if hidden:
        console.print_line(f"Also measured, in results.parquet: {', '.join(hidden)}.")
    for name, reason in untrusted_metrics.items():
        console.print_line(f"{UNTRUSTED_MARK} {name} is not reliable on this data: {reason}.")
    _print_verdicts(console, evaluation, table, measured)
    plan = evaluation.plan
    console.add(**_as_json(evaluation, table, untrusted_metrics))
    console.print_line(
        f"{plan['n_images']} images of {plan['data']} · {plan['model']} · {_target_text(evaluation)} · 95 % intervals: "
        "bootstrap over images · in brackets: maps that could not be scored, which count as the worst value"
    )
    if evaluation.has_several_targets:
        console.print_line(target_sentence(evaluation))
    failures = sorted(
        evaluation.failures, key=lambda failure: failure[1] in evaluation.controls
    )  # failures of the requested methods come before those of controls
    console.print_failures(
        [(f"{image}, {method}" if method else image, reason) for image, method, reason in failures],
        "the column error of results.parquet",
    )


def _target_text(evaluation: Evaluation) -> str:
    target = evaluation.plan["target"]
    return f"target: {target}" if evaluation.has_several_targets else f"{target} class"


def _as_json(
    evaluation: Evaluation, table: Mapping[tuple[str, str], Summary], untrusted_metrics: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "plan": {key: evaluation.plan[key] for key in ("model", "data", "n_images", "target", "seed")},
        "scores": [
            {
                "metric": metric,
                "method": method,
                "is_control": method in evaluation.controls,
                **{name: getattr(summary, name) for name in ("value", "low", "high", "n", "n_images", "invalid")},
            }
            for (metric, method), summary in table.items()
            if summary.n
        ],
        "unreliable_metrics": dict(untrusted_metrics),
    }


def _print_verdicts(
    console: Terminal, evaluation: Evaluation, table: dict[tuple[str, str], Summary], measured: Sequence[str]
) -> None:
    """Print, for each metric with a direction, the paired test of the two best methods, corrected for all pairs."""
    methods = [m for m in evaluation.methods if m not in evaluation.controls]
    rated_metrics = [m for m in measured if evaluation.values[m].better != "neither"]
    if len(methods) > 1 and rated_metrics:
        verdict_table = Table(box=None, pad_edge=False, title_justify="left")
        for name in ("metric", "best", "next", "difference", "p", "verdict"):
            verdict_table.add_column(name, justify="right" if name in ("difference", "p") else "left")
        comparisons = evaluation.comparisons(rated_metrics)
        for metric in rated_metrics:
            sign = -1 if evaluation.values[metric].better == "high" else 1
            order = sorted(methods, key=lambda m: _nan_last(sign * table[metric, m].value))
            pair = next((c for c in comparisons if c.metric == metric and {c.first, c.second} == set(order[:2])), None)
            if pair is None:  # measured for only one of them
                continue
            difference = pair.difference if pair.first == order[0] else pair.difference.negated
            verdict = f"{pair.winner} is better" if pair.winner else "no significant difference"
            verdict = "identical maps" if pair.same_map else verdict
            verdict_table.add_row(
                escape(metric),
                *map(escape, order[:2]),
                interval_text(difference, ".3g"),
                f"{pair.corrected:.3g}",
                verdict,
            )
        console.print(verdict_table)
    for similarity in evaluation.map_similarities:
        if similarity.same_map:
            console.print_line(
                f"{similarity.first} and {similarity.second} are the same map up to a positive factor on every image "
                f"(largest difference {similarity.differences.max():.1g} of the maximum): neither is better."
            )


def _nan_last(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _score_table(
    evaluation: Evaluation,
    table: dict[tuple[str, str], Summary],
    measured: Sequence[str],
    untrusted_metrics: Mapping[str, str],
) -> Table:
    rich_table = Table(box=None, pad_edge=False, title_justify="left")
    rich_table.add_column("method")
    for name in measured:
        arrow = {"high": " ↑", "low": " ↓", "neither": ""}[evaluation.values[name].better]
        rich_table.add_column(
            f"{escape(name)}{arrow}{UNTRUSTED_MARK if name in untrusted_metrics else ''}", justify="right"
        )
    for controls in (False, True):
        group = [method for method in evaluation.methods if (method in evaluation.controls) is controls]
        if controls and group:
            rich_table.add_section()
            rich_table.add_row("controls:", style="dim italic")
        for method in group:
            cells = [_cell(table[name, method]) for name in measured]
            rich_table.add_row(escape(method), *cells, style="dim" if controls else "")
    return rich_table


def _cell(summary: Summary) -> str:
    if not summary.n or math.isnan(summary.value):
        return "–"
    invalid = f" ({summary.invalid})" if summary.invalid else ""
    return f"{interval_text(summary, '.3g')}{invalid}"


def _methods(values: Sequence[str] | None, model: Model) -> list[str]:
    from camlucida.attribution.method_choice import applicable

    return [
        method
        for name in split_list(values) or []
        for method in (applicable(model.network) if name == "all" else [name])
    ]


def _layers(values: Sequence[str] | None) -> str | list[str] | None:
    names = split_list(values)
    return names if names and len(names) > 1 else (names[0] if names else None)


def _metrics(values: Sequence[str] | None) -> list[str]:
    from camlucida.metrics import groups, metrics

    names = split_list(values) or list(DEFAULT_METRICS)
    expanded = (metrics() if name == "all" else groups().get(name.lower(), [name]) for name in names)
    return list(dict.fromkeys(metric for group in expanded for metric in group))
