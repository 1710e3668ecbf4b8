"""The default method of a command, announced where it is not the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camlucida.cli.terminal import Terminal

if TYPE_CHECKING:
    from camlucida.models.model import Model


def announced_method(console: Terminal, model: Model) -> str:
    """Return the default method of a model, and print a line if that is not the usual one."""
    from camlucida.attribution.method_choice import default_method, default_note

    if note := default_note(model):
        console.print_line(note)
    return default_method(model)
