"""The layout checks of large networks on disk, so that a new process need not measure them again.

The cache is a folder of JSON files, one per network, named after the hash of its weights. It lies in the user's cache
folder, or where the environment variable CAMLUCIDA_CACHE says; `camlucida cache` lists and clears it. Nothing in it is
executed. A file that cannot be read or is damaged is ignored, and written again after the next measurement. Networks of
up to `MIN_PARAMETERS` parameters are measured in less time than it takes to hash their weights, and are not stored.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from camlucida._files import atomic_write, delete_files
from camlucida.engine.layer_checks import LayoutCheck
from camlucida.engine.layout import Layout, LayoutKind
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.stored_checks import use_store
from camlucida.errors import OutputError
from camlucida.models.weights_digest import DIGEST_LETTERS, weights_digest

MIN_PARAMETERS = 50_000_000
"""Networks with more parameters than this are stored."""

FORMAT = 1
"""Version of the files; it increases with every change of the files or of what `geometry` measures."""

MAX_BYTES = 16 * 2**20
"""Largest file that is read."""

FOLDER = "layout-checks"
"""Name of the folder of these files, in the cache folder."""


def cache_folder() -> Path:
    """Return the folder of the cache, which need not exist: CAMLUCIDA_CACHE, or the platform's folder for caches."""
    if folder := os.environ.get("CAMLUCIDA_CACHE"):
        return Path(folder).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "camlucida" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "camlucida"
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if os.path.isabs(given) else Path.home() / ".cache") / "camlucida"


@dataclass(frozen=True)
class CacheEntry:
    """The stored checks of one network.

    Attributes:
        path: The file.
        network: Class name of the network; "" if the file is damaged.
        weights: First hexadecimal digits of the hash of its weights.
        n_checks: Number of stored checks, over all image sizes.
        nbytes: Size of the file in bytes.
        is_damaged: Whether the file cannot be read; it is ignored and written again when it is needed.
    """

    path: Path
    network: str
    weights: str
    n_checks: int
    nbytes: int
    is_damaged: bool


def entries() -> list[CacheEntry]:
    """Return the entries of the cache, sorted by the hash of the weights."""
    found = []
    for path in _files():
        with suppress(OSError):  # another process has just cleared the cache
            content, nbytes = _read(path), path.stat().st_size
            n_checks = sum(len(run) for run in content["runs"].values()) if content else 0
            network = content["network"] if content else ""
            found.append(CacheEntry(path, network, path.stem, n_checks, nbytes, content is None))
    return found


def clear() -> int:
    """Delete all entries of the cache, and nothing else in its folder.

    Returns:
        The number of deleted files.

    Raises:
        OutputError: A file cannot be deleted.
    """
    return delete_files(_files())


def _files() -> Iterator[Path]:
    """Yield the files whose names are those of entries, sorted."""
    with suppress(OSError):
        yield from sorted(path for path in (cache_folder() / FOLDER).glob("*.json") if _is_digest(path.stem))


def _is_digest(name: str) -> bool:
    return len(name) == DIGEST_LETTERS and all(letter in "0123456789abcdef" for letter in name)


class DiskCheckStore:
    """A `camlucida.engine.stored_checks.CheckStore` in the cache folder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def load(self, copy: NetworkCopy, run: str) -> dict[str, LayoutCheck]:
        """Return the stored checks of a run; empty for a small network, or where there is no readable file."""
        if not _is_large(copy):
            return {}
        content = _read(_path(copy))
        checks = content["runs"].get(run, {}) if content else {}
        return {name: check for name, value in checks.items() if (check := _to_check(value)) is not None}

    def save(self, copy: NetworkCopy, run: str, checks: Mapping[str, LayoutCheck]) -> None:
        """Add checks to the file of a large network. A folder that cannot be written to is no error."""
        if not _is_large(copy):
            return
        with self._lock:
            path = _path(copy)
            content = _read(path) or {"format": FORMAT, "network": type(copy.module).__name__, "runs": {}}
            values = {name: _to_json(check) for name, check in checks.items()}
            content["runs"][run] = content["runs"].get(run, {}) | values
            with suppress(OutputError):
                atomic_write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _is_large(copy: NetworkCopy) -> bool:
    return sum(p.numel() for p in copy.module.parameters()) > MIN_PARAMETERS


def _path(copy: NetworkCopy) -> Path:
    return cache_folder() / FOLDER / f"{weights_digest(copy.module)}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a file: a format, a class name, and a dict of dicts. None for anything else."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        content = json.loads(data) if len(data) <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("network"), str):
        return None
    runs = content.get("runs")
    if not isinstance(runs, dict) or not all(isinstance(run, dict) for run in runs.values()):
        return None
    return {"format": FORMAT, "network": content["network"], "runs": runs}


def _to_json(check: LayoutCheck) -> dict[str, Any]:
    """Return a check as JSON values; NaN, which JSON does not have, as null."""
    values = asdict(check)
    numbers = {name: None if math.isnan(values[name]) else values[name] for name in ("correlation", "error", "spread")}
    return values | numbers


def _to_check(value: Any) -> LayoutCheck | None:
    """Return the check that a JSON value describes, or None if it does not describe one."""
    if not isinstance(value, dict) or value.get("outcome") not in ("verified", "contradicted", "not local"):
        return None
    numbers = [value.get(name) for name in ("correlation", "error", "spread")]
    if not all(number is None or type(number) in (int, float) for number in numbers):
        return None
    layout, is_seen = value.get("layout"), value.get("is_seen")
    parsed = None if layout is None else _to_layout(layout)
    if (layout is not None and parsed is None) or not isinstance(is_seen, bool):
        return None
    correlation, error, spread = (math.nan if number is None else float(number) for number in numbers)
    return LayoutCheck(value["outcome"], correlation, error, spread, parsed, is_seen)


def _to_layout(value: Any) -> Layout | None:
    if not isinstance(value, dict) or value.get("kind") not in get_args(LayoutKind):
        return None
    prefix, pairs = value.get("prefix"), [value.get(name) for name in ("grid", "window", "shift")]
    if type(prefix) is not int or not all(
        isinstance(pair, list) and len(pair) == 2 and all(type(size) is int for size in pair) for pair in pairs
    ):
        return None
    grid, window, shift = (tuple(pair) for pair in pairs)  # type: ignore[arg-type]
    return Layout(value["kind"], grid, prefix, window, shift)


use_store(DiskCheckStore())
