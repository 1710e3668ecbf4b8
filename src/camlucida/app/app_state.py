"""The state of the app: models, a data set, runs, a study, and the images and results that are kept in memory."""

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

    Attributes:
        models: The models, one copy each for all requests; the first is the default.
        data: The data set from which samples are taken.
        runs: Folders that `camlucida evaluate`, `mistakes` or `embed` wrote.
        study: The folder of the user study, or in which one may be created.
        work: The job queues in front of the network.
        memory: The caches.
        served: The models by name.
        pictures: The images by id.
        over: The runs over the data set.
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
        self.served = {model.name: Served(model, self.data) for model in with_unique_names(self.models)}
        self.pictures = ImageStore(self.data)
        self.over = Runs(self.runs, self.served, self.data)

    def warm(self) -> None:
        """Find the layers of every model now, so that the first request need not wait for it."""
        for served in self.served.values():
            _ = served.layers

    def model(self, name: str | None) -> Served:
        """Return the model with this name, or the first one if None.

        Raises:
            ModelError: If there is no model of this name.
        """
        if name is None:
            return next(iter(self.served.values()))
        if name not in self.served:
            raise ModelError(
                f"no model {name[:80]!r} on this page.{nearest(name, self.served)} {', '.join(self.served)}."
            )
        return self.served[name]


def with_unique_names(models: Sequence[Model]) -> list[Model]:
    """Return the models with unique names: of two checkpoints named best.pt, the second becomes best.pt (2)."""
    apart: dict[str, Model] = {}
    for model in models:
        names = (model.name, *(f"{model.name} ({n})" for n in range(2, len(models) + 1)))
        name = next(name for name in names if name not in apart)
        apart[name] = model if name == model.name else replace(model, spec=name)
    return list(apart.values())
