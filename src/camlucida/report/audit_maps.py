"""The stored maps of an audit, quantised for the report's page, and where they lie on their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.plan import EXPLAINED_CLASSES
from camlucida.errors import CamlucidaError
from camlucida.evaluation.store import Row
from camlucida.models.preprocessing import Preprocessing
from camlucida.render.colours import apply_colormap
from camlucida.report.audit_blocks import array_block
from camlucida.report.audit_columns import PageRows

LEVELS = 254
"""Levels of a quantised map: 1 is 0 and 255 is the largest magnitude of the map; 0 stands for no map."""
MAX_BYTES = 12_000_000
"""Largest size of all maps before compression. Maps of further classes and methods are left out beyond."""
N_COLOURS = 256
FULL = (0.0, 0.0, 1.0, 1.0)


def map_blocks(page: PageRows) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the maps as blocks of bytes, and the list of what they hold.

    The positive part of each map is stored, as the fraction of the largest magnitude of the map, so that a map whose
    positive values are small beside its negative ones is drawn faintly.

    Returns:
        Blocks "map-0", "map-1", ... of bytes `(n, h, w)`; and for each its method, explained class, height and width.
    """
    blocks: dict[str, str] = {}
    entries: list[dict[str, Any]] = []
    n_bytes = 0
    for method in page.audit.store.method_names:
        for explained in EXPLAINED_CLASSES:
            maps = page.audit.maps(method, explained)
            if maps.ndim != 3 or not maps.size:
                continue
            quantised = quantise(maps[page.positions])
            n_bytes += quantised.size
            if not quantised.any() or (entries and n_bytes > MAX_BYTES):
                continue
            block = f"map-{len(entries)}"
            blocks[block] = array_block(quantised)
            height, width = (int(side) for side in quantised.shape[1:])
            entries.append({"block": block, "method": method, "of": explained, "height": height, "width": width})
    return blocks, entries


def quantise(maps: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the positive part of maps `(n, h, w)` in [-1, 1] as bytes; 0 where a map is NaN."""
    values = maps.astype(np.float32)
    levels = np.rint(np.clip(np.nan_to_num(values), 0, 1) * LEVELS) + 1
    quantised: NDArray[np.uint8] = np.where(np.isnan(values), 0, levels).astype(np.uint8)
    return quantised


def visible_parts(audit: Audit, rows: Sequence[Row]) -> tuple[list[list[float]], list[int]]:
    """Return the parts of the images that the network input covers.

    Returns:
        The distinct parts as left, top, right, bottom in fractions of the image; and the number of each row's part.
    """
    preprocessing = _preprocessing(audit)
    parts: dict[tuple[float, ...], int] = {}
    by_size: dict[tuple[int, int] | None, int] = {}
    numbers = []
    for row in rows:
        size = (row["width"], row["height"]) if row["width"] and row["height"] else None
        if size not in by_size:
            by_size[size] = parts.setdefault(_visible_part(preprocessing, size), len(parts))
        numbers.append(by_size[size])
    return [list(part) for part in parts], numbers


def colour_table() -> list[int]:
    """Return the library's colours of `N_COLOURS` values from 0 to 1, as red, green, blue, red, ..."""
    colours: list[int] = apply_colormap(np.linspace(0, 1, N_COLOURS)).ravel().tolist()
    return colours


def _visible_part(preprocessing: Preprocessing | None, size: tuple[int, int] | None) -> tuple[float, ...]:
    if preprocessing is None or size is None:
        return FULL
    left, top, right, bottom = preprocessing.geometry(size).visible_box
    fractions = (left / size[0], top / size[1], right / size[0], bottom / size[1])
    return tuple(round(fraction, 4) for fraction in fractions)


def _preprocessing(audit: Audit) -> Preprocessing | None:
    """Return the preprocessing of the audited model, also if the model is not available; None if it has no images."""
    if audit.model is not None and isinstance(audit.model.preprocessing, Preprocessing):
        return audit.model.preprocessing
    record = audit.plan["preprocessing"]
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    try:
        return Preprocessing(**fields)
    except (TypeError, CamlucidaError):  # of volumes, or of another version
        return None
