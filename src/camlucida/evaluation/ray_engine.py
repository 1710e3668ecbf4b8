"""The engine ray of an evaluation: its parts are measured by workers on one machine or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camlucida._ambient import plain_arithmetic
from camlucida.evaluation.plan import PART_IMAGES, Plan
from camlucida.evaluation.ray_pool import RayPool
from camlucida.evaluation.ray_worker import Opened
from camlucida.evaluation.read_images import batches_of, read_batches
from camlucida.evaluation.rows import part_rows
from camlucida.evaluation.run_parts import PassProgress
from camlucida.evaluation.store import Store
from camlucida.types import ProgressCallback


@dataclass(frozen=True, eq=False)
class EvaluationWork:
    """The parts of an evaluation as the work of a pool.

    Attributes:
        plan: The plan of the evaluation.
        store: Its folder.
    """

    plan: Plan
    store: Store

    @property
    def folder(self) -> Path:
        """The folder of the evaluation."""
        return self.store.path

    @property
    def opened(self) -> Opened:
        """The model and the data set."""
        return self.plan.model, self.plan.data

    @property
    def indices(self) -> Sequence[int]:
        """Indices of the images in the data set."""
        return self.plan.indices

    def with_opened(self, model: Any, data: Any) -> EvaluationWork:
        """Return the work with another model and data set, or with None for both."""
        return replace(self, plan=replace(self.plan, model=model, data=data))

    def has(self, number: int) -> bool:
        """Return whether a part was written and is intact."""
        return self.store.has(number)

    @plain_arithmetic()
    def run(self, number: int) -> None:
        """Measure and write one part."""
        batches = read_batches(self.plan, batches_of(self.plan.parts(PART_IMAGES)[number], self.plan.batch_size))
        self.store.write(number, part_rows(self.plan, batches))


def measure_on_ray(plan: Plan, store: Store, pool: RayPool, progress: ProgressCallback | None) -> None:
    """Measure the parts of an evaluation that are missing or damaged.

    Args:
        plan: The plan of the evaluation.
        store: Its folder, on a file system that all nodes share.
        pool: The workers.
        progress: Called with the number of finished images and the total.

    Raises:
        CamlucidaError: As for `RayPool.run`.
    """
    parts = plan.parts(PART_IMAGES)
    counter = PassProgress(store, parts, progress)
    work = EvaluationWork(plan, replace(store, path=store.path.absolute()))
    pool.run(work, counter.missing, lambda number: counter.advance(len(parts[number])))
