"""The engine ray of an audit: its chunks are processed by workers on one machine or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camlucida._optional import need
from camlucida.audits.chunks import process_chunk
from camlucida.audits.engines import Engine, Shard
from camlucida.audits.plan import AuditPlan
from camlucida.audits.store import AuditStore
from camlucida.evaluation.ray_pool import RayPool
from camlucida.evaluation.ray_worker import Opened
from camlucida.evaluation.run_parts import PassProgress
from camlucida.types import ProgressCallback


@dataclass(frozen=True, eq=False)
class AuditWork:
    """The chunks of an audit as the work of a pool.

    Attributes:
        plan: The plan of the audit.
        store: Its folder.
    """

    plan: AuditPlan
    store: AuditStore

    @property
    def folder(self) -> Path:
        """The folder of the audit."""
        return self.store.path

    @property
    def opened(self) -> Opened:
        """The model and the data set."""
        return self.plan.model, self.plan.data

    @property
    def indices(self) -> Sequence[int]:
        """Indices of the images in the data set."""
        return self.plan.indices

    def with_opened(self, model: Any, data: Any) -> AuditWork:
        """Return the work with another model and data set, or with None for both."""
        return replace(self, plan=replace(self.plan, model=model, data=data))

    def has(self, number: int) -> bool:
        """Return whether a chunk was written and is intact."""
        return self.store.has(number)

    def run(self, number: int) -> None:
        """Process and write one chunk."""
        self.store.write(number, process_chunk(self.plan, self.plan.chunk(number)))


def ray_engine(workers: int | None = None, reopen: Callable[[], Opened] | None = None) -> Engine:
    """Return the engine that processes the chunks of an audit on Ray. Rows and arrays equal those of the local engine.

    The folder of the audit must be on a file system that all nodes share.

    Args:
        workers: Number of worker processes; None for one per GPU, or one per two CPUs if there is no GPU.
        reopen: Returns the model and the data, for those that cannot be pickled. Pickled itself.

    Raises:
        MissingExtra: If Ray is not installed.
    """
    need("ray", extra="ray", what="the engine ray")
    pool = RayPool(workers, reopen)

    def run(plan: AuditPlan, store: AuditStore, shard: Shard, progress: ProgressCallback | None) -> None:
        chunks, path = shard.chunks(plan), store.path.absolute()  # workers have other working directories
        counter = PassProgress(store, chunks, progress)
        work = AuditWork(plan, replace(store, path=path))
        pool.run(work, counter.missing, lambda number: counter.advance(len(chunks[number])))

    return run
