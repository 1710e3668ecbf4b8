"""The commands, and what every one of them does about errors."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.markup import escape

import camlucida
from camlucida.cli import (
    activations,
    concepts,
    data,
    demo,
    embed,
    evaluate,
    explain,
    film,
    layers,
    mistakes,
    models,
    report,
    sanity,
    study,
    train,
    trust,
)
from camlucida.cli import app as page
from camlucida.cli.exit_codes import INTERRUPTED, NOT_DONE
from camlucida.errors import CamlucidaError, CheckpointWarning

app = App(
    name="camlucida",
    help="See why a vision model decided, and whether to believe the picture of it.",
    version=camlucida.__version__,
    suppress_keyboard_interrupt=False,  # `main` says that it stopped
)
app.command(explain.explain)
app.command(activations.activations)
app.command(concepts.concepts)
app.command(evaluate.evaluate)
app.command(data.data)
app.command(report.report)
app.command(train.train)
app.command(sanity.sanity)
app.command(study.study)
app.command(trust.trust)
app.command(mistakes.mistakes)
app.command(embed.embed)
app.command(film.film)
app.command(page.app)
app.command(demo.demo)
app.command(layers.layers)
app.command(models.models)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What a user can mend is one sentence and exit code 2; only our own mistakes are tracebacks.

    The exit codes are those of `camlucida.cli.exit_codes`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # arrows and other people's file names, into any pipe
            stream.reconfigure(errors="replace")
    errors = Console(stderr=True)
    _show_warnings(errors)
    try:
        status = app(list(sys.argv[1:] if arguments is None else arguments), error_console=errors, exit_on_error=False)
    except CycloptsError:  # a typo: cyclopts has said which, and what was perhaps meant
        raise SystemExit(NOT_DONE) from None
    except CamlucidaError as error:
        errors.print(f"[bold red]camlucida:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(NOT_DONE) from None
    except KeyboardInterrupt:
        errors.print("camlucida: stopped.")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:  # `camlucida layers vgg16 | head`: nobody is left to write to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    raise SystemExit(status if isinstance(status, int) else 0)


def _show_warnings(errors: Console) -> None:
    """Print what was left out of a checkpoint as a sentence, without the line of code that noticed it."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, CheckpointWarning):
            errors.print(f"[yellow]Note:[/] {escape(str(message))}", highlight=False, soft_wrap=True)
        else:
            usual(message, category, *rest, **more)

    warnings.showwarning = show
