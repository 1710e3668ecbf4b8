"""The manifest of an audit: hashes, versions, hardware, seed and command, as they are when the record is written."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

import camlucida
from camlucida.audits.audit_result import Audit
from camlucida.audits.store import RESULT

COPIED = (
    "model", "weights", "preprocessing", "data", "n_images", "data_hash", "methods", "layer", "batch_size",
    "chunk_images", "seed", "versions",
)  # fmt: skip
"""Entries of the plan that the manifest repeats."""


def manifest(audit: Audit) -> dict[str, Any]:
    """Return the manifest of an audit.

    Hardware, command line and date are those of the process that writes the record; weights, data, seed and versions
    are those that the rows were computed with.
    """
    plan = audit.plan
    table = audit.path / RESULT
    return {
        **{name: plan.get(name) for name in COPIED},
        "n_classes": len(plan.get("labels", ())),
        "source": audit.store.source,
        "rows": {"file": RESULT, "blake2b": hashlib.blake2b(table.read_bytes(), digest_size=16).hexdigest()},
        "written_by": {
            "camlucida": camlucida.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "hardware": hardware(),
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv and sys.argv[0] else None,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    }


def hardware() -> dict[str, Any]:
    """Return the processor, its number of CPUs, the memory in bytes and the GPUs of this machine."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": _processor(),
        "n_cpus": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "memory_bytes": _memory(),
        "gpus": gpus,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
