"""Results of single hypotheses on disk, so that an interrupted search resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from camlucida._files import atomic_write
from camlucida.audits.audit_result import FINDINGS_FOLDER, Audit
from camlucida.audits.hypotheses.candidates import Candidate
from camlucida.audits.hypotheses.interventions import Covered, Pasted
from camlucida.audits.hypotheses.objects import ObjectEvidence
from camlucida.audits.hypotheses.regions import Regions
from camlucida.audits.hypotheses.settings import Settings
from camlucida.audits.hypotheses.verification import Verification, key_of
from camlucida.evaluation.statistics import Interval

WRITE_EVERY_S = 5.0
"""Seconds between two writes: what an interruption loses at most."""
FILE = "hypotheses.partial"


class Partial:
    """Results by stage and candidate. A file that was written with other settings, or is damaged, is ignored.

    Args:
        audit: The audit, into whose folder the file is written.
        settings: The settings.
    """

    def __init__(self, audit: Audit, settings: Settings) -> None:
        self._file: Path = audit.path / FINDINGS_FOLDER / FILE
        self._head = {"settings": settings.record(), "data": audit.plan["data_hash"], "weights": audit.plan["weights"]}
        self._results: dict[str, Any] = self._read()
        self._written = time.monotonic()

    def kept(self, stage: str, candidate: Candidate, compute: Callable[[Candidate], Verification]) -> Verification:
        """Return the stored result of a candidate, or compute and store it."""
        key = f"{stage}/{key_of(candidate)}"
        if key in self._results:
            return _from_json(self._results[key])
        result = compute(candidate)
        self._results[key] = _to_json(result)
        if time.monotonic() - self._written > WRITE_EVERY_S:
            atomic_write(self._file, json.dumps({**self._head, "results": self._results}))
            self._written = time.monotonic()
        return result

    def remove(self) -> None:
        """Delete the file: the search is complete."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            results = content.pop("results")
        except (OSError, ValueError, AttributeError, KeyError):
            return {}
        return dict(results) if content == json.loads(json.dumps(self._head)) else {}


def _to_json(result: Verification) -> dict[str, Any]:
    content = asdict(result)
    return json.loads(json.dumps(content, default=lambda array: array.tolist()))  # type: ignore[no-any-return]


def _from_json(content: dict[str, Any]) -> Verification:
    regions = content["regions"]
    covered = content["covered"]
    return Verification(
        rows=np.array(content["rows"], dtype=np.int64),
        regions=Regions(tuple(tuple(box) for box in regions["boxes"]), tuple(regions["size"]), regions["is_border"]),
        pasted=_pasted(content["pasted"]),
        control_pasted=_pasted(content["control_pasted"]),
        gain=Interval(**content["gain"]),
        p_paste=content["p_paste"],
        covered=None if covered is None else Covered(**{name: np.array(values) for name, values in covered.items()}),
        drop=None if content["drop"] is None else Interval(**content["drop"]),
        p_cover=content["p_cover"],
        objects=None if content["objects"] is None else ObjectEvidence(**content["objects"]),
    )


def _pasted(content: dict[str, Any]) -> Pasted:
    return Pasted(**{name: np.array(values) for name, values in content.items()})
