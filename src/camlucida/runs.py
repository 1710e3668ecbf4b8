"""One run of the network, and every map that can be had from it; combined methods among them run it again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import Layer, Trace, Traced, Twin, trace
from camlucida.engine.repeats import Repeats
from camlucida.errors import CamlucidaError, MethodError
from camlucida.fixtures import Fixtures, Place
from camlucida.methods import Combined, Method
from camlucida.methods.registry import OF_THE_REST
from camlucida.models.model import Output
from camlucida.outputs import class_scores
from camlucida.rivals import rivals_of
from camlucida.targets import Target
from camlucida.types import ProgressCallback


@dataclass(frozen=True)
class Fused:
    """Several layers that gave one map; in records it stands where a layer stands."""

    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        return "+".join(layer.name for layer in self.layers)

    @property
    def label(self) -> str:
        return "+".join(layer.label for layer in self.layers)


@dataclass
class ForwardedProgress:
    """Forward progress, unless an enclosing combinator already reports it."""

    tell: ProgressCallback
    muted: bool = False

    def __call__(self, done: int, total: int) -> None:
        if not self.muted:
            self.tell(done, total)

    @contextmanager
    def within(self) -> Iterator[None]:
        """What runs inside tells nothing."""
        before, self.muted = self.muted, True
        try:
            yield
        finally:
            self.muted = before


@dataclass(frozen=True)
class Question:
    """What stays the same from run to run.

    needs    what the methods ask for, all together
    choose   the targets, from the class scores (b, k)
    repeats  how the many runs are run, of methods that need many
    """

    twin: Twin
    layers: tuple[Layer, ...]
    reading: Output
    needs: frozenset[str]
    choose: Callable[[Tensor], Sequence[Target]]
    tick: ProgressCallback
    repeats: Repeats = field(default_factory=Repeats)

    @cached_property
    def progress(self) -> ForwardedProgress:
        return ForwardedProgress(self.tick)


@dataclass(frozen=True)
class Run:
    """The network on some pictures. Rows of maps go over places, and each holds a map (b, h, w) a target.

    output    (b, k) the class scores
    scores    (targets, b)
    """

    question: Question
    inputs: Any
    trace: Trace
    output: Tensor
    targets: tuple[Target, ...]
    scores: Tensor
    gradients: Sequence[Sequence[Tensor]]

    @cached_property
    def at_layers(self) -> list[list[Fixtures]]:
        """For every layer, for every target, what a method may ask for."""
        return [
            self._given(traced, self.gradients[l] if self.gradients else None)
            for l, traced in enumerate(self.trace.layers)
        ]

    @cached_property
    def at_pictures(self) -> list[Fixtures]:
        """The same for methods that map the picture itself."""
        return self._given(None, None)

    def maps(self, method: Method | Combined, options: Mapping[str, Any], places: Sequence[int]) -> list[list[Tensor]]:
        """The signed maps of a method at the layers numbered `places`; one row where fused or not asked for."""
        if isinstance(method, Combined):
            return _COMBINE[method.combinator.kind](self, method, places)
        rows = self._fixtures(method, places)
        return [[method(*(getattr(given, need) for need in method.needs), **options) for given in row] for row in rows]

    def notes(self, method: Method | Combined, places: Sequence[int]) -> list[list[Mapping[str, Tensor]]]:
        """What the method reported beside the maps just made, in their order; combined maps are no longer its own."""
        if isinstance(method, Combined):
            return [[{} for _ in self.targets] for _ in ([None] if method.fuses or not places else places)]
        return [[given.take_notes() for given in row] for row in self._fixtures(method, places)]

    def _fixtures(self, method: Method, places: Sequence[int]) -> list[list[Fixtures]]:
        return [self.at_layers[l] for l in places] if method.layered else [self.at_pictures]

    def inner(self, combined: Combined, places: Sequence[int]) -> list[list[Tensor]]:
        """The maps of what is combined."""
        return self.maps(combined.inner, combined.inner.options, places)

    def again(self, pictures: Tensor, why: str) -> Run:
        """The same question about other pictures."""
        if pictures is self.inputs:
            return self
        question = self._for(self.targets)
        try:
            return run(question, pictures)
        except CamlucidaError:
            raise
        except Exception as error:
            if pictures.shape == self.inputs.shape:
                raise
            kind, size = type(question.twin.module).__name__, "×".join(map(str, pictures.shape[-2:]))
            raise MethodError(
                f"{why} runs the network at other sizes, and {kind} cannot run at {size}: "
                f"{' '.join(str(error).split())[:120]}. Choose other factors, or flips, smooth or crops."
            ) from error

    def asking(self, targets: Sequence[Target]) -> Run:
        """The same pictures about other targets."""
        return run(self._for(targets), self.inputs)

    def _for(self, targets: Sequence[Target]) -> Question:
        """What mutes this run's progress mutes that of the runs inside it, too."""
        return dataclasses.replace(self.question, choose=lambda _: targets, tick=self.question.progress)

    def _given(self, traced: Traced | None, slopes: Sequence[Tensor] | None) -> list[Fixtures]:
        asked = self.question
        place = Place(asked.twin, self.inputs, asked.reading, self.trace, traced, asked.progress, asked.repeats)
        return [
            Fixtures(place, target, self.output, self.scores[t], slopes[t] if slopes else None)
            for t, target in enumerate(self.targets)
        ]


