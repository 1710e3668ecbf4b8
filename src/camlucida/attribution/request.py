"""The request for a number of maps as a value, validated before anything runs."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor

from camlucida.engine import LayerSpec
from camlucida.engine.run_options import Precision, RunOptions
from camlucida.errors import CamlucidaError, LayerError, MethodError, TargetError, nearest
from camlucida.methods import Combined, Method, find
from camlucida.methods import methods as all_methods
from camlucida.options import shown
from camlucida.target_specs import check_score, check_target, parse_top_k
from camlucida.targets import TargetSpec
from camlucida.types import ProgressCallback

MethodSpec: TypeAlias = str | Method | Combined
"""A method by name, or as an expression with options and combinators, or as `methods()` returns it."""
MethodRequest: TypeAlias = tuple[Method | Combined, Mapping[str, Any]]
"""A method with all its options."""

INPUT = "input"
"""Name that replaces a layer's for methods that map the network input itself."""


@dataclass(frozen=True)
class AttributionRequest:
    """Every combination of methods, layers and targets to explain; all maps come from one run of the network.

    Attributes:
        targets: What to explain: class indices or names, "top3", "A rather than B", callables, None for the predicted
            class; a tensor `(b,)` holds one class per image.
        layers: Names, globs, indices, "all", None for the model's default layer.
        methods: Methods, each with all its options.
        score: Score of a class: "logit", "probability" or "log_probability".
        run_options: Precision and batch size of methods that run the network many times.
        progress: Called as `progress(done, total)` by such methods.
        colour: Whether to also return the maps in colour of the methods that have them.
        several: Whether the result is a set even if it holds one map only: a list was given, or "top3", or a glob.
        channel_relevance: Whether to return the relevance of every channel beside the maps, from the same run.
        method_reason: Why the default method is not the usual one; "" for the usual one, or if methods were named.
    """

    targets: Sequence[TargetSpec] = (None,)
    layers: Sequence[LayerSpec] = (None,)
    methods: Sequence[MethodRequest] = ()
    score: str = "logit"
    run_options: RunOptions = field(default_factory=RunOptions)
    progress: ProgressCallback | None = None
    colour: bool = False
    several: bool = False
    channel_relevance: bool = False
    method_reason: str = ""

    @classmethod
    def of(
        cls,
        *,
        target: Any = None,
        layer: Any = None,
        method: Any = "grad_cam",
        method_reason: str = "",
        score: str = "logit",
        options: Mapping[str, Any] | None = None,
        precision: Precision = "exact",
        batch_size: int | None = None,
        progress: ProgressCallback | None = None,
        colour: bool = False,
    ) -> AttributionRequest:
        """Return the request for the arguments of `explain` or `attribute`.

        Args:
            target: A target, or a list of several.
            layer: A layer, or a list of several.
            method: A method, or a list of several.
            method_reason: As of `AttributionRequest`.
            score: As of `explain`.
            options: Options of the methods; each goes to the methods that have it.
            precision: As of `explain`.
            batch_size: As of `explain`.
            progress: As of `explain`.
            colour: As of `explain`.

        Raises:
            TargetError: A target or score is invalid.
            LayerError: A layer is invalid.
            MethodError: A method or option is invalid.
        """
        if elsewhere := sorted({"target_layer", "target_layers"} & set(options or {})):
            raise LayerError(f"{elsewhere[0]}= of pytorch-grad-cam is layer= here: layer=network.layer4, or a list.")
        targets = _listed(target, "target", TargetError)
        layers = _listed(layer, "layer", LayerError)
        methods = [find(spec) for spec in _listed(method, "method", MethodError)]
        for spec in targets:
            check_target(spec)
        for layer_spec in layers:
            check_layer_spec(layer_spec)
        check_score(score)
        check_progress(progress)
        if len(methods) == 1:
            check_layer(methods[0], layer)
        return cls(
            targets=targets,
            layers=layers,
            methods=_with_options(methods, options or {}),
            method_reason=method_reason,
            score=score,
            run_options=RunOptions(precision, batch_size),
            progress=progress,
            colour=check_colour(methods, colour),
            several=isinstance(method, list | tuple)
            or several_targets(target)
            or (several_layers(layer) and not methods[0].fuses_layers),
        )


