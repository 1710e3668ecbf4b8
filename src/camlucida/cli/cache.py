"""The `camlucida cache` command."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.options import OUTPUT, TerminalOptions


def cache(
    *,
    clear: Annotated[bool, Parameter(negative=(), group=OUTPUT)] = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """List what is cached on this machine about large networks, or clear it.

    For networks of more than 50 million parameters the verified layouts of the layers are kept in the user's cache
    folder, or in that of the environment variable CAMLUCIDA_CACHE, in one JSON file per network, named after the hash
    of its weights. Without them the next explanation measures again, in about 9 forward passes.

    Parameters
    ----------
    clear
        Delete all entries.
    """
    from camlucida.attribution.check_cache import cache_folder, entries
    from camlucida.attribution.check_cache import clear as clear_cache

    console = terminal.open("cache")
    cached = entries()
    n_bytes = sum(entry.nbytes for entry in cached)
    console.add(folder=str(cache_folder()), entries=cached, nbytes=n_bytes)
    if clear:
        n_deleted = clear_cache()
        console.add(n_deleted=n_deleted)
        console.print_line(f"{n_deleted} entries deleted ({n_bytes / 1024:,.1f} kB) from {cache_folder()}")
        return console.finish()
    table = Table(box=None, pad_edge=False)
    for column in ("network", "weights", "checks", "size (kB)"):
        table.add_column(column, justify="right" if column in ("checks", "size (kB)") else "left")
    for entry in cached:
        name = "damaged, ignored" if entry.is_damaged else escape(entry.network)
        table.add_row(name, entry.weights, str(entry.n_checks), f"{entry.nbytes / 1024:,.1f}")
    if cached:
        console.print(table)
    console.print_line(f"{len(cached)} entries, {n_bytes / 1024:,.1f} kB, in {cache_folder()}")
    return console.finish()
