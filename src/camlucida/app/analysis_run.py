"""One run over the data set: its results, and whether its images and maps can be displayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from camlucida.analysis import Mistakes
from camlucida.app.confusion_view import ConfusionView
from camlucida.app.evaluation_view import EvaluationView
from camlucida.app.failures import NotFound
from camlucida.app.scatter import Scatter
from camlucida.evaluation import Evaluation
from camlucida.evaluation.store import Row

if TYPE_CHECKING:
    from camlucida.app.model_entry import Served

Kind: TypeAlias = Literal["mistakes", "embedding", "evaluation"]
RESULTS: Mapping[Kind, str] = {
    "mistakes": "predictions.parquet",
    "embedding": "features.parquet",
    "evaluation": "results.parquet",
}


@dataclass(eq=False)
class Run:
    """One run over a data set.

    Attributes:
        id: `r<number>` for a run given on the command line; for one computed in the app, derived from the request, so
            that a link can name it.
        name: The display name.
        folders: The result folder of each kind; a run computed in the app has mistakes and an embedding.
        plan: The record of the run.
        model: The model of the app with the same weights, or None.
        notes: Why its images or maps cannot be displayed.
        has_images: Whether its images are those of the app.
    """

    id: str
    name: str
    folders: Mapping[Kind, Path]
    plan: Mapping[str, Any]
    model: Served | None
    notes: Sequence[str] = ()
    has_images: bool = True

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of results that the run contains."""
        return list(self.folders)

    @property
    def finished(self) -> bool:
        """Whether all results are complete."""
        return all((path / RESULTS[kind]).exists() for kind, path in self.folders.items())

    @cached_property
    def mistakes(self) -> Mistakes:
        """The error analysis."""
        return Mistakes(self._folder("mistakes"))

    @cached_property
    def confusion_view(self) -> ConfusionView:
        """The confusion matrix."""
        return ConfusionView(self.mistakes)

    @cached_property
    def scatter(self) -> Scatter:
        """The embedding as points."""
        return Scatter(self._folder("embedding"), self.plan["seed"])

    @property
    def rows(self) -> list[Row]:
        """The rows of the images, of the error analysis if there is one, else of the embedding."""
        return self.mistakes.rows if "mistakes" in self.folders else self.scatter.all_rows

    @cached_property
    def evaluation_view(self) -> EvaluationView:
        """The evaluation."""
        return EvaluationView(Evaluation(self._folder("evaluation")))

    def _folder(self, kind: Kind) -> Path:
        if kind not in self.folders:
            raise NotFound(f"{self.name} contains no {kind}; it contains {' and '.join(self.kinds)}.")
        return self.folders[kind]


@dataclass(frozen=True)
class UnreadableRun:
    """A given folder that cannot be opened, with the reason."""

    id: str
    name: str
    error: str


def kind_of(plan: Mapping[str, Any]) -> Kind | None:
    """Return which analysis wrote a record, or None if the app has no view of it."""
    analysis = plan.get("analysis")
    if analysis is None:
        return "evaluation" if "metrics" in plan and "methods" in plan else None
    kinds: Mapping[str, Kind] = {"mistakes": "mistakes", "embed": "embedding"}
    return kinds.get(analysis)