def run(question: Question, inputs: Any) -> Run:
    """Run the network once. Grad mode must be off outside."""
    needs = question.needs
    traced = trace(
        question.twin,
        inputs,
        question.layers,
        gradients=bool({"gradients", "rivals"} & needs),
        rerun=bool(OF_THE_REST & needs),
    )
    with torch.enable_grad():
        output = class_scores(traced.output, question.reading)
        targets = tuple(question.choose(output.detach()))
        scores = torch.stack([target(output) for target in targets])
    gradients = traced.gradients(scores, keep="rivals" in needs) if "gradients" in needs else []
    return Run(question, inputs, traced, output.detach(), targets, scores.detach(), gradients)


def _part(run: Run, combined: Combined, places: Sequence[int]) -> list[list[Tensor]]:
    return [[combined.combinator.function(found) for found in row] for row in run.inner(combined, places)]


def _layer(run: Run, combined: Combined, places: Sequence[int]) -> list[list[Tensor]]:
    """Each place's maps, changed by what the layer there gave out."""
    rows, change = run.inner(combined, places), combined.combinator.function
    given = [run.trace.layers[l].activations for l in places]
    return [change(row, activations, **combined.settings) for row, activations in zip(rows, given, strict=True)]


def _rivals(run: Run, combined: Combined, places: Sequence[int]) -> list[list[Tensor]]:
    """Each target's map beside those of its rivals, which all come from one more run."""
    others = [rivals_of(target, run.output, combined.settings["n"], "best") for target in run.targets]
    rows = run.inner(combined, places)
    theirs = run.asking([other for row in others for other in row]).inner(combined, places)
    return [
        [
            combined.combinator.function(found, rivals, **combined.settings)
            for found, rivals in zip(row, _split(of_rivals, [len(row) for row in others]), strict=True)
        ]
        for row, of_rivals in zip(rows, theirs, strict=True)
    ]


def _split(items: list[Tensor], sizes: Sequence[int]) -> list[list[Tensor]]:
    ends = list(itertools.accumulate(sizes))
    return [items[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _fusion(run: Run, combined: Combined, places: Sequence[int]) -> list[list[Tensor]]:
    """Layer by layer becomes target by target."""
    rows = run.inner(combined, places)
    return [[combined.combinator.function(list(maps), **combined.settings) for maps in zip(*rows, strict=True)]]


def _views(run: Run, combined: Combined, places: Sequence[int]) -> list[list[Tensor]]:
    """The mean over the views that saw a place, on the grid that the method has on the picture itself."""
    if not isinstance(run.inputs, Tensor):
        raise MethodError(
            f"{combined.combinator.name} runs the network on other pictures, and a network with several inputs has "
            "no one picture. Choose a method without it."
        )
    sizes = _sizes(run, combined.inner, places)
    total = [[torch.zeros(())] * len(run.targets) for _ in sizes]
    seen = [torch.zeros(())] * len(sizes)
    views, tick = combined.combinator.function(run.inputs, **combined.settings), run.question.progress
    for done, (pictures, back) in enumerate(views, start=1):
        with tick.within():
            rows = run.again(pictures, combined.combinator.name).inner(combined, places)
        for place, (row, size) in enumerate(zip(rows, sizes, strict=True)):
            returned = [back(found, size) for found in row]
            total[place] = [sum_ + found.nan_to_num() for sum_, found in zip(total[place], returned, strict=True)]
            seen[place] = seen[place] + (~returned[0].isnan()).to(returned[0])
        tick(done, len(views))
    return [[sum_ / count for sum_ in row] for row, count in zip(total, seen, strict=True)]


def _sizes(run: Run, method: Method | Combined, places: Sequence[int]) -> list[tuple[int, int]]:
    """Of the maps that a method gives on the run's own pictures."""
    height, width = (int(n) for n in run.inputs.shape[-2:])
    if method.at == "picture":
        return [(height, width)] * (len(places) if method.layered and not method.fuses else 1)
    grids = [run.trace.layers[l].activations.shape[-2:] for l in places]
    sizes = [(int(h), int(w)) for h, w in grids]
    return [max(sizes, key=lambda size: size[0] * size[1])] if method.fuses else sizes


_COMBINE = {"part": _part, "layer": _layer, "fusion": _fusion, "views": _views, "rivals": _rivals}
