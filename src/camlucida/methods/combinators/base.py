"""Methods made of methods: what takes any method and gives another, without knowing which.

Five kinds, told apart by what their function takes:
    part    a map (b, h, w)                         one of its parts, as positive or absolute
    layer   maps and what their layer gave out      each map changed by it
    fusion  the maps of several layers              one map, on the finest of their grids
    views   the pictures (b, c, H, W)               other views of them, and how a map comes back from each; the
                                                    answer is the mean over the views
    rivals  a map, and those of `n` other classes   one map, of what tells the class from them

The first three need only the run that is made anyway; views run the network again, and rivals once more. What is
combined is data, a `Combined`; `camlucida.attribution.executor` carries it out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from torch import Tensor

from camlucida.errors import MethodError
from camlucida.methods.registry import MapSize, Method
from camlucida.options import check_all, options_of
from camlucida.types import Display

CombinatorKind: TypeAlias = Literal["part", "layer", "fusion", "views", "competing_classes"]
MapToImage: TypeAlias = Callable[[Tensor, tuple[int, int]], Tensor]
"""A map (b, h, w) of a view, and a size, in; the map (b, *size) of the picture out, NaN where the view saw nothing."""


@dataclass(frozen=True)
class Views:
    """So many views of the pictures, each made when it is its turn: the pictures as seen, and the way back."""

    n: int
    view: Callable[[int], tuple[Tensor, MapToImage]]

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[Tensor, MapToImage]]:
        return map(self.view, range(self.n))


@dataclass(frozen=True)
class Combinator:
    """One entry of the table: a function, what kind it is of, its options with their defaults, and where it stands."""

    name: str
    kind: CombinatorKind
    function: Callable[..., Any]
    options: Mapping[str, Any]
    paper: str
    deviation: str

    @property
    def summary(self) -> str:
        """In plain words: the first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return inspect.getdoc(self.function) or ""

    def __call__(self, inner: Method | Combined, **options: Any) -> Combined:
        options = check_all(self.name, options_of(self.function), options)
        if (reason := self._incompatibility(inner)) is not None:
            raise MethodError(reason)
        return Combined(self, inner, options)

    def _incompatibility(self, inner: Method | Combined) -> str | None:
        """Why it makes no sense round that method; None where it does."""
        if self.kind == "fusion" and not inner.needs_layer:
            return f"{self.name} fuses layers, and {inner.name} maps the picture itself."
        if self.kind == "fusion" and inner.fuses_layers:
            return f"{self.name} fuses layers, and {inner.name} has fused them already."
        if self.kind == "layer" and inner.map_size != "layer":
            return (
                f"{self.name} compares a map with its layer place by place, and {inner.name} maps the picture itself."
            )
        if self.kind == "layer" and inner.fuses_layers:
            return f"{self.name} compares a map with its layer, and {inner.name} has fused several: put it inside."
        if self.kind == "competing_classes" and inner.class_free:
            return f"{self.name} compares classes, and {inner.name} gives the same map for all of them."
        return None


@dataclass(frozen=True)
class Combined:
    """A combinator with the method it is put on: to callers, one more method.

    given   the options that are not left at their defaults
    """

    combinator: Combinator
    inner: Method | Combined
    given_options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As it can be asked for again: "smooth(positive(hires_cam), n=4)"."""
        arguments = [self.inner.name, *(f"{k}={v!r}" for k, v in self.given_options.items())]
        return f"{self.combinator.name}({', '.join(arguments)})"

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The combinator's own options."""
        return {**self.combinator.options, **self.given_options}

    @property
    def options(self) -> Mapping[str, Any]:
        """Every option of the whole expression, for the record: "smooth.n", "smooth.ablation_cam.infill"."""
        prefix, inner = self.combinator.name, self.inner
        inner_options = inner.options if isinstance(inner, Combined) else _prefixed_options(inner)
        return {f"{prefix}.{k}": v for k, v in {**self.settings, **inner_options}.items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.inner.inputs

    @property
    def paper(self) -> str:
        return f"{self.combinator.name}: {self.combinator.paper}; {self.inner.paper}"

    @property
    def deviation(self) -> str:
        return self.combinator.deviation

    @property
    def summary(self) -> str:
        return self.combinator.summary

    @property
    def relu(self) -> bool:
        """Means over views and smoothed maps are still signed where their method is; others are what is to be shown."""
        return self.combinator.kind in ("views", "layer") and self.inner.relu

    @property
    def map_size(self) -> MapSize:
        return self.inner.map_size

    @property
    def display(self) -> Display:
        """A part has one sign, a comparison two; whatever else is combined is shown as its method is."""
        one_sign, two_signs = self.combinator.kind == "part", self.combinator.kind == "competing_classes"
        return replace(self.inner.display, signed=two_signs or (self.inner.display.signed and not one_sign))

    @property
    def class_free(self) -> bool:
        return self.inner.class_free

    @property
    def needs_layer(self) -> bool:
        return self.inner.needs_layer

    @property
    def fuses_layers(self) -> bool:
        """Whether it makes one map of several layers."""
        return self.combinator.kind == "fusion" or self.inner.fuses_layers

    def with_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All its options; others cannot be put over them from outside, where it is open whose they are."""
        if options:
            raise MethodError(
                f"options of {self.name} are written into it, as in smooth(ablation_cam(infill=0.5), n=4); "
                f"{next(iter(options))!r} was given beside it."
            )
        return dict(self.options)


def _prefixed_options(inner: Method) -> dict[str, Any]:
    return {f"{inner.name.partition('(')[0]}.{k}": v for k, v in inner.options.items()}


_combinators: dict[str, Combinator] = {}


def combinator(
    kind: CombinatorKind, *, paper: str = "none", deviation: str = "none"
) -> Callable[[Callable[..., Any]], Combinator]:
    """Put the decorated function into the table under its own name; its keyword-only parameters are the options."""

    def register(function: Callable[..., Any]) -> Combinator:
        parameters = inspect.signature(function).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        entry = Combinator(function.__name__, kind, function, options, paper, deviation)
        _combinators[entry.name] = entry
        return entry

    return register


def combinators() -> dict[str, Combinator]:
    """All combinators by name, in the order in which they are listed."""
    return dict(_combinators)
