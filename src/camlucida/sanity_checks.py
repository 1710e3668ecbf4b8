"""Does a map notice when the network is no longer itself? The sanity checks of Adebayo et al. and their kin.

    cascading     weights are drawn anew from the class scores down, stage by stage: an honest map changes
    independent   one stage alone at a time
    smooth        as cascading from the picture up, with maps averaged over noisy pictures (Hedström et al., 2023)
    random_logit  the map of another class: one that is the same for every class explains none (Sixt et al., 2020)
    labels        toybox only: a network that learnt labels drawn by lot has learnt nothing of the world

The network itself is never touched: every step is a copy that shares what is not drawn anew.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import torch
from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida.attribution import attributions
from camlucida.data.images import Source, load_image
from camlucida.engine.randomise import Stage, stages, with_random
from camlucida.errors import CamlucidaError, DataError, MethodError, ModelError, nearest
from camlucida.explaining import as_model, name_of
from camlucida.methods import Combined, Method, find
from camlucida.metrics.parts.similarity import hog, pearson, spearman, ssim
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.outputs import placed
from camlucida.render.strips import Frame, Strip, strips
from camlucida.saving import png
from camlucida.tensors import scaled, upsample

Check: TypeAlias = Literal["cascading", "independent", "smooth", "random_logit", "labels"]
CHECKS: tuple[Check, ...] = ("cascading", "independent", "smooth", "random_logit", "labels")

ALIKE = 0.2
"""A mean rank correlation with the network's own map below this is none (Adebayo's Grad-CAM: 0.06, guided
backpropagation 0.47 on ResNet-18, by Hedström et al.)."""

UPPER = 0.5
"""A map that is still more alike than this with its network's upper half drawn anew does not look at what decides:
guided backpropagation is (0.6 to 0.9 on ResNet-18), the gradient (0.2) and Grad-CAM (0.0) are not."""

CLASS_BLIND = 0.8
"""A mean rank correlation between the maps of different classes above this means that the class hardly matters."""

OTHERS = 5
"""Classes drawn at random for random_logit, besides the runner-up."""

SMOOTH = "smooth({}, n=50, noise=0.1)"
"""Of the smooth variant: as many noisy pictures, and as noisy, as its authors have."""

BATCH = 8

FRAMES = 8
"""Of a strip: more steps than that are shown in part."""


@dataclass(frozen=True)
class Step:
    """How alike the maps of a picture are before and after one step.

    check     which of the checks
    stage     what was drawn anew last; or the class, of random_logit
    share     of the stages drawn anew so far, 0 to 1
    seed      of what was drawn
    spearman  rank correlation of the signed maps; `absolute` of their absolute values
    ssim      structural similarity of the maps on the network's input
    hog       correlation of their histograms of oriented gradients
    pair      rank correlation with the map of the *next* picture: what two maps have in common by chance
    """

    picture: str
    method: str
    check: Check
    stage: str
    share: float
    seed: int
    spearman: float
    absolute: float
    ssim: float
    hog: float
    pair: float


@dataclass(frozen=True)
class Verdict:
    """What a check says about a method.

    passed  whether the map notices; None where it cannot be told
    value   the mean rank correlation that decides, `error` its standard error; it fails what is above `limit` by more
            than twice that
    upper   of a cascade from the scores down: the same with the upper half drawn anew; it must stay below UPPER
    invalid of `n` comparisons so many could not be made: a map was the same everywhere
    """

    method: str
    check: Check
    passed: bool | None
    value: float
    error: float
    limit: float
    upper: float | None
    n: int
    invalid: int

    @property
    def says(self) -> str:
        """In words, with its numbers."""
        if self.passed is None:
            return f"cannot tell: no map of {self.n} could be compared"
        word = "passes" if self.passed else "FAILS"
        half = "" if self.upper is None else f", {self.upper:.2f} with the upper half drawn anew (below {UPPER:g})"
        return f"{word}: rank correlation {self.value:.2f} ± {self.error:.2f} (below {self.limit:.2f} passes){half}"

    def __str__(self) -> str:
        return f"{self.method}, {self.check}: {self.says}"


@dataclass(frozen=True, eq=False)
class Sanity:
    """All steps, and what they say. `strips` holds the maps of the first picture, step by step, to be looked at.

    strips   (method, check) -> (what was drawn anew, the map (h, w)), first the network's own
    picture  that first picture, as the network sees it
    failures (picture, reason) of what could not be read
    """

    steps: tuple[Step, ...]
    strips: dict[tuple[str, Check], tuple[tuple[str, Tensor], ...]]
    picture: Image.Image
    model: str
    failures: tuple[tuple[str, str], ...]

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One a method and check, in the order in which they were made."""
        pairs = dict.fromkeys((step.method, step.check) for step in self.steps)
        return tuple(
            _verdict(method, check, [s for s in self.steps if (s.method, s.check) == (method, check)])
            for method, check in pairs
        )

    def verdict(self, method: str, check: Check = "cascading") -> Verdict:
        """That of one method; `MethodError` where it was not checked."""
        for found in self.verdicts:
            if (found.method, found.check) == (method, check):
                return found
        raise MethodError(f"{method} was not put to the check {check!r} here.")

    def figure(self, **look: Any) -> Image.Image:
        """A strip of maps a method and check, from the network's own on. `look` as of `render.strips`."""
        pictures = len({step.picture for step in self.steps})
        return strips(
            [self._strip(verdict) for verdict in self.verdicts],
            self.picture,
            title="Does the map notice?",
            subtitle=f"weights drawn anew, other classes: one of {pictures} pictures · under each map its rank "
            "correlation with the first, the mean of all pictures",
            footer=f"each map has its own scale · {self.model} · camlucida {camlucida.__version__}",
            **look,
        )

    def _repr_png_(self) -> bytes:
        return png(self.figure())

    def _strip(self, verdict: Verdict) -> Strip:
        maps = self.strips[verdict.method, verdict.check]
        alike = {stage: value for stage, _, value in self.curve(verdict.method, verdict.check)}
        shown_ = sorted({round(i * (len(maps) - 1) / (FRAMES - 1)) for i in range(FRAMES)})
        size = self.picture.height, self.picture.width
        frames = [
            Frame(scaled(upsample(maps[i][1][None], size)[0]).numpy(), maps[i][0], _r(alike.get(maps[i][0])))
            for i in shown_
        ]
        return Strip(f"{verdict.method}, {verdict.check}", verdict.says, verdict.passed is False, frames)

    def curve(self, method: str, check: Check = "cascading") -> list[tuple[str, float, float]]:
        """(stage, share of stages drawn anew, mean rank correlation), step by step."""
        mine = [s for s in self.steps if (s.method, s.check) == (method, check)]
        order = dict.fromkeys((s.stage, s.share) for s in mine)
        return [
            (stage, share, _mean([s.spearman for s in mine if (s.stage, s.share) == (stage, share)]))
            for stage, share in order
        ]


