"""Combinators: functions that take any method and return another.

The kinds of combinators, by the arguments of their function:
    part               a map (b, h, w); returns a part of it, such as its positive values
    layer              maps and the activations of their layer; returns the modified maps
    fusion             the maps of several layers; returns one map, on the finest of their grids
    views              the network inputs (b, c, H, W); returns transformed inputs, each with the function that maps a
                       saliency map back. The result is the mean over the views (test-time augmentation)
    competing_classes  a map, and the maps of `n` other classes; returns their difference

The first three need no further run of the network; views run it once per view, competing classes once more. A combined
method is a value, `Combined`, which `camlucida.attribution.executor` evaluates.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from torch import Tensor

from camlucida.errors import MethodError
from camlucida.methods.registry import MapSize, Method
from camlucida.options import check_all, options_of
from camlucida.types import Display

CombinatorKind: TypeAlias = Literal["part", "layer", "fusion", "views", "competing_classes"]
MapToImage: TypeAlias = Callable[[Tensor, Sequence[int]], Tensor]
"""Map a saliency map (b, h, w) of a view to (b, *size) on the unmodified input, NaN outside the view."""


@dataclass(frozen=True)
class Views:
    """Transformed network inputs, computed one at a time, each with the function that maps saliency maps back.

    Attributes:
        n: Number of views.
        view: Returns the transformed inputs `(b, c, H, W)` and their `MapToImage` for an index.
    """

    n: int
    view: Callable[[int], tuple[Tensor, MapToImage]]

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[Tensor, MapToImage]]:
        return map(self.view, range(self.n))


@dataclass(frozen=True)
class Combinator:
    """An entry of the table of combinators.

    Attributes:
        name: Name of the combinator.
        kind: Kind of the combinator, which determines the arguments of its function.
        function: The decorated function.
        options: Default values of the options, by name.
        paper: Paper with its equation; "none" without one.
        deviation: Difference from the paper, and the reason; "none" without one.
    """

    name: str
    kind: CombinatorKind
    function: Callable[..., Any]
    options: Mapping[str, Any]
    paper: str
    deviation: str

    @property
    def summary(self) -> str:
        """Summary of the combinator: the first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return inspect.getdoc(self.function) or ""

    def __call__(self, inner: Method | Combined, **options: Any) -> Combined:
        """Return the combinator applied to a method.

        Raises:
            MethodError: An option is invalid, or the combinator does not fit the method.
        """
        options = check_all(self.name, options_of(self.function), options)
        if (reason := self._incompatibility(inner)) is not None:
            raise MethodError(reason)
        return Combined(self, inner, options)

    def _incompatibility(self, inner: Method | Combined) -> str | None:
        """Return the reason why the combinator cannot be applied to a method, or None."""
        if self.kind == "fusion" and not inner.needs_layer:
            return f"{self.name} fuses layers, and {inner.name} maps the network input itself."
        if self.kind == "fusion" and inner.fuses_layers:
            return f"{self.name} fuses layers, and {inner.name} already fuses them."
        if self.kind == "layer" and inner.map_size != "layer":
            return f"{self.name} compares a map with its layer, and {inner.name} maps the network input itself."
        if self.kind == "layer" and inner.fuses_layers:
            return f"{self.name} compares a map with its layer, but {inner.name} fuses layers: put it inside."
        if self.kind == "competing_classes" and inner.class_free:
            return f"{self.name} compares classes, and {inner.name} returns the same map for all of them."
        return None


@dataclass(frozen=True)
class Combined:
    """A combinator applied to a method; callers use it like a method.

    Attributes:
        combinator: The combinator.
        inner: The method it is applied to.
        given_options: Options passed to the combinator; the others have their defaults.
    """

    combinator: Combinator
    inner: Method | Combined
    given_options: Mapping[str, Any]

    @property
    def has_colour(self) -> bool:
        """Whether there is a map in colour: combinators combine maps that are reduced already, so there is none."""
        return False

    @property
    def name(self) -> str:
        """Expression that `find` parses back: "smooth(positive(hires_cam), n=4)"."""
        arguments = [self.inner.name, *(f"{k}={v!r}" for k, v in self.given_options.items())]
        return f"{self.combinator.name}({', '.join(arguments)})"

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """All options of the combinator itself."""
        return {**self.combinator.options, **self.given_options}

    @property
    def options(self) -> Mapping[str, Any]:
        """All options of the expression, as recorded: "smooth.n", "smooth.ablation_cam.infill"."""
        prefix, inner = self.combinator.name, self.inner
        inner_options = inner.options if isinstance(inner, Combined) else _prefixed_options(inner)
        return {f"{prefix}.{k}": v for k, v in {**self.settings, **inner_options}.items()}

    @property
    def needs(self) -> tuple[str, ...]:
        return self.inner.needs

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
        """Whether a ReLU is still to be applied: views and layer combinators keep the sign of their method's maps."""
        return self.combinator.kind in ("views", "layer") and self.inner.relu

    @property
    def map_size(self) -> MapSize:
        return self.inner.map_size

    @property
    def display(self) -> Display:
        """Display of the method, with one sign for a part and two signs for a comparison of classes."""
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
        """Whether the expression fuses several layers into one map."""
        return self.combinator.kind == "fusion" or self.inner.fuses_layers

    def with_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options; raise `MethodError` for options beside the expression, whose owner is ambiguous."""
        if options:
            raise MethodError(
                f"options of {self.name} are part of its expression, as in smooth(ablation_cam(infill=0.5), n=4); "
                f"{next(iter(options))!r} cannot be passed separately."
            )
        return dict(self.options)


def _prefixed_options(inner: Method) -> dict[str, Any]:
    return {f"{inner.name.partition('(')[0]}.{k}": v for k, v in inner.options.items()}


_combinators: dict[str, Combinator] = {}


def combinator(
    kind: CombinatorKind, *, paper: str = "none", deviation: str = "none"
) -> Callable[[Callable[..., Any]], Combinator]:
    """Register the decorated function as a combinator under its own name.

    Args:
        kind: Kind of the combinator, which determines the arguments of its function.
        paper: Paper with its equation.
        deviation: Difference from the paper, and the reason.

    Returns:
        The decorator, which returns the `Combinator`. The keyword-only parameters of the function are its options.
    """

    def register(function: Callable[..., Any]) -> Combinator:
        parameters = inspect.signature(function).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        entry = Combinator(function.__name__, kind, function, options, paper, deviation)
        _combinators[entry.name] = entry
        return entry

    return register


def combinators() -> dict[str, Combinator]:
    """Return all combinators by name, in the order of registration."""
    return dict(_combinators)
