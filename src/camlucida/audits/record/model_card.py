"""The model card of an audited model: Markdown with the YAML front matter of the Hugging Face hub.

Each line says what was measured, what was not, or that a person has to fill it in. Nothing is invented, and nothing is
said about the compliance with any law.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from camlucida._escaping import printable
from camlucida.audits.record.audit_record import BLANK, AuditRecord, interval_text
from camlucida.audits.targets.wording import IMAGES, OF_TARGETS

MAX_SUBGROUPS = 40
"""Rows of the table of subgroups: those with the lowest accuracy."""


def model_card(record: AuditRecord) -> str:
    """Return the model card as Markdown.

    Args:
        record: The record of the audit.
    """
    manifest, performance = record.manifest, record.performance
    words = OF_TARGETS.get(performance.get("kind", ""))
    parts = [
        _front_matter(record),
        f"# Model card: {_text(manifest['model'])}",
        "Written by `camlucida export` from an audit. Lines are measured, marked as *not measured*, or marked as "
        f"*{BLANK}*. It makes no statement about the compliance with any law.",
        "## Use",
        *(f"- **{_capital(name)}**: {_by_a_person(entry)}" for name, entry in record.by_a_person.items()),
        "## What was audited",
        _table(("", ""), _manifest_rows(manifest)),
        "## Accuracy and calibration" if words is None else "## Recall, precision and calibration",
    ]
    if performance["status"] != "measured":
        parts.append(f"*Not measured*: {performance['reason']}.")
    else:
        overall = {"column": "all images" if words is None else "all", "value": "", **performance["overall"]}
        subgroups = sorted(performance["subgroups"], key=lambda entry: entry["accuracy"]["value"])
        header = ["group", "images", "accuracy [95 %]", "calibration error [95 %]", "95th percentile by chance"]
        if words is not None:
            header[1:3] = [words.objects, "recall [95 %]", words.predictions, "precision [95 %]"]
            parts.append(words.criterion)
        parts.append(_table(header, [_row(entry) for entry in (overall, *subgroups[:MAX_SUBGROUPS])]))
        if len(subgroups) > MAX_SUBGROUPS:
            rate = "accuracy" if words is None else "precision"
            parts.append(f"{len(subgroups) - MAX_SUBGROUPS} subgroups of higher {rate} are in findings/record.json.")
        parts.append("Intervals are not corrected for the number of groups.")
    parts += ["## When it says nothing", *_abstentions(record.abstentions)]
    parts += ["## How far the explanations can be trusted", *(f"- {_text(line)}" for line in record.method_sentences)]
    return "\n\n".join(_joined(parts)) + "\n"


def _front_matter(record: AuditRecord) -> str:
    """Return the YAML front matter. Values are written as JSON, which YAML contains."""
    manifest, performance = record.manifest, record.performance
    words = OF_TARGETS.get(performance.get("kind", ""), IMAGES)
    task = f"pipeline_tag: {words.pipeline_tag}"
    lines = ["---", "# license: to be filled in by a person", task, "tags:", "- audit"]
    if performance["status"] == "measured":
        overall = performance["overall"]
        metrics = [
            ("accuracy" if words is IMAGES else "precision", overall["accuracy"]["value"]),
            *([("recall", overall["recall"]["value"])] if overall.get("recall") else []),
            ("expected_calibration_error", overall["ece"]["value"]),
        ]
        lines += [
            "model-index:",
            f"- name: {json.dumps(manifest['model'])}",
            "  results:",
            "  - task:",
            f"      type: {words.pipeline_tag}",
            "    dataset:",
            f"      name: {json.dumps(manifest['data'])}",
            f"      type: {json.dumps(manifest['data'])}",
            "    metrics:",
        ]
        for name, value in metrics:
            lines += [f"    - type: {name}", f"      value: {json.dumps(value)}"]
    return "\n".join([*lines, "---"])


def _manifest_rows(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    written = manifest["written_by"]
    hardware = written["hardware"]
    machine = f"{hardware['processor']}, {hardware['n_cpus']} CPUs, {', '.join(hardware['gpus']) or 'no GPU'}"
    return [
        ("model", manifest["model"]),
        ("weights (SHA-256, 16 digits)", manifest["weights"]),
        ("data", f"{manifest['data']}, {manifest['n_images']} images"),
        ("data hash", manifest["data_hash"]),
        ("methods", ", ".join(method["name"] for method in manifest["methods"])),
        ("layer", str(manifest["layer"] or "the default layer")),
        ("seed", str(manifest["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())),
        ("hardware", machine),
        ("command", written["command"] or "*not recorded*"),
        ("date", written["date"]),
    ]


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{entry['column']} = {entry['value']}" if entry["value"] else entry["column"]
    recall = entry.get("recall")
    return (
        name,
        *(
            (str(entry["n_objects"]), "no object" if recall is None else interval_text(recall))
            if "recall" in entry
            else ()
        ),
        str(entry["n"]),
        interval_text(entry["accuracy"]),
        interval_text(entry["ece"]),
        f"{entry['ece_by_chance']:.3f}",
    )


def _abstentions(abstentions: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in ("guesses", "maps_without_positive_evidence", "errors"):
        entry, title = abstentions[name], _capital(name.replace("_", " "))
        if entry["status"] == "measured":
            lines.append(f"- **{title}**: {entry['count']} of {entry['n']}, {interval_text(entry)}")
        else:
            lines.append(f"- **{title}**: *not measured*: {entry['reason']}")
    verdicts = abstentions["verdicts"]
    if verdicts["status"] == "measured":
        counts = ", ".join(f"{level}: {count}" for level, count in verdicts["counts"].items())
        lines.append(f"- **Verdicts of `trust`** on {verdicts['n']} images: {counts}")
    else:
        lines.append(f"- **Verdicts of `trust`**: *not measured*: {verdicts['reason']}")
    return lines


def _by_a_person(entry: Mapping[str, Any]) -> str:
    return _text(entry["text"]) if entry["text"] else f"*{BLANK}*"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """Return a name that may come from anybody, without line breaks, control characters and markup."""
    return printable(" ".join(str(text).split())).replace("<", "&lt;")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _joined(parts: Sequence[str]) -> list[str]:
    """Return the parts with the items of a list joined."""
    joined: list[str] = []
    for part in parts:
        if joined and part.startswith("- ") and joined[-1].startswith("- "):
            joined[-1] += f"\n{part}"
        else:
            joined.append(part)
    return joined