def sanity(
    model: Model | nn.Module | str,
    images: Sequence[Source],
    *,
    methods: Sequence[Any] = ("grad_cam",),
    checks: Sequence[Check] = ("cascading", "random_logit"),
    layer: Any = None,
    seeds: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Sanity:
    """Put methods to the sanity checks on some pictures.

    model     as of `explain`
    images    a dozen is enough; those that cannot be read are left out and named in `failures`
    methods   by name, with combinators or not
    checks    of cascading, independent, smooth, random_logit, labels
    layer     one layer, None for the default
    seeds     how often the weights are drawn anew
    progress  told how many of how many steps are done

    The class explained is the one that the untouched network predicts. Raises `DataError` where no picture can be
    read, `MethodError` for names unknown.
    """
    wrapped = as_model(model)
    for check in checks:
        if check not in CHECKS:
            raise MethodError(f"no check {check!r}.{nearest(str(check), CHECKS)} Known: {', '.join(CHECKS)}.")
    chosen = [find(method) for method in methods]
    names, inputs, failures = _read(wrapped, images)
    subject = _Subject(wrapped, names, inputs, layer)
    total = sum(_count(subject, check, seeds) for check in checks) * len(chosen)
    steps: list[Step] = []
    strips_: dict[tuple[str, Check], tuple[tuple[str, Tensor], ...]] = {}
    done = 0
    for method in chosen:
        for check in checks:
            asked = find(SMOOTH.format(method.name)) if check == "smooth" else method
            own = subject.maps(subject.model, asked, subject.classes)
            strip = [("itself", _as_shown(asked, own[0]))]
            for stage, share, seed, maps in _STEPS[check](subject, asked, seeds):
                steps += _compared(subject.names, method.name, check, stage, share, seed, own, maps)
                strip += [(stage, _as_shown(asked, maps[0]))] if seed == 0 else []
                done += 1
                if progress:
                    progress(done, total)
            strips_[method.name, check] = tuple(strip)
    picture = wrapped.preprocessing.denormalised(inputs[:1])[0]
    return Sanity(tuple(steps), strips_, _drawn(picture), wrapped.name, failures)


@dataclass(frozen=True, eq=False)
class _Subject:
    """The model and the pictures that all methods are checked on."""

    model: Model
    names: tuple[str, ...]
    inputs: Tensor
    layer: Any

    @cached_property
    def classes(self) -> Tensor:
        return self._logits.argmax(1)

    @cached_property
    def runner_up(self) -> Tensor:
        return self._logits.topk(2, dim=1).indices[:, 1]

    @property
    def width(self) -> int:
        return self._logits.shape[1]

    @cached_property
    def stages(self) -> list[Stage]:
        return stages(self.model.network)

    @cached_property
    def _logits(self) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            made = attributions(
                self.model.network, self.inputs, targets=[0], layers=[], methods=[], output=self.model.output
            )
        return made.output

    def maps(self, model: Model, method: Method | Combined, classes: Tensor) -> Tensor:
        """The signed maps (n, h, w) of the pictures, each for its class."""
        found = []
        for rows in torch.split(torch.arange(len(self.inputs)), BATCH):
            made = attributions(
                model.network,
                self.inputs[rows],
                targets=[classes[rows]],
                layers=[self.layer],
                methods=[(method, method.with_options({}))],
                default=model.layer,
                output=model.output,
            )
            found.append(made.maps[0][0][0])
        return torch.cat(found)


Steps: TypeAlias = Iterator[tuple[str, float, int, Tensor]]
"""What was drawn anew, the share of stages that are, the seed, the maps (n, h, w)."""


def _cascade(subject: _Subject, method: Method | Combined, seeds: int, *, upwards: bool = False) -> Steps:
    order = subject.stages[::-1] if upwards else subject.stages
    for seed in range(seeds):
        for count, stage in enumerate(order, start=1):
            yield stage.name, count / len(order), seed, _with(subject, method, order[:count], seed)


def _one_by_one(subject: _Subject, method: Method | Combined, seeds: int) -> Steps:
    for seed in range(seeds):
        for stage in subject.stages:
            yield stage.name, 1 / len(subject.stages), seed, _with(subject, method, [stage], seed)


def _with(subject: _Subject, method: Method | Combined, drawn: Sequence[Stage], seed: int) -> Tensor:
    network = with_random(subject.model.network, drawn, seed=seed)
    return subject.maps(replace(subject.model, network=network), method, subject.classes)


def _other_classes(subject: _Subject, method: Method | Combined, seeds: int) -> Steps:
    yield "runner-up", 0.0, 0, subject.maps(subject.model, method, subject.runner_up)
    chance = torch.Generator().manual_seed(0)
    for number in range(min(OTHERS, subject.width - 1)):
        drawn = torch.randint(0, subject.width - 1, subject.classes.shape, generator=chance)
        other = drawn.to(subject.classes) + (drawn.to(subject.classes) >= subject.classes)
        yield f"class {number + 1} by lot", 0.0, 0, subject.maps(subject.model, method, other)


def _by_lot(subject: _Subject, method: Method | Combined, seeds: int) -> Steps:
    if type(subject.model.network).__name__ != "ToyResNet":
        raise ModelError(
            "the check of labels drawn by lot is for toybox, where a network that learnt such is built in."
        )
    yield "labels by lot", 1.0, 0, subject.maps(load("toybox:permuted"), method, subject.classes)


_STEPS: dict[Check, Callable[[_Subject, Method | Combined, int], Steps]] = {
    "cascading": _cascade,
    "independent": _one_by_one,
    "smooth": lambda subject, method, seeds: _cascade(subject, method, seeds, upwards=True),
    "random_logit": _other_classes,
    "labels": _by_lot,
}


def _count(subject: _Subject, check: Check, seeds: int) -> int:
    if check == "labels":
        return 1
    return 1 + min(OTHERS, subject.width - 1) if check == "random_logit" else seeds * len(subject.stages)


def _compared(
    names: Sequence[str], method: str, check: Check, stage: str, share: float, seed: int, own: Tensor, maps: Tensor
) -> Iterator[Step]:
    fine = max(own.shape[1], 64)  # SSIM's window and HOG's cells need room
    size = (fine, max(1, round(fine * own.shape[2] / own.shape[1])))
    large, other = upsample(own, size), upsample(maps, size)
    found = (
        spearman(own, maps),
        spearman(own.abs(), maps.abs()),
        ssim(large, other),
        pearson(hog(large), hog(other)),
        spearman(own.roll(1, 0), maps),
    )
    for i, name in enumerate(names):
        numbers = [float(f[i]) for f in found]
        yield Step(name, method, check, stage, share, seed, *numbers)


def _verdict(method: str, check: Check, steps: Sequence[Step]) -> Verdict:
    """Of a cascade the last step decides, of independent stages the one that changes least, else all of them."""
    if check in ("cascading", "smooth"):
        deciding = [s for s in steps if s.share == 1]
    elif check == "independent":
        stages_ = dict.fromkeys(s.stage for s in steps)
        last = max(stages_, key=lambda name: _mean([s.spearman for s in steps if s.stage == name]))
        deciding = [s for s in steps if s.stage == last]
    else:
        deciding = list(steps)
    found = [s.spearman for s in deciding if not math.isnan(s.spearman)]
    n, invalid = len(deciding), len(deciding) - len(found)
    limit = CLASS_BLIND if check == "random_logit" else min(ALIKE, _band(deciding))
    upper = _upper(steps) if check == "cascading" else None
    if not found:
        return Verdict(method, check, None, float("nan"), float("nan"), limit, upper, n, invalid)
    value, error = _mean(found), _standard_error(found)
    alike = value if check == "random_logit" else abs(value)  # the opposite map is another one, for another class
    passed = alike - 2 * error < limit and (upper is None or math.isnan(upper) or upper < UPPER)
    return Verdict(method, check, passed, value, error, limit, upper, n, invalid)


def _upper(steps: Sequence[Step]) -> float:
    """The mean correlation at the stage that is nearest to the middle of the network."""
    middle = min({s.share for s in steps}, key=lambda share: abs(share - 0.5))
    return _mean([s.spearman for s in steps if s.share == middle])


def _standard_error(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1) / len(values))


