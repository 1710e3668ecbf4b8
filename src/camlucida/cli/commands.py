"""The list of commands, and the error handling that all of them share."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cyclopts import App, CycloptsError
from rich.markup import escape

import camlucida
from camlucida._files import DENIED, FULL, reason_of
from camlucida.cli import (
    activations,
    audit,
    cache,
    completion,
    concepts,
    data,
    demo,
    embed,
    evaluate,
    explain,
    export,
    film,
    layers,
    mistakes,
    models,
    query,
    report,
    sanity,
    study,
    train,
    trust,
)
from camlucida.cli import app as page
from camlucida.cli.examples import epilogue
from camlucida.cli.exit_codes import INTERRUPTED, NOT_DONE
from camlucida.cli.images import STDIN
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, CheckpointWarning

USER_ERRNOS = FULL | DENIED | {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR}
"""Error numbers of the operating system that a user can resolve, such as a full disk."""

app = App(
    name="camlucida",
    help="See why a vision model predicts what it predicts, and test whether the saliency map can be trusted.",
    version=camlucida.__version__,
    suppress_keyboard_interrupt=False,  # `main` reports the interruption
)
for function in (
    explain.explain,
    activations.activations,
    concepts.concepts,
    evaluate.evaluate,
    audit.audit,
    query.query,
    report.report,
    export.export,
    train.train,
    sanity.sanity,
    trust.trust,
    mistakes.mistakes,
    embed.embed,
    film.film,
    page.app,
    demo.demo,
    layers.layers,
    models.models,
    cache.cache,
    completion.completion,
):
    app.command(function, help_epilogue=epilogue(function.__name__))
app.command(data.data)
app.command(study.study)


def _discard_stdout() -> None:
    """Redirect the standard output to the null device, because it cannot be written to."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. User errors are printed as one sentence, with exit code 2; only internal errors raise a traceback.

    Args:
        arguments: The command-line arguments; those of the process if None.

    Raises:
        SystemExit: Always, with one of the codes of `camlucida.cli.exit_codes`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names and arrows may not be encodable in the pipe's encoding
            stream.reconfigure(errors="replace")
    errors = Terminal(stderr=True)
    _install_warning_printer(errors)
    try:
        status = app(
            _tokens(sys.argv[1:] if arguments is None else arguments), error_console=errors, exit_on_error=False
        )
        sys.stdout.flush()  # report a full disk here, not when the process ends
    except CycloptsError:  # a wrong argument: cyclopts has printed it already, with a suggestion
        raise SystemExit(NOT_DONE) from None
    except CamlucidaError as error:
        errors.print(f"[bold red]camlucida:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(NOT_DONE) from None
    except KeyboardInterrupt:
        errors.print("camlucida: stopped.")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:  # `camlucida layers vgg16 | head`: the reader has closed the pipe
        _discard_stdout()
        raise SystemExit(0) from None
    except OSError as error:  # full, read-only or unreadable: our own files raise DataError; all others are caught here
        if error.errno not in USER_ERRNOS:
            raise
        filename = f"{error.filename}: " if error.filename else ""
        errors.print(f"camlucida: {filename}{reason_of(error)}", highlight=False, markup=False, soft_wrap=True)
        _discard_stdout()
        raise SystemExit(NOT_DONE) from None
    raise SystemExit(status if isinstance(status, int) else 0)


def _tokens(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `STDIN` in place of "-", which cyclopts would take for an option."""
    return [STDIN if argument == "-" else argument for argument in arguments]


def _install_warning_printer(errors: Terminal) -> None:
    """Print a `CheckpointWarning` as one sentence, without the line of code that raised it."""
    default_showwarning = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, CheckpointWarning):
            errors.print(f"[yellow]Note:[/] {escape(str(message))}", highlight=False, soft_wrap=True)
        else:
            default_showwarning(message, category, *rest, **more)

    warnings.showwarning = show
