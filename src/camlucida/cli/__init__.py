"""The command-line interface. Heavy packages such as torch are imported only when a command runs."""

from camlucida.cli.commands import main

__all__ = ["main"]
