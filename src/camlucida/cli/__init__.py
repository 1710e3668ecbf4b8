"""The command line: parse, call, show. No heavy import happens before a command runs."""

from camlucida.cli.app import main

__all__ = ["main"]
