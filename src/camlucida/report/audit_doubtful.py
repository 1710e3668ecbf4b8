"""The most doubtful images of an audit: confident errors, evidence outside the object, label errors, duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.targets.wording import wording_of
from camlucida.report.audit_columns import PageRows
from camlucida.report.audit_groups import Groups
from camlucida.report.formatting import count_noun

MAX_GROUP = 200
"""Largest number of images of a group."""
N_STRIP = 12
"""Number of images of a group that are displayed."""
MAX_REASONS = 12
LIST_NAMES = ("errors", "groups")
"""Names of the lists of label errors and of duplicates."""


def doubtful_section(page: PageRows, groups: Groups) -> list[dict[str, Any]]:
    """Return the strips of the section: each with its title, the group of its images, and the first of them."""
    missed, words = missed_objects(page.audit), wording_of(page.audit)
    wrong = "False and confident" if page.audit.has_targets else "Wrong and confident"
    strips = [
        ("missed", f"Missed {words.objects}", "Largest first, with the map of the missed class.", missed, []),
        ("confident-errors", wrong, "Most confident first.", confident_errors(page.audit), []),
        (
            "outside-box",
            f"Correct, but the evidence is outside {words.own}",
            "Smallest fraction of the map on the object, divided by the fraction of the image that the object covers.",
            outside_box(page.audit),
            [],
        ),
        _from_finding(page.audit, "label_errors", "label-errors", "Likely label errors"),
        _from_finding(page.audit, "duplicates", "duplicates", "Near duplicates"),
    ]
    result = []
    for key, title, note, positions, reasons in strips:
        if positions:
            groups.add(key, title, positions)
            shown = page.page_indices(positions[:N_STRIP])
            result.append(
                {"group": key, "title": title, "note": note,
                 "n": count_noun(len(positions), "target" if page.audit.has_targets else "image"), "strip": shown,
                 "reasons": reasons[:MAX_REASONS]}
            )  # fmt: skip
    return result


def important_positions(audit: Audit) -> list[int]:
    """Return the positions of rows that sections display, which a page that holds a sample only must contain."""
    found: list[int] = []
    for name, key in (("hypotheses", "members"), ("slices", "rows")):
        for entry in (audit.finding(name) or {}).get(name) or []:
            found += [int(position) for position in entry.get(key) or []]
    lists = [missed_objects(audit), confident_errors(audit), outside_box(audit)]
    lists += [positions_of(audit.finding(name) or {}, name) for name in ("label_errors", "duplicates")]
    return [*(position for each in lists for position in each), *found]


def confident_errors(audit: Audit) -> list[int]:
    """Return the positions of wrong predictions, the most confident first."""
    wrong = np.flatnonzero(audit.column("correct") == False)  # noqa: E712  (None is neither)
    if audit.has_targets:  # missed objects are no predictions
        wrong = wrong[audit.column("outcome")[wrong] == "false"]
    return _ordered(wrong, -audit.column("confidence")[wrong])


def missed_objects(audit: Audit) -> list[int]:
    """Return the positions of objects that were missed, the largest first; empty where rows are images."""
    if not audit.has_targets:
        return []
    missed = np.flatnonzero(audit.column("outcome") == "missed")
    return _ordered(missed, -np.nan_to_num(audit.column("box_area")[missed]))


def outside_box(audit: Audit) -> list[int]:
    """Return the positions of correct predictions whose map has a smaller fraction on the object than chance."""
    energy, area = audit.column("energy_in_box"), audit.column("box_area")
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = energy / area
        found = np.flatnonzero((audit.column("correct") == True) & (lift < 1))  # noqa: E712
    return _ordered(found, lift[found])


def positions_of(record: Mapping[str, Any], name: str) -> list[int]:
    """Return the positions of the rows that a finding lists, in its order, without repetition."""
    found: list[int] = []
    for entry in _listed(record, name):
        for key in ("row", "index", "rows", "members", "first", "second"):
            value = entry.get(key) if isinstance(entry, dict) else entry
            values = value if isinstance(value, list) else [value]
            found += [int(each) for each in values if isinstance(each, int) and not isinstance(each, bool)]
    return list(dict.fromkeys(found))[:MAX_GROUP]


def _from_finding(audit: Audit, name: str, key: str, title: str) -> tuple[str, str, str, list[int], list[str]]:
    record = audit.finding(name) or {}
    reasons = [reason for entry in _listed(record, name) if isinstance(entry, dict) and (reason := _reason(entry))]
    sentences = [str(sentence) for sentence in record.get("sentences") or []]
    return key, title, " ".join(sentences[:2]), positions_of(record, name), reasons


def _reason(entry: Mapping[str, Any]) -> str:
    """Return why an image, or a group of images, is listed."""
    named = entry.get("reasons") if isinstance(entry.get("reasons"), list) else [entry.get("reason")]
    facts = [str(reason) for reason in named or [] if reason]
    facts += [
        key.replace("_", " ") for key in ("identical", "crosses_splits", "labels_differ") if entry.get(key) is True
    ]
    image = entry.get("image") or ", ".join(str(each) for each in entry.get("images") or [])
    return f"{image}: {'; '.join(facts)}" if image and facts else "; ".join(facts)


def _listed(record: Mapping[str, Any], name: str) -> Sequence[Any]:
    """Return the list of a finding, which has its name or one of `LIST_NAMES`, or is its only list."""
    for key in (name, *LIST_NAMES):
        if isinstance(record.get(key), list):
            return list(record[key])
    others = [value for key, value in record.items() if key != "sentences" and isinstance(value, list) and value]
    return others[0] if others else []


def _ordered(positions: NDArray[np.int64], keys: NDArray[np.float64]) -> list[int]:
    order: list[int] = positions[np.argsort(keys, kind="stable")].tolist()
    return order[:MAX_GROUP]
