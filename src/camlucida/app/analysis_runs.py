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
from typing import TYPE_CHECKING, Any

from camlucida.analysis import embed, mistakes
from camlucida.app.analysis_run import Kind, Run, UnreadableRun, kind_of
from camlucida.app.failures import NotFound
from camlucida.data.datasets import Dataset, dataset_hash, items_without_files, sample_indices
from camlucida.errors import DataError
from camlucida.evaluation.provenance import other_images
from camlucida.evaluation.store import Store
from camlucida.types import ProgressCallback

if TYPE_CHECKING:
    from camlucida.app.model_entry import Served

MIN_WAIT_S, WAIT_RATIO = 2.0, 20.0
"""Minimum seconds between two checks for replaced files, and the minimum ratio of that wait to the check's duration."""
MAX_COMPUTED = 12
"""Maximum number of runs computed in the app that are kept; the oldest is deleted first."""


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
    _computed: OrderedDict[str, Run] = field(default_factory=OrderedDict)
    _hashes: dict[tuple[int, int], tuple[str, float]] = field(default_factory=dict)
    _computing: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> list[Run | UnreadableRun]:
        """Return the given runs in their order, then those computed in the app, the latest last."""
        computed = [self._checked(run) for run in list(self._computed.values())]
        return [*(self._given(index) for index in range(len(self.given))), *computed]

    def find(self, id_: str) -> Run:
        """Return the run with this id.

        Raises:
            NotFound: If there is no such run (any more).
            DataError: If its folder cannot be opened.
        """
        if id_ in self._computed:
            return self._checked(self._computed[id_])
        if id_[:1] == "r" and id_[1:].isdigit() and int(id_[1:]) < len(self.given):
            run = self._given(int(id_[1:]))
            if isinstance(run, UnreadableRun):
                raise DataError(run.error)
            return run
        raise NotFound(
            f"There is no run {id_[:60]} (any more): runs computed in the app are deleted when the app stops."
        )

    def analyse(self, served: Served, n_images: int, seed: int, maps: bool, progress: ProgressCallback) -> Run:
        """Analyse the errors of a model and embed the images, for `n_images` images selected by `seed`.

        Results are written to a temporary folder that is deleted when the app ends; images are not written. An
        interrupted analysis resumes.

        Args:
            served: The model.
            n_images: The number of images, at most those of the data set.
            seed: The seed of the selection.
            maps: Whether to measure the map of each image.
            progress: Called with `(done, total)`, where each image counts twice; an exception that it raises stops the
                analysis.

        Returns:
            The run; the existing one if the same analysis was computed before.
        """
        source = served.name
        if self._of_files:  # an image may have been replaced since the last request
            source += f"\0{self._hash(min(n_images, len(self.data)), seed, recompute=True)}"
        digest = hashlib.blake2b(source.encode(errors="replace"), digest_size=6).hexdigest()
        id_ = f"m-{served.model.weights_hash}{digest}-{n_images}-{seed}-{int(maps)}"
        with self._computing:
            if id_ in self._computed:
                return self._computed[id_]
            folders: dict[Kind, Path] = {kind: self._temporary / id_ / kind for kind in ("mistakes", "embedding")}
            total = 2 * min(n_images, len(self.data))
            selection: dict[str, Any] = {"limit": n_images, "seed": seed}
            mistakes(
                served.model,
                self.data,
                maps=maps,
                out=folders["mistakes"],
                progress=lambda done, _: progress(done, total),
                **selection,
            )
            embed(
                served.model,
                self.data,
                out=folders["embedding"],
                progress=lambda done, _: progress(total // 2 + done, total),
                **selection,
            )
            name = f"{served.name}: {min(n_images, len(self.data)):,} images, seed {seed}"
            run = Run(id_, name, folders, Store(folders["mistakes"]).plan, served)
            self._computed[id_] = run
            while len(self._computed) > MAX_COMPUTED:
                oldest, _ = self._computed.popitem(last=False)
                shutil.rmtree(self._temporary / oldest, ignore_errors=True)
            return run

    @cached_property
    def _temporary(self) -> Path:
        """Create a folder that is deleted with this object, or when the process ends."""
        path = tempfile.mkdtemp(prefix="camlucida-page-")
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return Path(path)

    def _given(self, index: int) -> Run | UnreadableRun:
        path, id_ = Path(self.given[index]).expanduser(), f"r{index}"
        stamp = _stamp(path)
        if id_ not in self._opened or self._opened[id_][0] != stamp:
            self._opened[id_] = (stamp, self._open(id_, path))
        opened = self._opened[id_][1]
        return opened if isinstance(opened, UnreadableRun) else self._checked(opened)

    def _checked(self, run: Run) -> Run:
        """Return the run, with its images disabled if an image file has been replaced."""
        if run.has_images and self._of_files and (difference := self._image_difference(run.plan)):
            run.has_images, run.notes = False, [*run.notes, _difference_note(run.name, run.plan, difference)]
        return run

    @cached_property
    def _of_files(self) -> bool:
        """Return whether the images are files, which may be replaced while the app is running."""
        return bool(len(self.data)) and isinstance(items_without_files(self.data)[0].image, str | os.PathLike)

    def _hash(self, n_images: int, seed: int, *, recompute: bool = False) -> str:
        """Return the hash of the selected images, recomputed after a time proportional to its cost."""
        start = time.monotonic()
        hash_, until = self._hashes.get((n_images, seed), ("", -math.inf))
        if recompute or start >= until:
            hash_ = dataset_hash(self.data, sample_indices(len(self.data), n_images, seed))
            duration = time.monotonic() - start
            wait = max(MIN_WAIT_S, WAIT_RATIO * duration) if self._of_files else math.inf
            self._hashes[n_images, seed] = hash_, start + wait
        return hash_

    def _open(self, id_: str, path: Path) -> Run | UnreadableRun:
        name = Path(os.path.realpath(path)).name
        try:
            plan = Store(path).plan
            kind = kind_of(plan)
            if kind is None:
                return UnreadableRun(
                    id_,
                    name,
                    f"{path} contains no run of evaluate, mistakes or embed, which the app displays.",
                )
            model = self._model_of(plan)
            difference = self._image_difference(plan)
        except DataError as error:
            return UnreadableRun(id_, name, str(error))
        except (KeyError, TypeError, ValueError, OSError) as error:
            return UnreadableRun(id_, name, f"{path} contains no readable run: its run.json is incomplete ({error!r}).")
        notes = []
        if model is None:
            notes.append(
                f"{name} was computed with {plan['model']} and the weights {plan['weights']}. No model of the app has "
                "these weights, so its maps cannot be displayed."
            )
        if difference:
            notes.append(_difference_note(name, plan, difference))
        return Run(id_, name, {kind: path}, plan, model, notes, not difference)

    def _model_of(self, plan: Mapping[str, Any]) -> Served | None:
        """Return the model with the same weights, preferably the one with the same name."""
        candidates = [served for served in self.served.values() if served.model.weights_hash == plan["weights"]]
        return min(candidates, key=lambda served: served.name != plan["model"], default=None)

    def _image_difference(self, plan: Mapping[str, Any]) -> str:
        """Return how the images of the app differ from those of a run, or an empty string."""
        return other_images(plan, self.data, self._hash(plan["n_images"], plan["seed"]))


def _difference_note(name: str, plan: Mapping[str, Any], difference: str) -> str:
    return f"{name} was computed on {plan['data']}: {difference}, so its images cannot be displayed."


def _stamp(path: Path) -> int:
    """Return a modification time that changes when parts are added."""
    try:
        return (path / "parts").stat().st_mtime_ns
    except OSError:
        return 0
