"""The `camlucida layers` command."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.images import free_path
from camlucida.cli.option_values import preprocessing_options
from camlucida.cli.options import (
    OUTPUT,
    Arch,
    Device,
    Overwrite,
    Probabilities,
    Size,
    TaskOption,
    TerminalOptions,
    TrustCode,
)
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.attribution.layer_rows import LayerSummary
    from camlucida.attribution.layer_summary import ArchitectureSummary

MIB = 2**20


def layers(
    model: str = "resnet50",
    /,
    *,
    arch: Arch = None,
    trust_code: TrustCode = False,
    task: TaskOption = None,
    probabilities: Probabilities = None,
    device: Device = "auto",
    size: Size = None,
    depth: Annotated[int, Parameter(group=OUTPUT)] = 0,
    conv: Annotated[bool, Parameter(negative=(), group=OUTPUT)] = False,
    explain_choice: Annotated[bool, Parameter(negative=(), group=OUTPUT)] = False,
    csv: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    markdown: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """List the layers of a network with their output shapes, parameters and sizes. Downloads no weights.

    Layers with ● are recommended for --layer, from edges to objects; ★ is the default layer. The column "grid" says how
    it is known that positions of the output lie in the image as in a grid: "conv" by convolutions and pooling from the
    input; a number is the measured correlation with a patch that moves over the image; "unverified" if all positions
    respond alike; "no image" if the response moves elsewhere. Sizes follow the convention of torchsummary: the outputs
    of all modules except containers, times two for the backward pass.

    Parameters
    ----------
    model
        A name (resnet50, timm:…, hf:…, toybox), a checkpoint, the folder of a training run, or python:module:function;
        see `camlucida models`.
    depth
        List only layers whose names have at most this many parts, as layer4.0.conv1 has three; 0 lists all.
    conv
        List only convolutions.
    explain_choice
        Also print why the default layer was chosen: its geometry, its influence on the class scores, and what excludes
        the layers after it.
    csv
        Also write the listed layers to this CSV file.
    markdown
        Also write the listed layers to this file, as a table in Markdown.
    """
    from camlucida._files import atomic_write
    from camlucida.attribution.layer_summary import layers as summarise
    from camlucida.models.load import load

    if depth < 0:
        raise DataError(f"--depth {depth}: must not be negative; 0 lists all layers.")
    console = terminal.open("layers", width=None if sys.stdout.isatty() else 140)
    with console.status(f"Verifying the layers of {escape(model)} …"):
        loaded = load(
            model,
            arch=arch,
            trust_code=trust_code,
            pretrained=False,
            device=device,
            task=task,
            probabilities=probabilities,
            **preprocessing_options(size, fit=None),
        )
        summary = summarise(loaded)
    listed = tuple(
        row for row in summary if (not depth or len(row.name.split(".")) <= depth) and (row.is_convolution or not conv)
    )
    _print_rows(console, summary, listed)
    _print_totals(console, summary)
    if explain_choice:
        for sentence in summary.choice:
            console.print_line(sentence)
    selected = dataclasses.replace(summary, rows=listed)
    console.add(**selected.to_dict())
    for path, text in ((csv, selected.to_csv), (markdown, selected.to_markdown)):
        if path is not None:
            atomic_write(path := free_path(path, overwrite), text())
            console.print_paths([path])
    return console.finish()


def _print_rows(console: Terminal, summary: ArchitectureSummary, rows: tuple[LayerSummary, ...]) -> None:
    title = f"{escape(summary.model)} · {_shape(summary.input_shape)} input"
    table = Table(title=title, title_justify="left", box=None)
    for name in ("", "layer", "type", "output"):
        table.add_column(name, overflow="fold")
    for name in ("parameters", "running total", "output (MB)", "grid"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            "★" if row.is_default else "●" if row.is_recommended else "",
            escape(row.name),
            row.type,
            _shape(row.output_shape),
            f"{row.n_parameters:,}" if row.n_parameters else "",
            f"{row.n_cumulative_parameters:,}",
            f"{row.output_bytes / MIB:.2f}",
            _geometry(row),
        )
    console.print(table)


def _geometry(row: LayerSummary) -> str:
    if row.geometry == "measured":
        return f"{row.correlation:.3f}"
    return {None: "", "convolution": "conv", "not verified": "unverified", "contradicted": "no image"}[row.geometry]


def _print_totals(console: Terminal, summary: ArchitectureSummary) -> None:
    console.print_line(
        f"{summary.n_parameters:,} parameters ({summary.n_trainable_parameters:,} trainable, "
        f"{summary.n_non_trainable_parameters:,} non-trainable)"
    )
    console.print_line(
        f"input {summary.input_bytes / MIB:.2f} MB, forward/backward {summary.forward_backward_bytes / MIB:.2f} MB, "
        f"parameters {summary.parameter_bytes / MIB:.2f} MB, estimated total {summary.total_bytes / MIB:.2f} MB "
        "per image (as torchsummary)"
    )
    console.print_line(f"Output: {summary.output}")
    if summary.default is not None:
        names = ", ".join(row.name for row in summary.recommended)
        console.print_line(f"Recommended (●): {names}. Default (★): {summary.default.name}.")


def _shape(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))
