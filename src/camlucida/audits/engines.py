"""Engines, which measure the chunks of an audit that are missing: one after the other in this process, or on Ray."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from camlucida.audits.chunks import process_chunk
from camlucida.audits.plan import AuditPlan
from camlucida.audits.store import AuditStore
from camlucida.errors import DataError
from camlucida.evaluation.run_parts import run_parts
from camlucida.options import shown
from camlucida.types import ProgressCallback

EngineName: TypeAlias = Literal["local", "ray"]

RAY_ENGINE = "camlucida.audits.ray_engine"
"""The module with `ray_engine(workers: int | None) -> Engine`."""


@dataclass(frozen=True)
class Shard:
    """One of several processes that share the chunks of an audit: it takes every n-th chunk.

    Attributes:
        index: Number of the process, from 0.
        count: Number of processes.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Raise `DataError` for an impossible shard."""
        if not 0 <= self.index < self.count:
            raise DataError(f"shard {self.index}/{self.count} does not exist: shards count from 0/n to (n - 1)/n.")

    @classmethod
    def of(cls, text: str | None) -> Shard:
        """Return the shard "i/n"; without a text that of the environment variables RANK and WORLD_SIZE, if set.

        Raises:
            DataError: If the text is no shard.
        """
        if text is None:
            rank, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
            if rank is None or world is None:
                return cls()
            text = f"{rank}/{world}"
        index, _, count = text.partition("/") if isinstance(text, str) else ("", "", "")
        if not all(part.strip().isascii() and part.strip().isdigit() and len(part) < 10 for part in (index, count)):
            raise DataError(f"a shard is written i/n, such as 0/4 for the first of four processes, not {shown(text)}.")
        return cls(int(index), int(count))

    def chunks(self, plan: AuditPlan) -> dict[int, Sequence[int]]:
        """Return the indices of the images of each of the shard's chunks, by number."""
        return {number: plan.chunk(number) for number in range(self.index, plan.n_chunks, self.count)}


Engine: TypeAlias = Callable[[AuditPlan, AuditStore, Shard, ProgressCallback | None], None]
"""`engine(plan, store, shard, progress)` measures the chunks of the shard for which `store.has` is false, each with
`process_chunk`, and stores each with `store.write`. It calls `progress` with the number of finished images and the
total of the shard, those of earlier runs included; the first call, before anything runs, reports these only, so that
the caller can measure the throughput. The caller holds the shard's lock, has written the plan, and completes the
audit."""


def local_engine(plan: AuditPlan, store: AuditStore, shard: Shard, progress: ProgressCallback | None) -> None:
    """Measure the missing chunks of a shard one after the other, in this process."""
    chunks = shard.chunks(plan)
    run_parts(
        plan,
        store,
        chunks,
        plan.batch_size,
        lambda number, batches: process_chunk(plan, chunks[number], batches),
        progress,
    )
    if progress:  # the last chunk was still being written when its images were reported
        total = sum(map(len, chunks.values()))
        progress(total, total)


def find_engine(engine: Engine | EngineName, workers: int | None = None) -> Engine:
    """Return an engine by its name.

    Args:
        engine: "local", "ray", or an engine itself.
        workers: Number of Ray workers; None for as many as the cluster has room for.

    Raises:
        DataError: If there is no such engine, or workers are given to another engine than Ray.
        MissingExtra: If Ray is not installed.
    """
    if isinstance(engine, str) and engine == "ray":
        ray: Engine = importlib.import_module(RAY_ENGINE).ray_engine(workers)
        return ray
    if workers is not None:
        raise DataError("workers are processes of Ray: add --engine ray (engine='ray' in Python), or leave them out.")
    if isinstance(engine, str) and engine == "local":
        return local_engine
    if isinstance(engine, str) or not callable(engine):
        raise DataError(f"engine is 'local' or 'ray', not {shown(engine)}.")
    return engine
