"""The record of an audit: what was audited, what was measured, what was not, and what a person has to fill in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from camlucida.audits.audit_result import Audit
from camlucida.audits.record.manifest import manifest
from camlucida.audits.record.qualification import N_IMAGES, controls, explained_method, reproducibility
from camlucida.audits.record.subgroups import abstentions, performance
from camlucida.audits.targets.wording import OF_TARGETS
from camlucida.errors import CamlucidaError
from camlucida.reliability.trust import trust
from camlucida.types import ProgressCallback

SCHEMA_VERSION = 1

BY_A_PERSON = (
    "purpose",
    "provider",
    "intended users",
    "foreseeable misuse",
    "conditions of use",
    "people who were consulted",
    "contact",
)
"""Lines that no measurement can fill in. They are blank until a person writes them."""

BLANK = "to be filled in by a person"


@dataclass(frozen=True)
class AuditRecord:
    """The record of an audit. Each part has a "status": "measured", "not measured" or "to be filled in by a person".

    Attributes:
        manifest: Hashes, versions, hardware, seed, command and date.
        performance: Accuracy and calibration of all images and of subgroups, with intervals.
        abstentions: Guesses, maps without positive evidence, errors, and verdicts of `trust` on a sample.
        controls: The method compared with uninformative maps.
        reproducibility: Agreement of the maps with those of retrained models.
        by_a_person: Lines that a person has to fill in, with their text; None while they are blank.
        settings: The settings of the record.
    """

    manifest: dict[str, Any]
    performance: dict[str, Any]
    abstentions: dict[str, Any]
    controls: dict[str, Any]
    reproducibility: dict[str, Any]
    by_a_person: dict[str, Any]
    settings: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """Return the record as JSON can represent it."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "sentences": self.sentences}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the record from the content of findings/record.json."""
        return cls(**{name: record[name] for name in cls.__dataclass_fields__})

    @property
    def sentences(self) -> list[str]:
        """The record as plain sentences, of what was not measured, too."""
        return [*_performance_sentences(self.performance), *self.method_sentences]

    @property
    def method_sentences(self) -> list[str]:
        """The sentences about the maps."""
        return _method_sentences(self.controls, self.reproducibility)


def find_record(
    audit: Audit,
    *,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    retrained: Sequence[Audit] = (),
    n_controls: int = N_IMAGES,
    n_verdicts: int = 0,
) -> AuditRecord:
    """Write the record of an audit.

    Args:
        audit: The audit; with its model and data, if the method is to be compared with uninformative maps.
        seed: Seed of all random numbers.
        progress: Called with the number of images that the model has run on and the total.
        retrained: Audits of retrained models of the same data, for the reproducibility of the maps.
        n_controls: Number of images on which the method is compared with uninformative maps.
        n_verdicts: Number of images, chosen at random, on which `trust` gives its verdict; each takes about 125 forward
            passes.

    Returns:
        The record; `Audit.write_finding("record", …)` stores it.

    Raises:
        DataError: If an audit of `retrained` is of other images.
    """
    shared = {"n_controls": n_controls, "n_verdicts": n_verdicts, "retrained": [str(other.path) for other in retrained]}
    return AuditRecord(
        manifest=manifest(audit),
        performance=performance(audit, seed),
        abstentions=abstentions(audit) | {"verdicts": _verdicts(audit, n_verdicts, seed)},
        controls=controls(audit, seed, n_controls, progress),
        reproducibility=reproducibility(audit, retrained, seed),
        by_a_person={name: {"status": BLANK, "text": None} for name in BY_A_PERSON},
        settings={"seed": seed, **shared},
    )


def _verdicts(audit: Audit, n: int, seed: int) -> dict[str, Any]:
    """Return how often `trust` gives each of its verdicts, among them "cannot tell"."""
    if not n or audit.model is None or audit.data is None:
        reason = "the tests of `trust` take about 125 forward passes per image, and were not asked for"
        return {"status": "not measured", "reason": reason if not n else "the model and the data were not available"}
    has_targets = audit.has_targets
    readable = [
        i for i, row in enumerate(audit.rows) if row["error"] is None and not (has_targets and row["target"] is None)
    ]
    chosen = np.random.default_rng(seed).choice(readable, min(n, len(readable)), replace=False).tolist()
    method, layer = explained_method(audit)
    counts: Counter[str] = Counter()
    for row in (audit.rows[i] for i in chosen):
        try:
            result = trust(
                audit.model,
                audit.data[row["index"]].image,
                target=row["target"] if has_targets else None,
                method=method,
                layer=layer,
                seed=seed,
            )
        except CamlucidaError:
            counts["error"] += 1
        else:
            counts[result.verdict.level] += 1
    return {"status": "measured", "n": len(chosen), "counts": dict(sorted(counts.items()))}


def _performance_sentences(performance: Mapping[str, Any]) -> list[str]:
    words = OF_TARGETS.get(performance.get("kind", ""))
    rate = "Accuracy" if words is None else "Precision"
    if performance["status"] != "measured":
        return [f"Accuracy and calibration were not measured: {performance['reason']}."]
    overall = performance["overall"]
    sentences = [
        *(
            []
            if words is None or overall["recall"] is None
            else [
                f"Recall {interval_text(overall['recall'])} of {overall['n_objects']} {words.objects}: "
                f"{words.found}. {words.criterion}"
            ]
        ),
        f"{rate} {interval_text(overall['accuracy'])} of {overall['n']} "
        f"{performance.get('of', 'labelled images')} (95 % interval).",
        f"Expected calibration error {interval_text(overall['ece'])}; that of a perfectly calibrated model with the "
        f"same confidences stays below {overall['ece_by_chance']:.3f} in 95 % of samples.",
    ]
    rows = "images" if words is None else words.predictions
    if subgroups := performance["subgroups"]:
        worst = min(subgroups, key=lambda entry: (entry["accuracy"]["high"], entry["column"], entry["value"]))
        sentences.append(
            f"Of {len(subgroups)} subgroups, {worst['column']} = {worst['value']} has the lowest upper end of its "
            f"interval: {rate.lower()} {interval_text(worst['accuracy'])}, {worst['n']} {rows}. The intervals are not "
            "corrected for the number of subgroups; the finding `slices` tests them."
        )
    return sentences


def _method_sentences(controls: Mapping[str, Any], reproducibility: Mapping[str, Any]) -> list[str]:
    sentences = []
    if controls["status"] != "measured":
        sentences.append(f"The method was not compared with uninformative maps: {controls['reason']}.")
    else:
        failed = [entry["name"] for entry in controls["controls"] if not entry["method_is_better"]]
        verdict = f"is not better than {', '.join(failed)}" if failed else "is better than all uninformative maps"
        sentences.append(
            f"{controls['method']} {verdict} in the energy in the box, on {controls['n']} images: "
            f"{interval_text(controls['energy'])}."
        )
    if reproducibility["status"] != "measured":
        sentences.append(f"Reproducibility across retrained models was not measured: {reproducibility['reason']}.")
    for entry in reproducibility.get("models", ()):
        same = " (it has the same weights)" if entry["same_weights"] else ""
        sentences.append(
            f"The maps agree with those of {entry['path']}{same} with a rank correlation of "
            f"{interval_text(entry['rank_correlation'])}, on {entry['n']} images."
        )
    return sentences


def interval_text(interval: Mapping[str, float | None]) -> str:
    """Return a value with its interval, as in 0.812 [0.790, 0.832]."""
    if interval["value"] is None:
        return "not defined"
    if interval["low"] is None or interval["high"] is None:
        return f"{interval['value']:.3f}"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
