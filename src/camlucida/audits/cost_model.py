"""Cost of an audit before it runs: time, passes, bytes and files, from the measured cost of a small audit.

The model is linear: a start that does not depend on the number of images, and a cost per image that depends on the
network, the images and the hardware. Both are measured, never assumed; docs/audit-cost.md says how well they hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camlucida.audits.audit_result import Audit
from camlucida.audits.plan import CHUNK_IMAGES, EXPLAINED_CLASSES
from camlucida.errors import DataError

HALF_BYTES = 2
"""Bytes of a number in float16."""

MIN_FIT_RATIO = 2.0
"""Smallest ratio of the largest to the smallest number of images from which both numbers can be determined."""


@dataclass(frozen=True)
class Rate:
    """The measured cost of an audit on one worker.

    Attributes:
        start_s: Seconds that do not depend on the number of images: imports, loading, checks of the layer.
        image_s: Seconds per image.
        read_bytes: Mean size of an image file.
        stored_bytes: Bytes of the audit's folder per image.
        forwards: Forward passes per image.
    """

    start_s: float
    image_s: float
    read_bytes: float
    stored_bytes: float
    forwards: float = 1.0


@dataclass(frozen=True)
class Cost:
    """The cost of an audit.

    Attributes:
        n_images: Number of images.
        workers: Number of workers of the same speed.
        hours: Time from the start to the last chunk, without waiting for the scheduler.
        worker_hours: The same, summed over the workers.
        forwards: Forward passes of the network.
        read_bytes: Bytes of all image files.
        stored_bytes: Bytes of the audit's folder.
        n_files: Files in the audit's folder.
    """

    n_images: int
    workers: int
    hours: float
    worker_hours: float
    forwards: float
    read_bytes: float
    stored_bytes: float
    n_files: int

    def record(self) -> dict[str, Any]:
        """Return the cost as JSON can represent it."""
        return asdict(self)


def fit_rate(runs: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return the seconds of the start and the seconds per image, by a line through measured runs.

    Args:
        runs: Number of images and seconds of each run, of at least two sizes, of which the largest is at least twice
            the smallest.

    Raises:
        DataError: If the sizes are too few or too close to each other.
    """
    sizes = [n for n, _ in runs]
    if len(set(sizes)) < 2 or max(sizes) < MIN_FIT_RATIO * min(sizes):
        raise DataError(
            f"a start and a cost per image take runs of two sizes, the larger at least {MIN_FIT_RATIO:g} times the "
            f"smaller, and these have {', '.join(map(str, sizes)) or 'none'} images."
        )
    per_image, start = np.polyfit(np.array(sizes, dtype=np.float64), np.array([seconds for _, seconds in runs]), 1)
    return max(0.0, float(start)), float(per_image)


def estimate(
    rate: Rate, n_images: int, *, workers: int = 1, chunk_images: int = CHUNK_IMAGES, n_arrays: int = 3
) -> Cost:
    """Return the cost of an audit.

    Workers take whole chunks, so that the last ones may wait for one chunk. Reading and writing are part of the
    measured rate, and are assumed to keep up with the workers: the file system must deliver
    `workers * read_bytes / image_s` bytes per second.

    Args:
        rate: The measured cost on one worker.
        n_images: Number of images.
        workers: Number of workers of that speed.
        chunk_images: Images per chunk.
        n_arrays: Arrays per chunk: one per method, and two if a method maps a layer.
    """
    n_chunks = math.ceil(n_images / chunk_images)
    per_worker = math.ceil(n_chunks / workers) * chunk_images
    seconds = rate.start_s + min(per_worker, n_images) * rate.image_s
    return Cost(
        n_images=n_images,
        workers=workers,
        hours=seconds / 3600,
        worker_hours=(min(workers, n_chunks) * rate.start_s + n_images * rate.image_s) / 3600,
        forwards=n_images * rate.forwards,
        read_bytes=n_images * rate.read_bytes,
        stored_bytes=n_images * rate.stored_bytes,
        n_files=n_chunks * (n_arrays + 3),  # the table, its digest and that of the arrays
    )


def array_bytes(grid: tuple[int, int], n_channels: int, n_methods: int = 1) -> int:
    """Return the bytes of an image's arrays: three maps per method, and relevances and means of the channels.

    Args:
        grid: Height and width of the layer.
        n_channels: Channels of the layer; 0 if no method maps a layer.
        n_methods: Number of methods.
    """
    n_classes = len(EXPLAINED_CLASSES)
    return HALF_BYTES * (n_methods * n_classes * grid[0] * grid[1] + (n_classes + 1) * n_channels)


def folder_bytes(audit: Audit) -> float:
    """Return the bytes of an audit's folder per image, without what was derived from it."""
    derived = {audit.path / "findings", audit.path / "audit.html"}
    n_images: int = audit.table.num_rows
    return sum(_sizes(audit.path, derived)) / max(1, n_images)


def _sizes(folder: Path, left_out: set[Path]) -> list[int]:
    return [
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and not any(part in left_out for part in (file, *file.parents))
    ]
