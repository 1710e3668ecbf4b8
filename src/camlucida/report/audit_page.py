"""The HTML report of an audit: one file that holds its figures, its rows, its maps and the thumbnails of its images."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import camlucida
from camlucida._optional import need
from camlucida.analysis.projection import ProjectionMethod, project
from camlucida.audits.audit_result import FINDINGS_FOLDER, Audit
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError
from camlucida.evaluation.provenance import mismatch
from camlucida.report.audit_blocks import rounded_bits
from camlucida.report.audit_columns import PageRows, table_blocks
from camlucida.report.audit_doubtful import doubtful_section, important_positions
from camlucida.report.audit_exports import write_exports
from camlucida.report.audit_findings import comparison_section, differences_section, slices_section
from camlucida.report.audit_groups import Groups
from camlucida.report.audit_hypotheses import hypotheses_section
from camlucida.report.audit_maps import colour_table, map_blocks, visible_parts
from camlucida.report.audit_overview import confusion_of, confusion_section, overview
from camlucida.report.audit_targets import target_boxes
from camlucida.report.formatting import count_noun, join_names
from camlucida.report.templates import STYLE, read_asset, write_page
from camlucida.report.thumbnail_sheets import sprite_sheets
from camlucida.types import ProgressCallback

SCRIPTS = ("blocks", "state", "tiles", "grid", "scatter", "details", "controls")
"""The parts of the page's script, in order."""
MAX_TSNE_IMAGES = 3_000
"""Largest number of images that are placed by t-SNE; more are placed by their first two principal components."""
MAX_FAILURES = 100
MAX_BOXES = 6
"""Largest number of annotated boxes of an image that the page draws."""


def audit_report(
    audit: Audit, path: str | Path, *, max_images: int = 10_000, progress: ProgressCallback | None = None
) -> Path:
    """Write the report of an audit, and audit.json and images.csv beside it.

    The page needs neither a server nor another file. Findings that were not computed are left out. Without `audit.data`
    the page has no thumbnails.

    Args:
        audit: The audit.
        path: The HTML file to write.
        max_images: Largest number of images in the page; of more, those that its sections display, and a random sample.
        progress: Called with the number of thumbnails read and their total.

    Returns:
        The path of the report.

    Raises:
        DataError: If the audit is not complete, or a finding is damaged.
        MissingExtra: If jinja2 is not installed.
    """
    need("jinja2", extra="analysis", what="writing a report")
    page_path = Path(path).expanduser()
    written = write_page(page_path, "audit.html", page_content(audit, max_images, progress))
    write_exports(audit, page_path)
    return written


def page_content(audit: Audit, max_images: int, progress: ProgressCallback | None = None) -> dict[str, Any]:
    """Return the variables of the template."""
    n_rows = len(audit.rows)
    if not n_rows:
        raise DataError(f"{audit.path} has no images to report.")
    seed = int(audit.plan["seed"])
    important = important_positions(audit) if n_rows > max_images else []
    page = PageRows.of(audit, max_images, important, seed)
    groups = Groups(page)
    sections = {
        "hypotheses": _finding(audit, "hypotheses", lambda record: hypotheses_section(record, page, groups)),
        "slices": _finding(audit, "slices", lambda record: slices_section(record, groups)),
        "differences": _finding(audit, "differences", differences_section),
        "doubtful": doubtful_section(page, groups),
        "comparison": _finding(audit, "comparison", lambda record: comparison_section(record, groups)),
    }
    confusion = confusion_of(audit)
    positions, projection = _positions(page, seed)
    data, why = _usable_data(audit)
    maps, map_entries = map_blocks(page)
    parts, part_numbers = visible_parts(audit, page.rows)
    indices = [row["index"] for row in page.rows]
    if audit.has_targets:  # the targets of an image share its thumbnail
        indices = list(dict.fromkeys(indices))
    sheets = sprite_sheets(data, indices, progress) if data and page.rows else None
    extra: dict[str, Any] = {
        "groups": groups.entries,
        "points": positions,
        "maps": map_entries,
        "parts": parts,
        "part": part_numbers,
        "boxes": target_boxes(page.rows) if audit.has_targets else _boxes(data, page) if data else {},
        "colours": colour_table(),
        "cell": sheets.cell_px if sheets else 0,
        "perRow": sheets.per_row if sheets else 0,
        "sizes": [side for size in sheets.sizes for side in size] if sheets else [],
    }
    blocks = table_blocks(page, extra) | maps
    blocks |= {f"sheet-{i}": sheet for i, sheet in enumerate(sheets.sheets)} if sheets else {}
    n_broken = int(audit.summary["n_errors"])
    return {
        "title": f"Audit of {audit.plan['model']} on {audit.plan['data']}",
        "overview": overview(audit, _counts(sections)),
        "confusion": confusion_section(confusion) if confusion else None,
        "projection": projection,
        **sections,
        "noun": "targets" if audit.has_targets else "images",
        "n": len(page.rows),
        "left_out": n_rows - n_broken - len(page.rows),
        "why": why,
        "failures": [(row["image"], row["error"]) for row in audit.rows if row["error"] is not None][:MAX_FAILURES],
        "more_failures": max(0, n_broken - MAX_FAILURES),
        "method": _method_facts(audit),
        "cost": _cost_facts(audit),
        "facts": _small_print(audit),
        "blocks": blocks,
        "contents": _contents(sections, n_broken, audit.has_targets),
        "script": script(),
        "page_style": page_style(),
        "policy": content_policy(),
    }


