"""The section of an audit's report on hypotheses: what the model may rely on, and whether an intervention agrees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camlucida.audits.audit_result import FINDINGS_FOLDER, Audit
from camlucida.data.small_images import load_small_image
from camlucida.errors import CamlucidaError
from camlucida.report.audit_columns import PageRows
from camlucida.report.audit_groups import Groups, number, texts
from camlucida.report.forest_plot import ForestRow, forest_plot
from camlucida.report.formatting import count_noun, format_interval, format_number, format_p_value
from camlucida.report.thumbnails import data_uri

MAX_CARDS = 40
N_OTHERS = 4
"""Number of hypotheses in the plot beside the verified cues."""
MAX_EVIDENCE = 4
"""Largest number of evidence images of a hypothesis."""
EVIDENCE_PX = 720
MAX_EVIDENCE_BYTES = 6_000_000
N_MEMBERS = 8
"""Number of members whose thumbnails are displayed with a hypothesis."""


def hypotheses_section(record: Mapping[str, Any], page: PageRows, groups: Groups) -> dict[str, Any]:
    """Return the variables of the section.

    Args:
        record: The finding `hypotheses`.
        page: The rows of the page.
        groups: The groups of images of the page, to which the members of each hypothesis are added.
    """
    entries = list(record["hypotheses"])
    left = MAX_EVIDENCE_BYTES
    cards = []
    for entry in entries[:MAX_CARDS]:
        images = []
        for name in list(entry.get("images") or [])[:MAX_EVIDENCE]:
            uri = _evidence(page.audit, name)
            if uri and len(uri) <= left:
                images.append(uri)
                left -= len(uri)
        cards.append(_card(entry, images, page, groups))
    cues = [card for card in cards if card["verified"] and not card["same_as"]]
    others = [card for card in cards if card not in cues]
    displayed = [*cues, *others[:N_OTHERS]]
    effects = [card["effect"] for card in displayed if math.isfinite(card["effect"].value)]
    return {
        "cards": cues or others[:1],
        "folded": others if cues else others[1:],
        "more": max(0, len(entries) - MAX_CARDS),
        "n_cues": len(cues),
        "n": len(entries),
        "plot": _plot(entries, effects) if effects else None,
        "sentences": texts(record),
    }


def _card(entry: Mapping[str, Any], images: list[str], page: PageRows, groups: Groups) -> dict[str, Any]:
    rank, class_name = int(entry["rank"]), str(entry["class"] or "all classes")
    members = [int(i) for i in entry["members"]]
    group = groups.add(f"hypothesis-{rank}", f"Hypothesis {rank}: {class_name}, {entry['kind']}", members)
    effect = entry.get("effect") or {}
    medoid = entry.get("medoid")
    shown = list(dict.fromkeys([*([int(medoid)] if medoid is not None else []), *members]))[:N_MEMBERS]
    value = number(effect.get("value"))
    return {
        "rank": rank,
        "class": class_name,
        "kind": str(entry["kind"]),
        "verified": bool(entry["verified"]),
        "same_as": int(entry.get("same_as") or 0),
        "sentence": str(entry.get("sentence") or ""),
        "description": str(entry.get("description") or ""),
        "members": f"{int(entry['n_members']):,} of {int(entry['n_class']):,} images",
        "suspicion": format_number(number(entry.get("suspicion"))),
        "p": format_p_value(number(entry.get("p_corrected"))),
        "effects": [_effect_fact(each) for each in (effect, entry.get("cover_effect")) if each],
        "effect": ForestRow(
            f"{rank}. {class_name}",
            value,
            number(effect.get("low")),
            number(effect.get("high")),
            note=f"{entry['kind']}, {count_noun(len(members), 'image')}",
            p=format_p_value(number(entry.get("p_corrected"))),
            highlighted=bool(entry["verified"]),
            filters={"group": group},
        ),
        "images": images,
        "group": group,
        "strip": page.page_indices(shown),
        "region": _region(entry.get("region")) if entry["kind"] == "fixed position" else "",
    }


def _effect_fact(effect: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of an effect, and its value with interval, number of images and control."""
    interval = format_interval(number(effect.get("low")), number(effect.get("high")))
    facts = [f"{format_number(number(effect.get('value')))} ({interval})"]
    if effect.get("n"):
        facts.append(count_noun(int(effect["n"]), "image"))
    if effect.get("control"):
        facts.append(f"control: {effect['control']}")
    return str(effect.get("name") or "effect"), "; ".join(facts)


def _plot(entries: list[Any], effects: list[ForestRow]) -> Any:
    names = list(dict.fromkeys(str((entry.get("effect") or {}).get("name") or "effect") for entry in entries))
    caption = names[0][:1].upper() + names[0][1:] if len(names) == 1 else "Effect of the intervention"
    return forest_plot(f"{caption}, with 95 % intervals", effects, reference=0.0, reference_name="no effect")


def _region(region: Any) -> str:
    """Return a region as the text of a data attribute, or an empty text."""
    if not isinstance(region, list) or len(region) != 4:
        return ""
    return " ".join(f"{number(end):.4f}" for end in region)


def _evidence(audit: Audit, name: Any) -> str:
    """Return an image under findings/images as a data URI, encoded again; empty if it cannot be read."""
    file = audit.path / FINDINGS_FOLDER / "images" / Path(str(name)).name
    try:
        return data_uri(load_small_image(file, EVIDENCE_PX))
    except CamlucidaError:
        return ""