def _listed(asked: Any, what: str, error: type[CamlucidaError]) -> list[Any]:
    if not isinstance(asked, list | tuple):
        return [asked]
    if not asked:
        raise error(f"the list of {what}s is empty. Name at least one, or omit {what}=.")
    return list(asked)


def _with_options(methods: Sequence[Method | Combined], options: Mapping[str, Any]) -> list[MethodRequest]:
    """Return each method with the options that it has; a single method gets all, so that it rejects unknown ones."""
    if len(methods) == 1:
        return [(methods[0], methods[0].with_options(options))]
    for name in options:
        if not any(name in method.options for method in methods):
            known = {name: None for method in methods for name in method.options}
            names = ", ".join(method.name for method in methods)
            raise MethodError(f"none of {names} has an option {name!r}.{nearest(name, known)}")
    return [
        (method, method.with_options({name: options[name] for name in options if name in method.options}))
        for method in methods
    ]


def check_layer_spec(spec: Any) -> None:
    """Raise `LayerError` for a value that cannot be a layer of any network."""
    if spec is None or isinstance(spec, str):
        return
    try:
        if isinstance(spec, bool | Tensor):
            raise TypeError
        operator.index(spec)
    except TypeError:
        raise LayerError(
            f"a layer is a name, a glob, an index, 'all' or a module of the network, not {shown(spec)}. "
            "`camlucida layers` lists them."
        ) from None


def check_progress(progress: Any, error: type[CamlucidaError] = MethodError) -> None:
    """Raise an error if the progress callback is not callable."""
    if progress is not None and not callable(progress):
        raise error(f"progress is a callable that takes (done, total), not {shown(progress)}.")


def check_colour(methods: Sequence[Method | Combined], colour: Any) -> bool:
    """Return the flag itself. Raises `MethodError` for another value, or if none of the methods has maps in colour."""
    if not isinstance(colour, bool):
        raise MethodError(f"colour is True or False, not {shown(colour)}.")
    if colour and not any(method.has_colour for method in methods):
        known = ", ".join(name for name, method in all_methods().items() if method.has_colour)
        raise MethodError(
            f"{methods[0].name} has no map in colour, which methods with one value per colour channel have: {known}."
        )
    return colour


def check_layer(method: Method | Combined, layer: Any) -> None:
    """Raise `MethodError` if a layer is given for a method that maps the network input itself."""
    given = layer is not None and not (isinstance(layer, str) and layer == INPUT)
    if not method.needs_layer and given:
        raise MethodError(f"{method.name} maps the network input itself and takes no layer, not {shown(layer)}.")


def several_targets(target: Any) -> bool:
    """Return whether a request may mean more than one target: a list, or "top3"."""
    return isinstance(target, list | tuple) or parse_top_k(target) is not None


def several_layers(layer: Any) -> bool:
    """Return whether a request may mean more than one layer: a list, a glob, or "all"."""
    return isinstance(layer, list | tuple) or (
        isinstance(layer, str) and (layer == "all" or any(sign in layer for sign in "*?["))
    )


def one_layer(layer: Any, about: str) -> None:
    """Raise `LayerError` for an invalid layer, or one that may mean several; `about` begins the message."""
    if several_layers(layer):
        raise LayerError(f"{about} one layer, and {shown(layer)} may be several. Choose one.")
    check_layer_spec(layer)


def one_target(target: Any, about: str) -> None:
    """Raise `TargetError` for an invalid target, or one that may mean several; `about` begins the message."""
    if several_targets(target):
        raise TargetError(f"{about} one target, and {shown(target)} may be several. Choose one.")
    check_target(target)
