"""film(): the same pictures explained at every checkpoint: when did the model begin to look at the dog?"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import nn

import camlucida
from camlucida._escaping import csv_text
from camlucida._files import atomic_write, png, write_picture
from camlucida.analysing.checkpoints import checkpoints
from camlucida.analysing.passing import Pass
from camlucida.data.datasets import DataSet, Item, Listed
from camlucida.data.images import Source
from camlucida.error_context import name_of
from camlucida.errors import CamlucidaError, DataError
from camlucida.evaluation.statistics import Floats, Interval, drawn_means, percentiles, resamples
from camlucida.explaining import as_model, explain, iterated
from camlucida.explanation import Explanation
from camlucida.looking import shrunk, small
from camlucida.methods import find as find_method
from camlucida.metrics import find as find_metric
from camlucida.model_input import filled
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.options import checked_arguments
from camlucida.render.strips import Frame, Strip, strips
from camlucida.render.text import percent
from camlucida.request import one_layer, one_target
from camlucida.targets import TargetSpec
from camlucida.tensors import land, scaled
from camlucida.types import ProgressCallback

Checkpoint: TypeAlias = Model | nn.Module | str | os.PathLike[str]
"""A model of a film, or where `load` finds it."""

FRAMES, ROWS = 10, 12
"""Checkpoints side by side, and pictures below each other, on one sheet at most."""


@dataclass(frozen=True)
class Take:
    """One picture at one checkpoint.

    chance   the probability of the class that is explained
    share    of the map on the object, `lift` how many times the object's share of the picture that is; NaN where the
             object is not known, or the map is all zero
    """

    picture: str
    checkpoint: str
    explained: str
    predicted: str
    confidence: float
    chance: float
    correct: bool | None
    share: float
    lift: float


@dataclass(frozen=True, eq=False)
class Film:
    """Pictures × checkpoints. Shows itself in a notebook.

    takes        all numbers, picture by picture
    frames       what is drawn, by picture and checkpoint
    failures     pictures that could not be explained everywhere, with the first reason
    """

    checkpoints: tuple[str, ...]
    takes: tuple[Take, ...]
    frames: Mapping[tuple[str, str], Frame]
    failures: tuple[tuple[str, str], ...]
    method: str
    data: str

    @property
    def pictures(self) -> list[str]:
        return list(dict.fromkeys(take.picture for take in self.takes))

    def shares(self, number: str = "share") -> dict[str, Interval]:
        """Over the pictures, at each checkpoint: the mean of a number of the takes, with its bootstrap interval.

        Only pictures of which it is known at every checkpoint count, so that checkpoints can be compared.
        """
        values = self._values(number)
        values = values[~np.isnan(values).any(1)]
        if not len(values):
            return {}
        drawn = np.vstack([drawn_means(group, values) for group in resamples(len(values))])
        return {name: percentiles(float(values[:, i].mean()), drawn[:, i]) for i, name in enumerate(self.checkpoints)}

    def figure(self, **look: Any) -> Image.Image:
        """A strip a picture, a frame a checkpoint; of many checkpoints some, evenly spread, with the first and last."""
        shown = [self.checkpoints[i] for i in _spread(len(self.checkpoints), FRAMES)]
        rows = []
        for picture in self.pictures[:ROWS]:
            takes = [take for take in self.takes if take.picture == picture]
            frames = [self.frames[picture, name] for name in shown if (picture, name) in self.frames]
            rows.append(Strip(picture, f"the map of {takes[-1].explained}", False, frames))
        some = "" if len(shown) == len(self.checkpoints) else f"{len(shown)} of "
        lift = "× is how many times its share of the picture" if any(t.share == t.share for t in self.takes) else ""
        return strips(
            rows,
            title="How it learnt to look",
            subtitle=f"{self.data} at {some}{len(self.checkpoints)} checkpoints",
            footer=" · ".join(
                filter(None, (self.method, "each map has its own scale", lift, f"camlucida {camlucida.__version__}"))
            ),
            **look,
        )

    def save(self, path: str | Path, **look: Any) -> list[Path]:
        """The strips as a picture, or every number as .csv; returns the files written."""
        file = Path(path)
        if file.suffix.lower() != ".csv":
            write_picture(lambda: self.figure(**look), file)
            return [file]
        atomic_write(file, csv_text([field.name for field in fields(Take)], (asdict(take) for take in self.takes)))
        return [file]

    def _values(self, number: str) -> Floats:
        """(pictures, checkpoints)."""
        known = {(take.picture, take.checkpoint): float(getattr(take, number)) for take in self.takes}
        return np.array(
            [[known.get((p, c), np.nan) for c in self.checkpoints] for p in self.pictures], dtype=np.float64
        ).reshape(-1, len(self.checkpoints))

    def _repr_png_(self) -> bytes:
        return png(self.figure())


@checked_arguments(DataError)
def film(
    models: Sequence[Checkpoint] | Mapping[str, Checkpoint] | str | os.PathLike[str],
    images: DataSet | Iterable[Source],
    *,
    method: str = "grad_cam",
    layer: str | int | None = None,
    target: TargetSpec = "label",
    arch: str | None = None,
    trust_code: bool = False,
    progress: ProgressCallback | None = None,
) -> Film:
    """The same pictures explained at every checkpoint.

    models    in the order of the training: models, networks, or what `load` takes, opened one after the other; or a
              folder of checkpoints; or names -> models
    images    pictures, or a data set, whose labels, boxes and masks are used where it has them
    target    "label" for the true class, or where it is not known the one that the last model predicts; "predicted"
              for what each model itself says; or anything that `explain` takes
    arch      of checkpoint files that do not say themselves
    trust_code  of `load`: where the checkpoints are of a run that you trust
    progress  told how many of how many maps are made

    Raises `DataError`, `ModelError`, where there is nothing to show. A picture that cannot be read is left out.
    """
    one_target(target, "a film is about")
    one_layer(layer, "a film is made at")
    chosen = checkpoints(models)
    dataset = _as_data(images)
    found = find_method(method)
    takes: dict[tuple[int, str], tuple[Take, Frame]] = {}
    failures: dict[str, str] = {}
    last = _opened(chosen[-1][1], arch, trust_code)
    wanted = [_target(last, dataset, i, target) for i in range(len(dataset))]
    for number, (name, spec) in enumerate(chosen):
        model = last if number == len(chosen) - 1 else _opened(spec, arch, trust_code)
        run = Pass.of(model, dataset, range(len(dataset)))
        for i in run.indices:
            try:
                takes[i, name] = _take(run, dataset[i], name, wanted[i], {"method": found, "layer": layer})
            except CamlucidaError as error:
                failures.setdefault(dataset[i].name, str(error))
            if progress:
                progress(number * len(dataset) + i + 1, len(chosen) * len(dataset))
    if not takes:
        raise DataError(f"no picture could be explained: {next(iter(failures.values()))}")
    ordered = sorted(takes, key=lambda key: key[0])
    return Film(
        tuple(name for name, _ in chosen),
        tuple(takes[key][0] for key in ordered),
        {(takes[key][0].picture, key[1]): takes[key][1] for key in ordered},
        tuple(failures.items()),
        found.name,
        dataset.name,
    )


def _opened(spec: Any, arch: str | None, trust_code: bool) -> Model:
    if isinstance(spec, Model | nn.Module):
        return as_model(spec)
    return load(spec, arch=arch, trust_code=trust_code)


def _as_data(images: Any) -> DataSet:
    if hasattr(images, "classes") and hasattr(images, "__getitem__"):
        found: DataSet = images
    else:
        sources = list(iterated(images))
        names = [name_of(source) for source in sources]
        several = [name if names.count(name) == 1 else f"{name} {i}" for i, name in enumerate(names, start=1)]
        found = Listed("pictures", [Item(s, n) for s, n in zip(sources, several, strict=True)])
    if not len(found):
        raise DataError("a film of no pictures: give one or more.")
    return found


def _target(last: Model, data: DataSet, i: int, target: Any) -> Any:
    """What is explained of a picture at every checkpoint; None for what each model predicts."""
    if isinstance(target, str) and target == "predicted":
        return None
    if not isinstance(target, str) or target != "label":
        return target
    item = data[i]
    truth = Pass.of(last, data, [i]).output(item.label)
    if truth is not None:
        return truth
    try:
        return explain(last, item.image, method="gradient").index
    except CamlucidaError:
        return None  # the same error comes again where it is told


def _take(run: Pass, item: Item, name: str, target: Any, how: Mapping[str, Any]) -> tuple[Take, Frame]:
    e = explain(run.model, item.image, target=target, **how)
    best, truth = e.predictions[0], run.output(item.label)
    share, lift = _on_object(item, e)
    chance = best.probability if e.index is None else float(np.exp(e.score - best.logit)) * best.probability
    take = Take(
        item.name,
        name,
        e.target,
        best.name,
        best.probability,
        chance,
        None if truth is None else best.index in {truth, *(run.output(other) for other in item.others)},
        share,
        lift,
    )
    return take, _frame(e, take, item)


def _on_object(item: Item, e: Explanation) -> tuple[float, float]:
    """The share of the map on the object, and how many times the object's share of the picture that is."""
    if item.mask is not None:
        region = torch.as_tensor(item.mask())
    elif item.boxes is not None:
        region = filled(torch.as_tensor(item.boxes), e.picture.size)
    else:
        return math.nan, math.nan
    shown = torch.from_numpy(e.landed).nan_to_num(nan=0.0).clamp_min(0)
    scores = find_metric("energy").metric(shown, region)
    return scores["energy"].value, scores["energy_lift"].value


def _frame(e: Explanation, take: Take, item: Item) -> Frame:
    picture = small(e.picture, 240)
    heat = scaled(land(e.map, shrunk(e.geometry, picture)).clamp_min(0)).numpy()
    said = f"{take.predicted} {percent(take.confidence)}"
    known = "" if take.share != take.share else f"{100 * take.share:.0f} % on it, {take.lift:.1f}×"
    scale = [picture.width / e.picture.width, picture.height / e.picture.height] * 2
    boxes = () if item.boxes is None else item.boxes * scale
    return Frame(heat, take.checkpoint, f"{said}\n{known}", take.correct is False, picture, boxes)


def _spread(count: int, most: int) -> list[int]:
    """Evenly spread numbers, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most)).tolist()})
