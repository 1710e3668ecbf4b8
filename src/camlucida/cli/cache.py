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
    """List what is cached on this machine about large networks and images, or clear it.

    For networks of more than 50 million parameters the verified layouts of the layers are kept in the user's cache
    folder, or in that of the environment variable CAMLUCIDA_CACHE, in one JSON file per network, named after the hash
    of its weights. Without them the next explanation measures again, in about 9 forward passes. The thumbnails that the
    app draws in the embedding of a data set are kept there as well.

    Parameters
    ----------
    clear
        Delete all entries.
    """
    from camlucida.app.thumbnail_store import clear_sheets, stored_sheets
    from camlucida.attribution.check_cache import cache_folder, entries
    from camlucida.attribution.check_cache import clear as clear_cache

    console = terminal.open("cache")
    cached = entries()
    sheet_sizes = [path.stat().st_size for path in stored_sheets()]
    n_bytes = sum(entry.nbytes for entry in cached)
    console.add(folder=str(cache_folder()), entries=cached, nbytes=n_bytes)
    console.add(n_thumbnail_sheets=len(sheet_sizes), thumbnail_bytes=sum(sheet_sizes))
    if clear:
        n_deleted = clear_cache() + clear_sheets()
        n_bytes += sum(sheet_sizes)
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
    if sheet_sizes:
        sheets = f"{len(sheet_sizes)} sheet{'s' * (len(sheet_sizes) != 1)} of thumbnails"
        console.print_line(f"{sheets}, {sum(sheet_sizes) / 1024:,.1f} kB")
    return console.finish()
