"""What a page serves: models, a data set, runs, a study; and the pictures and answers that are kept meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from camlucida.app.analysis_runs import Runs
from camlucida.app.caches import Memory
from camlucida.app.images import ImageStore
from camlucida.app.jobs import JobQueues
from camlucida.app.model_entry import Served
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError, ModelError, nearest
from camlucida.models.model import Model


@dataclass(eq=False)
class Page:
    """Everything that a request may need.

    models   one copy of each, which serves all requests; the first is the one asked where none is named
    data     its samples
    runs     folders that `camlucida evaluate`, `mistakes` or `embed` wrote
    study    the folder of the blind study, or of the one that may be made
    work     the queue in front of the network
    memory   what is kept meanwhile
    """

    models: Sequence[Model]
    data: Dataset
    runs: Sequence[Path] = ()
    study: Path | None = None
    work: JobQueues = field(default_factory=JobQueues)
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        if not self.models:
            raise ModelError("a page needs a model to explain.")
        if not len(self.data):
            raise DataError(f"{self.data.name} has no pictures: there is nothing to choose from.")
        self.served = {model.name: Served(model, self.data) for model in _told_apart(self.models)}
        self.pictures = ImageStore(self.data)
        self.over = Runs(self.runs, self.served, self.data)

    def warm(self) -> None:
        """Find every model's layers now, so that the first click need not wait for it."""
        for served in self.served.values():
            _ = served.layers

    def model(self, name: str | None) -> Served:
        """By its name, or the first. Raises `ModelError`."""
        if name is None:
            return next(iter(self.served.values()))
        if name not in self.served:
            raise ModelError(
                f"no model {name[:80]!r} on this page.{nearest(name, self.served)} {', '.join(self.served)}."
            )
        return self.served[name]


def _told_apart(models: Sequence[Model]) -> list[Model]:
    """Two trainings' best.pt have one name, and the page knows models by their names: the second is best.pt (2)."""
    apart: dict[str, Model] = {}
    for model in models:
        names = (model.name, *(f"{model.name} ({n})" for n in range(2, len(models) + 1)))
        name = next(name for name in names if name not in apart)
        apart[name] = model if name == model.name else replace(model, spec=name)
    return list(apart.values())