def script() -> str:
    """Return the script of the page, which is the same for every audit."""
    parts = "\n".join(read_asset(f"audit_{part}.js") for part in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();'


def page_style() -> str:
    """Return the style sheet of the page."""
    return f"{STYLE}\n{read_asset('audit.css')}"


def content_policy() -> str:
    """Return the Content-Security-Policy of the page: its own script and style sheet, no request, no other origin."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script(), page_style())]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _contents(sections: Mapping[str, Any], n_broken: int, has_targets: bool) -> list[tuple[str, str]]:
    """Return the sections that the page has, as id and title."""
    titles = {
        "hypotheses": "Suspected cues",
        "images": "Targets" if has_targets else "Images",
        "slices": "Slices",
        "differences": "Correct and wrong",
        "doubtful": "Most doubtful",
        "comparison": "Comparison",
        "method": "Method and cost",
        "broken": "Unreadable images",
        "small-print": "Small print",
    }
    present = {**sections, "images": True, "method": True, "broken": n_broken, "small-print": True}
    return [(id_, title) for id_, title in titles.items() if present.get(id_)]


def _finding(audit: Audit, name: str, section: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any] | None:
    """Return the section of a finding, or None if it was not computed."""
    record = audit.finding(name)
    if record is None:
        return None
    try:
        return section(record)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        file = audit.path / FINDINGS_FOLDER / f"{name}.json"
        raise DataError(
            f"{file} is damaged or of another version ({type(error).__name__}: {error}). Delete it and run "
            "`camlucida audit` again."
        ) from None


def _counts(sections: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the tiles of the overview that count findings."""
    tiles = []
    if hypotheses := sections["hypotheses"]:
        tiles.append((f"{hypotheses['n_cues']:,}", "verified cues", f"of {count_noun(hypotheses['n'], 'suspicion')}"))
    if (slices := sections["slices"]) and slices["plot"]:
        differing = [row for row, *_ in slices["plot"].rows if row.highlighted]
        note = f"lowest: {min(row.value for row in differing):.0%}" if differing else "none is significant"
        tiles.append((f"{len(differing):,}", "slices that differ", note))
    return tiles


def _positions(page: PageRows, seed: int) -> tuple[list[float | None], str]:
    """Return the positions of the rows in the plane, x and y in turn within [0, 1], and how they were computed."""
    audit = page.audit
    if "features" not in audit.store.array_names:
        return [], ""
    features = audit.features()[page.positions].astype(np.float32)
    known = np.isfinite(features).all(1) if features.size else np.zeros(len(features), dtype=np.bool_)
    if known.sum() < 3:
        return [], ""
    way: ProjectionMethod = "tsne" if known.sum() <= MAX_TSNE_IMAGES else "pca"
    projection = project(features[known], way, seed=seed)
    low, high = projection.positions.min(0), projection.positions.max(0)
    plane = np.full((len(features), 2), np.nan)
    plane[known] = (projection.positions - low) / np.maximum(high - low, 1e-12)
    values = rounded_bits(plane.ravel()).tolist()
    return [round(value, 4) if value == value else None for value in values], projection.description


def _usable_data(audit: Audit) -> tuple[Dataset | None, str]:
    """Return the data set, or None and the reason why the page has no thumbnails."""
    if audit.data is None:
        return None, "This report was written without the images, so that it has no thumbnails."
    if difference := mismatch(audit.plan, None, audit.data):
        return None, f"There are no thumbnails: {difference} since the audit."
    return audit.data, ""


def _boxes(data: Dataset, page: PageRows) -> dict[int, list[float]]:
    """Return the annotated boxes by index in the page, as fractions of the image."""
    boxes = {}
    for i, row in enumerate(page.rows):
        if row["n_boxes"] and row["width"] and row["height"]:
            found = data[row["index"]].boxes
            if found is not None:
                fractions = np.asarray(found[:MAX_BOXES]) / np.array([row["width"], row["height"]] * 2)
                boxes[i] = np.round(fractions, 3).ravel().tolist()
    return boxes


def _method_facts(audit: Audit) -> list[tuple[str, str]]:
    plan = audit.plan
    layers = [method.get("layer") for method in plan["methods"]] + [plan.get("layer")]
    named = list(dict.fromkeys(str(layer) for layer in layers if layer))
    return [
        ("methods", join_names([str(method["name"]) for method in plan["methods"]], 12)),
        ("layer", join_names(named, 12) or "the default layer of the model"),
        ("explained classes", join_names([str(name) for name in plan["classes"]])),
        ("findings", join_names([file.stem for file in sorted((audit.path / FINDINGS_FOLDER).glob("*.json"))], 12)),
        ("batch size", str(plan["batch_size"])),
    ]


def _cost_facts(audit: Audit) -> list[tuple[str, str]]:
    """Return the numbers of run.json, whatever it records; targets have precision and recall, and no accuracy."""
    left_out = ("accuracy", "n_labelled") if audit.has_targets else ()
    scalars = {name: v for name, v in audit.summary.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return [
        (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:,.4g}")
        for name, value in scalars.items()
        if name not in left_out
    ]


def _small_print(audit: Audit) -> list[tuple[str, str]]:
    plan = audit.plan
    return [
        ("model", f"{plan['model']} (weights {plan['weights']})"),
        ("data", f"{plan['data']} ({count_noun(plan['n_images'], 'image')}, {plan['data_hash']})"),
        ("seed", str(plan["seed"])),
        ("chunks", f"{plan['chunk_images']} images"),
        ("versions", ", ".join(f"{name} {version}" for name, version in plan["versions"].items())),
        ("written by", f"camlucida {camlucida.__version__}"),
        ("folder", audit.path.name),
    ]
