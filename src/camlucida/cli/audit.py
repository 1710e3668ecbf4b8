"""The `camlucida audit` command."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from camlucida.cli.allocator import keep_freed_memory
from camlucida.cli.audit_comparison import check_comparison, compare_with
from camlucida.cli.audit_progress import AuditProgress
from camlucida.cli.exit_codes import DONE, IN_PART, exit_code
from camlucida.cli.method_choice import announced_method
from camlucida.cli.model_and_data import ModelOptions, open_model_and_data
from camlucida.cli.option_values import byte_count, split_list
from camlucida.cli.options import (
    COMPUTATION,
    EXPLANATION,
    OUTPUT,
    TESTS,
    Boxes,
    Limit,
    Names,
    Output,
    Seed,
    Split,
    TerminalOptions,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.recorded_source import recorded_source, reopen_trusted
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.audits.audit_result import Audit
    from camlucida.audits.engines import Engine
    from camlucida.audits.findings.registry import FindingsRun
    from camlucida.evaluation.statistics import Interval
    from camlucida.models.model import Model
    from camlucida.types import ProgressCallback

RESULT = "images.parquet"
"""Name of the joined table, one row per image."""

REPORT = "audit.html"
"""Name of the report in the folder of an audit."""

MAX_SENTENCES = 3
"""Maximum number of verified hypotheses that are printed; all are in the report."""


def audit(
    data: str,
    /,
    *,
    model: ModelOptions = ModelOptions(),
    method: Names = None,
    layer: Names = None,
    target: Annotated[Literal["all"] | None, Parameter(group=EXPLANATION)] = None,
    findings: Annotated[list[str] | None, Parameter(negative=(), group=TESTS)] = None,
    against: Annotated[Path | None, Parameter(group=TESTS)] = None,
    fail_on: Annotated[str | None, Parameter(group=TESTS)] = None,
    junit: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    markdown: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    boxes: Boxes = None,
    split: Split = None,
    limit: Limit = None,
    seed: Seed = 0,
    engine: Annotated[Literal["local", "ray"], Parameter(group=COMPUTATION)] = "local",
    workers: Annotated[int | None, Parameter(group=COMPUTATION)] = None,
    shard: Annotated[str | None, Parameter(group=COMPUTATION)] = None,
    batch_size: Annotated[int | None, Parameter(group=COMPUTATION)] = None,
    max_memory: Annotated[str | None, Parameter(group=COMPUTATION)] = None,
    output: Output = Path("camlucida-out/audit"),
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Explain every image of a data set, and find where the model relies on something that it should not.

    Writes the rows, maps and channel relevances of all images, the findings, and audit.html. An interrupted run resumes
    when it is started again; an image that cannot be read becomes a row with the reason.

    Parameters
    ----------
    data
        A data set, as for `camlucida evaluate`: a folder, whose sub-folders are the classes if it has any, a table,
        toybox, …
    method
        Methods, separated by commas, or all. The first one decides the columns without a prefix. If not given:
        the default method, as of `camlucida explain`. See `camlucida models`.
    layer
        The layer to explain (target_layers in pytorch-grad-cam), or several separated by commas. If not given: the
        default layer. A method can have its own: --method "grad_cam @ layer3".
    target
        all: one row for each target of an image: each box of a detector, each region of a segmentation, each word of a
        caption, and each annotated object that was missed. If not given: one row for each image, with the classes of
        the whole image, also for detectors and segmentation networks.
    findings
        What is derived from the rows and maps, separated by commas: hypotheses, slices, differences, label_errors,
        duplicates, record; or all, or none. If not given: all.
    against
        The folder of an earlier audit of the same images: what changed between the two models, image by image.
    fail_on
        Conditions on the changes, separated by semicolons, under which the exit code is 3:
        "energy_in_box drops, p < .01; accuracy drops".
    junit
        The JUnit XML file to write, with one test case per condition.
    markdown
        The Markdown file to write: the comparison as a summary for a pull request.
    split
        Use only this split of the data set: train, val or test.
    limit
        The number of images, selected at random. If not given: all, or 500 of toybox.
    seed
        The random seed.
    engine
        local: this process; ray: the workers of a Ray cluster, or of this machine (needs the extra ray).
    workers
        The number of Ray workers. If not given: as many as there is room for.
    shard
        i/n: measure only the i-th of n parts, from 0/n, so that n processes share the work in one folder. If not given:
        RANK and WORLD_SIZE, as torchrun and other schedulers set them, or everything.
    batch_size
        The number of images that the network runs at once. If not given: as many as fit into --max-memory, at most 16
        on a CPU and 128 on a GPU; an audit that resumes keeps the one that it was begun with.
    max_memory
        The memory for the activations, gradients and maps of one batch, such as 500MB. If not given: 1GiB.
    output
        The folder to write to.
    """
    from camlucida.audits.findings.registry import choose_findings
    from camlucida.audits.run import audit as run

    keep_freed_memory()
    console = terminal.open("audit")
    model = model.for_data(data)
    chosen = split_list(findings)
    choose_findings(chosen)  # a wrong name is reported before anything runs
    check_comparison(against, fail_on, junit, markdown)
    if batch_size is not None and max_memory is not None:
        raise DataError("--batch-size and --max-memory both determine the batch size: give one of them.")
    memory = byte_count("--max-memory", "1GiB" if max_memory is None else max_memory)
    with console.status(model.status):
        loaded, dataset = open_model_and_data(data, model, boxes=boxes, count=limit, seed=seed, split=split)
    source = recorded_source(data, model, boxes, dataset) | {"split": split}
    measure = _ray_engine(workers, source, output, seed) if engine == "ray" else engine
    try:
        with progress_bar(console) as bar:
            result = run(
                loaded,
                dataset,
                output,
                methods=_methods(method, loaded) or [announced_method(console, loaded)],
                layer=_layers(layer),
                target=target,
                limit=limit,
                seed=seed,
                batch_size=batch_size,
                max_bytes=memory,
                shard=shard,
                engine=measure,
                workers=None if engine == "ray" else workers,
                source=source,
                progress=AuditProgress(console, bar, output),
            )
        if not result.store.is_complete:
            return _finish_shard(console, result)
        findings_run = _derive(console, result, chosen)
    except KeyboardInterrupt:
        _print_resume(output)
        raise
    records, failures = findings_run.records, findings_run.failures
    _print_audit(console, result, records)
    for name, reason in findings_run.left_out:
        console.print_line(f"{name} is left out: {reason}.")
    compared = DONE if against is None else compare_with(console, result, against, fail_on, junit, markdown)
    return _finish(console, result, failures, compared)