def _band(steps: Sequence[Step]) -> float:
    """Below which 95 % of the correlations of maps of *different* pictures lie; 1 where there is one picture only."""
    pairs = sorted(abs(s.pair) for s in steps if not math.isnan(s.pair))
    several = len({s.picture for s in steps}) > 1
    return pairs[min(len(pairs) - 1, int(0.95 * len(pairs)))] if several and pairs else 1.0


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else float("nan")


def _r(value: float | None) -> str:
    return "" if value is None else "–" if math.isnan(value) else f"r = {value:.2f}"


def _as_shown(method: Method | Combined, map_: Tensor) -> Tensor:
    return map_.relu() if method.relu else map_.abs()


def _drawn(picture: Tensor) -> Image.Image:
    """A picture (c, h, w) in [0, 1] as RGB."""
    pixels = (picture.expand(3, -1, -1) if len(picture) == 1 else picture[:3]).permute(1, 2, 0)
    return Image.fromarray((pixels * 255).round().byte().numpy())


def _read(model: Model, images: Sequence[Source]) -> tuple[tuple[str, ...], Tensor, tuple[tuple[str, str], ...]]:
    names, inputs, failures = [], [], []
    for number, image in enumerate(images, start=1):
        try:
            inputs.append(model.preprocessing(load_image(image))[0])
            name = name_of(image)
            names.append(f"{name} {number}" if name in names or not isinstance(image, str | os.PathLike) else name)
        except CamlucidaError as error:
            failures.append((name_of(image), str(error)))
    if not inputs:
        why = f" The first: {failures[0][1]}" if failures else ""
        raise DataError(f"no picture to check: {len(images)} were given, and none could be read.{why}")
    return tuple(names), placed(model.network, torch.stack(inputs)), tuple(failures)
