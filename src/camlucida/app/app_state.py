"""The state of the app: models, a data set, runs, a study, and the images and results that are kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from camlucida.app.analysis_runs import Runs
from camlucida.app.audit_pages import AuditPages
from camlucida.app.caches import Caches
from camlucida.app.images import ImageStore
from camlucida.app.jobs import JobQueues
from camlucida.app.model_entry import Served
from camlucida.app.subsets import AuditSlices, Subsets
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError, ModelError, nearest
from camlucida.models.model import Model

MAX_QUESTIONS = 32
"""Maximum number of questions of which a model is kept; an older question is asked again."""


@dataclass(eq=False)
class Page:
    """Everything that a request may need.

    Attributes:
        models: The models, one copy each for all requests; the first is the default.
        data: The data set from which samples are taken.
        runs: Folders that `camlucida evaluate`, `mistakes` or `embed` wrote.
        study: The folder of the user study, or in which one may be created.
        audit_folders: Folders that `camlucida audit` wrote.
        queues: The job queues in front of the network.
        caches: The caches.
        served: The models by name.
        images: The images by id.
        analysis_runs: The runs over the data set.
        subsets: The subsets of runs that were requested last.
        audits: The reports of the audits.
        audit_slices: Their slices.
    """

    models: Sequence[Model]
    data: Dataset
    runs: Sequence[Path] = ()
    study: Path | None = None
    audit_folders: Sequence[Path] = ()
    queues: JobQueues = field(default_factory=JobQueues)
    caches: Caches = field(default_factory=Caches)

    def __post_init__(self) -> None:
        if not self.models:
            raise ModelError("the app needs at least one model.")
        if not len(self.data):
            raise DataError(f"{self.data.name} contains no images.")
        self.served = {model.name: Served(model, self.data) for model in with_unique_names(self.models)}
        self.images = ImageStore(self.data)
        self._asked: OrderedDict[tuple[str, str], Served] = OrderedDict()
        self._asking = threading.Lock()
        self.analysis_runs = Runs(self.runs, self.served, self.data)
        self.subsets = Subsets()
        self.audits = AuditPages(self.audit_folders, self.data)
        self.audit_slices = AuditSlices(self.audits, self.data)

    def warm(self) -> None:
        """Find the layers of every model now, so that the first request need not wait for it."""
        for served in self.served.values():
            _ = served.layers

    def model(self, name: str | None, question: str | None = None) -> Served:
        """Return the model with this name, or the first one if None.

        Args:
            name: The name of a model.
            question: A question about the image, which is then held, for a model that answers questions.

        Raises:
            ModelError: If there is no model of this name, or it takes no question.
        """
        if name is None:
            name = next(iter(self.served))
        if name not in self.served:
            raise ModelError(
                f"the app has no model {name[:80]!r}.{nearest(name, self.served)} Models: {', '.join(self.served)}."
            )
        return self.served[name] if question is None else self._with_question(self.served[name], question)

    def _with_question(self, served: Served, question: str) -> Served:
        """Return a model with a question held; it is kept, so that its predictions and copies are reused."""
        key = served.name, question.strip()
        with self._asking:
            if key not in self._asked:
                self._asked[key] = Served(served.model.with_question(question), self.data, question=key[1])
            self._asked.move_to_end(key)
            while len(self._asked) > MAX_QUESTIONS:
                self._asked.popitem(last=False)
            return self._asked[key]


def with_unique_names(models: Sequence[Model]) -> list[Model]:
    """Return the models with unique names: of two checkpoints named best.pt, the second becomes best.pt (2)."""
    by_name: dict[str, Model] = {}
    for model in models:
        names = (model.name, *(f"{model.name} ({n})" for n in range(2, len(models) + 1)))
        name = next(name for name in names if name not in by_name)
        by_name[name] = model if name == model.name else replace(model, spec=name)
    return list(by_name.values())