def _ray_engine(workers: int | None, source: Mapping[str, Any], output: Path, seed: int) -> Engine:
    """Return the engine whose workers open the model and the data as this command did, if they cannot be pickled."""
    from camlucida.audits.ray_engine import ray_engine

    return ray_engine(workers, partial(reopen_trusted, source, str(output), seed))


def _methods(values: Sequence[str] | None, model: Model) -> list[str]:
    from camlucida.attribution.method_choice import applicable

    names = split_list(values) or []
    return [method for name in names for method in (applicable(model.network) if name == "all" else [name])]


def _layers(values: Sequence[str] | None) -> list[str] | None:
    return split_list(values) or None


def _derive(console: Terminal, audit: Audit, names: Sequence[str] | None) -> FindingsRun:
    """Compute the findings of a complete audit; return their records, those that failed, and those left out."""
    from camlucida.audits.findings.registry import run_findings

    with progress_bar(console) as bar:

        def begin(title: str) -> ProgressCallback:
            task = bar.add_task(title, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        return run_findings(audit, names, progress=begin)


def _finish_shard(console: Terminal, audit: Audit) -> int:
    """Report a shard that is complete while others are not."""
    n_missing = -(-audit.plan["n_images"] // audit.plan["chunk_images"]) - len(audit.store.part_numbers())
    console.print_line(
        f"This shard is complete; {n_missing:,} chunks of other shards are missing. The last shard to finish completes "
        "the audit; any audit command with the same arguments resumes it."
    )
    console.add(complete=False, chunks_missing=n_missing)
    console.print_paths([audit.path])
    return console.finish(DONE)


def _print_resume(output: Path) -> None:
    """Print to standard error what an interruption keeps, and how to resume."""
    from camlucida.audits.store import AuditStore

    try:
        store = AuditStore.open(output.expanduser())
        n_stored = store.plan["chunk_images"] * len(store.part_numbers())
        n_stored = min(n_stored, store.plan["n_images"])
    except DataError:  # interrupted before anything was stored
        return
    Terminal(stderr=True).print_line(
        f"The results of {n_stored:,} images are kept in {output}. The same command resumes there."
    )


def _print_audit(console: Terminal, audit: Audit, records: Mapping[str, dict[str, Any]]) -> None:
    """Print the summary of a complete audit."""
    from camlucida.audits.overview import overview
    from camlucida.audits.targets.wording import target_sentences, wording_of

    words = wording_of(audit)
    numbers, n_errors = overview(audit), len(audit.error_rows())
    console.print_line(
        f"{numbers.n_images:,} images of {audit.plan['data']} · {audit.plan['model']} · "
        + (f"{n_errors:,} could not be read or explained" if n_errors else "no errors")
    )
    if audit.has_targets:
        for sentence in target_sentences(audit):
            console.print_line(sentence)
    if numbers.n_labelled and not audit.has_targets:
        console.print_line(f"accuracy {_percentage(numbers.accuracy)} on {numbers.n_labelled:,} labelled images")
    if numbers.energy_in_box.value == numbers.energy_in_box.value:
        console.print_line(
            f"energy in {words.own} {_percentage(numbers.energy_in_box)}; the {words.areas} cover "
            f"{numbers.box_area:.1%} of the images"
        )
    _print_findings(console, records, words.rows)
    console.add(complete=True, **vars(numbers), findings=dict(records))


def _finish(console: Terminal, audit: Audit, failures: Sequence[tuple[str, str]], compared: int) -> int:
    """Print what failed, write the report, and return the exit code: that of the comparison if nothing failed."""
    errors = [(row["image"] or f"image {row['index']}", row["error"]) for row in audit.error_rows()]
    for name, reason in failures:
        console.print_failure(name, reason)
    console.print_failures(errors, "the column error of images.parquet")
    with console.status("Drawing the report …"):
        written = _write_report(audit)
    console.print_paths([audit.path / RESULT, *written])
    n_images = audit.plan["n_images"]
    n_failed = len({row["index"] for row in audit.error_rows()})
    code = exit_code(n_images - n_failed, n_failed)
    if code != DONE:
        return console.finish(code)
    return console.finish(IN_PART if failures else compared)


def _print_findings(console: Terminal, records: Mapping[str, dict[str, Any]], rows: str) -> None:
    """Print the number of verified hypotheses with the first ones, and the worst slice."""
    if "hypotheses" in records:
        hypotheses = records["hypotheses"].get("hypotheses", [])
        verified = [hypothesis for hypothesis in hypotheses if hypothesis["verified"]]
        cues = [hypothesis for hypothesis in verified if hypothesis.get("same_as") is None]
        more = len(verified) - len(cues)
        console.print_line(
            f"{len(cues):,} of {len(hypotheses):,} hypotheses about spurious cues verified"
            + (f"; {more:,} more {'has' if more == 1 else 'have'} mostly the same images" if more else "")
            if hypotheses
            else f"no hypothesis about a spurious cue: no group of {rows} has explanations of its own"
        )
        for hypothesis in cues[:MAX_SENTENCES]:
            console.print_line(f"  {hypothesis['sentence']}")
    if "slices" in records:
        worst = next((part for part in records["slices"]["slices"] if part["is_worse"]), None)
        if not records["slices"]["slices"]:
            console.print_line(f"no slice has enough labelled {rows} to be compared")
        elif worst is None:
            console.print_line("no slice that is significantly less accurate than the rest")
        else:
            console.print_line(
                f"worst slice: {worst['name']}, accuracy {worst['accuracy']:.1%} on {worst['n']:,} {rows}, "
                f"{worst['rest_accuracy']:.1%} on the rest"
            )


def _write_report(audit: Audit) -> list[Path]:
    """Write audit.html and return its path; nothing where the report is not part of this version."""
    if importlib.util.find_spec("camlucida.report.audit_page") is None:
        return []
    path: Path = importlib.import_module("camlucida.report.audit_page").audit_report(audit, audit.path / REPORT)
    return [path]


def _percentage(interval: Interval) -> str:
    ends = f" ({interval.low:.1%} to {interval.high:.1%})" if interval.low == interval.low else ""
    return f"{interval.value:.1%}{ends}"
