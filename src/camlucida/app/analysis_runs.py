"""Runs over the data set: those given on the command line, and those computed in the app.

A run is opened read-only. The hashes in its record determine whether it belongs to a model and to the images of this
app: its numbers can always be displayed, its images and maps only if the hashes match.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from camlucida.analysis import Mistakes, embed, mistakes
from camlucida.app.confusion_view import Confused
from camlucida.app.evaluation_view import Evaluated
from camlucida.app.jobs import NotFound
from camlucida.app.scatter import Scatter
from camlucida.data.datasets import Dataset, dataset_hash, items_without_files, sample_indices
from camlucida.errors import DataError
from camlucida.evaluation import Evaluation
from camlucida.evaluation.provenance import other_images
from camlucida.evaluation.store import Store
from camlucida.types import ProgressCallback

if TYPE_CHECKING:
    from camlucida.app.model_entry import Served

Kind: TypeAlias = Literal["mistakes", "embedding", "evaluation"]
RESULTS: Mapping[Kind, str] = {
    "mistakes": "predictions.parquet",
    "embedding": "features.parquet",
    "evaluation": "results.parquet",
}
LEAST_S, RATIO = 2.0, 20.0
"""Minimum seconds between two checks for replaced files, and the minimum ratio of that wait to the check's duration."""
MADE = 12
"""Maximum number of runs computed in the app that are kept; the oldest is deleted first."""


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
        unlike: Reasons, as sentences, why its images or maps cannot be displayed.
        shows: Whether its images are those of the app.
    """

    id: str
    name: str
    folders: Mapping[Kind, Path]
    plan: Mapping[str, Any]
    model: Served | None
    unlike: Sequence[str] = ()
    shows: bool = True

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
    def confused(self) -> Confused:
        """The confusion matrix."""
        return Confused(self.mistakes)

    @cached_property
    def scatter(self) -> Scatter:
        """The embedding as points."""
        return Scatter(self._folder("embedding"), self.plan["seed"])

    @cached_property
    def evaluated(self) -> Evaluated:
        """The evaluation."""
        return Evaluated(Evaluation(self._folder("evaluation")))

    def _folder(self, kind: Kind) -> Path:
        if kind not in self.folders:
            raise NotFound(f"{self.name} holds no {kind}: it is {' and '.join(self.kinds)}.")
        return self.folders[kind]


@dataclass(frozen=True)
class UnreadableRun:
    """A given folder that cannot be opened, with the reason."""

    id: str
    name: str
    error: str


@dataclass(eq=False)
class Runs:
    """All runs of the app, opened on first use and reopened when their folder has changed.

    Attributes:
        given: Folders that `camlucida evaluate`, `mistakes` or `embed` wrote.
        served: The models of the app by name.
        data: The data set of the app.
    """

    given: Sequence[Path]
    served: Mapping[str, Served]
    data: Dataset
    _opened: dict[str, tuple[int, Run | UnreadableRun]] = field(default_factory=dict)
    _made: OrderedDict[str, Run] = field(default_factory=OrderedDict)
    _hashes: dict[tuple[int, int], tuple[str, float]] = field(default_factory=dict)
    _making: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> list[Run | UnreadableRun]:
        """Return the given runs in their order, then those computed in the app, the latest last."""
        analysis_runs = [self._checked(run) for run in list(self._made.values())]
        return [*(self._given(number) for number in range(len(self.given))), *analysis_runs]

    def find(self, id_: str) -> Run:
        """Return the run with this id.

        Raises:
            NotFound: If there is no such run (any more).
            DataError: If its folder cannot be opened.
        """
        if id_ in self._made:
            return self._checked(self._made[id_])
        if id_[:1] == "r" and id_[1:].isdigit() and int(id_[1:]) < len(self.given):
            analysis_run = self._given(int(id_[1:]))
            if isinstance(analysis_run, UnreadableRun):
                raise DataError(analysis_run.error)
            return analysis_run
        raise NotFound(
            f"The run {id_[:60]} is not here (any more): what is computed on the page goes when the page is stopped."
        )

    def make(self, served: Served, count: int, seed: int, maps: bool, progress: ProgressCallback) -> Run:
        """Analyse the errors of a model and embed the images, for `count` images selected by `seed`.

        Results are written to a temporary folder that is deleted when the app ends; images are not written. An
        interrupted analysis resumes.

        Args:
            served: The model.
            count: The number of images, at most those of the data set.
            seed: The seed of the selection.
            maps: Whether to measure the map of each image.
            progress: Called with `(done, total)`, where each image counts twice; an exception that it raises stops the
                analysis.

        Returns:
            The run; the existing one if the same analysis was computed before.
        """
        about = served.name
        if self._of_files:  # an image may have been replaced since the last request
            about += f"\0{self._hash(min(count, len(self.data)), seed, afresh=True)}"
        named = hashlib.blake2b(about.encode(errors="replace"), digest_size=6).hexdigest()
        id_ = f"m-{served.model.weights_hash}{named}-{count}-{seed}-{int(maps)}"
        with self._making:
            if id_ in self._made:
                return self._made[id_]
            folders: dict[Kind, Path] = {kind: self._temporary / id_ / kind for kind in ("mistakes", "embedding")}
            total = 2 * min(count, len(self.data))
            how: dict[str, Any] = {"limit": count, "seed": seed}
            mistakes(
                served.model,
                self.data,
                maps=maps,
                out=folders["mistakes"],
                progress=lambda done, _: progress(done, total),
                **how,
            )
            embed(
                served.model,
                self.data,
                out=folders["embedding"],
                progress=lambda done, _: progress(total // 2 + done, total),
                **how,
            )
            name = f"{served.name}: {min(count, len(self.data)):,} pictures, seed {seed}"
            analysis_run = Run(id_, name, folders, Store(folders["mistakes"]).plan, served)
            self._made[id_] = analysis_run
            while len(self._made) > MADE:
                oldest, _ = self._made.popitem(last=False)
                shutil.rmtree(self._temporary / oldest, ignore_errors=True)
            return analysis_run

    @cached_property
    def _temporary(self) -> Path:
        """Create a folder that is deleted with this object, or when the process ends."""
        path = tempfile.mkdtemp(prefix="camlucida-page-")
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return Path(path)

    def _given(self, number: int) -> Run | UnreadableRun:
        path, id_ = Path(self.given[number]).expanduser(), f"r{number}"
        stamp = _stamp(path)
        if id_ not in self._opened or self._opened[id_][0] != stamp:
            self._opened[id_] = (stamp, self._open(id_, path))
        opened = self._opened[id_][1]
        return opened if isinstance(opened, UnreadableRun) else self._checked(opened)

    def _checked(self, run: Run) -> Run:
        """Return the run, with its images disabled if an image file has been replaced."""
        if run.shows and self._of_files and (images := self._other_pictures(run.plan)):
            run.shows, run.unlike = False, [*run.unlike, _about_others(run.name, run.plan, images)]
        return run

    @cached_property
    def _of_files(self) -> bool:
        """Return whether the images are files, which may be replaced while the app is running."""
        return bool(len(self.data)) and isinstance(items_without_files(self.data)[0].image, str | os.PathLike)

    def _hash(self, images: int, seed: int, *, afresh: bool = False) -> str:
        """Return the hash of the selected images, recomputed after a time proportional to its cost."""
        begun = time.monotonic()
        known, until = self._hashes.get((images, seed), ("", -math.inf))
        if afresh or begun >= until:
            known = dataset_hash(self.data, sample_indices(len(self.data), images, seed))
            took = time.monotonic() - begun
            wait = max(LEAST_S, RATIO * took) if self._of_files else math.inf
            self._hashes[images, seed] = known, begun + wait
        return known

    def _open(self, id_: str, path: Path) -> Run | UnreadableRun:
        name = Path(os.path.realpath(path)).name
        try:
            plan = Store(path).plan
            kind = kind_of(plan)
            if kind is None:
                return UnreadableRun(
                    id_, name, f"{path} holds a run of another kind: evaluate, mistakes and embed are shown."
                )
            model = self._model_of(plan)
            images = self._other_pictures(plan)
        except DataError as error:
            return UnreadableRun(id_, name, str(error))
        except (KeyError, TypeError, ValueError, OSError) as error:
            return UnreadableRun(
                id_, name, f"{path} holds no run that can be read: its run.json is not whole ({error!r})."
            )
        said = []
        if model is None:
            said.append(
                f"{name} was made with {plan['model']} of weights {plan['weights']}, which no model on this page has: "
                "its maps cannot be shown."
            )
        if images:
            said.append(_about_others(name, plan, images))
        return Run(id_, name, {kind: path}, plan, model, said, not images)

    def _model_of(self, plan: Mapping[str, Any]) -> Served | None:
        """Return the model with the same weights, preferably the one with the same name."""
        alike = [served for served in self.served.values() if served.model.weights_hash == plan["weights"]]
        return min(alike, key=lambda served: served.name != plan["model"], default=None)

    def _other_pictures(self, plan: Mapping[str, Any]) -> str:
        """Return how the images of the app differ from those of a run, or an empty string."""
        return other_images(plan, self.data, self._hash(plan["pictures"], plan["seed"]))


def _about_others(name: str, plan: Mapping[str, Any], images: str) -> str:
    return f"{name} is about {plan['data']}: {images}, so that its pictures cannot be shown."


def kind_of(plan: Mapping[str, Any]) -> Kind | None:
    """Return which analysis wrote a record, or None if the app has no view of it."""
    analysis = plan.get("analysis")
    if analysis is None:
        return "evaluation" if "metrics" in plan and "methods" in plan else None
    known: Mapping[str, Kind] = {"mistakes": "mistakes", "embed": "embedding"}
    return known.get(analysis)


def _stamp(path: Path) -> int:
    """Return a modification time that changes when parts are added."""
    try:
        return (path / "parts").stat().st_mtime_ns
    except OSError:
        return 0
