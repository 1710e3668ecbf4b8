"""The command line: parse, call, show. No heavy import happens before a command runs."""

from camlucida.cli.commands import main

__all__ = ["main"]
