"""Tensors in, maps out: one run of the network for any number of classes, layers and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor, nn

from camlucida.engine import Layer, LayerSpec, Traced, resolve, trace, twin_of
from camlucida.errors import MethodError
from camlucida.fixtures import Fixtures, Place, Tick
from camlucida.methods import Method, find
from camlucida.methods.registry import OF_THE_REST
from camlucida.models.model import Model, Output
from camlucida.outputs import class_scores, placed
from camlucida.targets import Target, TargetSpec, parse, top_count

Request: TypeAlias = tuple[Method, Mapping[str, Any]]
"""A method with its options."""

INPUT = "input"
"""What stands in place of a layer's name for methods that map the picture itself."""


@dataclass(frozen=True)
class Attribution:
    """Everything one run gave.

    output    (b, k) the network's class scores
    targets   what was explained
    scores    (targets, b)
    layers    for every method, where: the layers, or None once for a method that maps the picture itself
    maps      maps[m][l][t] is the signed map (b, h, w) of the m-th method, its l-th place, the t-th target
    """

    output: Tensor
    targets: tuple[Target, ...]
    scores: Tensor
    layers: tuple[tuple[Layer | None, ...], ...]
    maps: tuple[tuple[tuple[Tensor, ...], ...], ...]


def attributions(
    network: nn.Module,
    inputs: Any,
    *,
    targets: Sequence[TargetSpec],
    layers: Sequence[LayerSpec],
    methods: Sequence[Request],
    names: Sequence[str] = (),
    score: str = "logit",
    output: Output = None,
    tick: Tick = lambda done, total: None,
) -> Attribution:
    """Run `network` on `inputs` and compute every method's map at every layer for every target.

    One run serves all that ask for activations, gradients or the rest of the network. The network may be in train
    mode, frozen, in half precision, on a GPU; the caller may be inside `no_grad` or `inference_mode`. Nothing of it
    changes. `tick` is told about the progress of methods that run the network many times. Arguments as of `attribute`.
    """
    inputs = placed(network, inputs)
    twin = twin_of(network)
    needs = {need for method, _ in methods for need in method.needs}
    with torch.inference_mode(False), torch.no_grad():
        found = resolve(twin, inputs, layers) if any(method.layered for method, _ in methods) else []
        run = trace(twin, inputs, found, gradients="gradients" in needs, rerun=bool(OF_THE_REST & needs))
        with torch.enable_grad():
            of_classes = class_scores(run.output, output)
            chosen = [t for spec in targets for t in parse(spec, of_classes.detach(), names, score=score)]
            scores = torch.stack([target(of_classes) for target in chosen])  # (targets, b)
        gradients = run.gradients(scores) if "gradients" in needs else []
        of_classes, scores = of_classes.detach(), scores.detach()

        def given(traced: Traced | None, slopes: Sequence[Tensor] | None) -> list[Fixtures]:
            place = Place(twin, inputs, output, run, traced, tick)
            return [
                Fixtures(place, target, of_classes, scores[t], slopes[t] if slopes else None)
                for t, target in enumerate(chosen)
            ]

        at_layers = [given(traced, gradients[l] if gradients else None) for l, traced in enumerate(run.layers)]
        at_pictures = [given(None, None)]
        maps = tuple(
            tuple(
                tuple(_map(method, options, fixtures) for fixtures in row)
                for row in (at_layers if method.layered else at_pictures)
            )
            for method, options in methods
        )
    where = tuple(tuple(found) if method.layered else (None,) for method, _ in methods)
    return Attribution(of_classes, tuple(chosen), scores, where, maps)


def _map(method: Method, options: Mapping[str, Any], fixtures: Fixtures) -> Tensor:
    found: Tensor = method(*(getattr(fixtures, need) for need in method.needs), **options)
    return found


@overload
def attribute(
    model: Model | nn.Module,
    images: Any,
    *,
    target: Any = None,
    layer: str | int | None = None,
    method: str | Method = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    **options: Any,
) -> Tensor: ...


@overload
def attribute(
    model: Model | nn.Module,
    images: Any,
    *,
    target: Any = None,
    layer: Sequence[LayerSpec],
    method: str | Method = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    **options: Any,
) -> dict[str, Tensor]: ...


def attribute(
    model: Model | nn.Module,
    images: Any,
    *,
    target: Any = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: str | Method = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    **options: Any,
) -> Tensor | dict[str, Tensor]:
    """Saliency maps of a batch of tensors, on the layers' own grids, not normalised.

    model     a `Model`, or any `nn.Module`
    images    (b, c, H, W) as the network wants them; a tuple or dict where it takes several arguments
    target    a class index or name, "top3", "A rather than B", "not A", a callable output -> (b,), or None for
              each image's predicted class; a (b,) tensor gives one class an image; a list means each of them
    layer     a name, glob, index, None for the default; a list or a glob gives several, from one forward pass
    method    by name; `options` are its own
    score     what a class is scored by: logit, probability, log_probability
    signed    also what the paper's ReLU would cut off

    Returns (b, h, w); with a list of targets (b, targets, h, w); with several layers a dict name -> such maps.
    Raises `LayerError`, `TargetError`, `MethodError`.
    """
    chosen = find(method)
    check_layer(chosen, layer)
    wrapped = model if isinstance(model, Model) else Model(model)
    layers = list(layer) if isinstance(layer, list | tuple) else [wrapped.layer if layer is None else layer]
    run = attributions(
        wrapped.network,
        images,
        targets=list(target) if isinstance(target, list | tuple) else [target],
        layers=layers,  # type: ignore[arg-type]
        methods=[(chosen, chosen.with_options(options))],
        names=wrapped.labels,
        score=score,
        output=wrapped.output,
    )
    found = {}
    for where, maps in zip(run.layers[0], run.maps[0], strict=True):
        stacked = torch.stack(maps, dim=1) if several_targets(target) else maps[0]
        found[where.name if where else INPUT] = stacked.relu() if chosen.relu and not signed else stacked
    return found if several_layers(layer) else next(iter(found.values()))


def check_layer(method: Method, layer: LayerSpec | Sequence[LayerSpec]) -> None:
    """`MethodError` where a layer is named for a method that maps the picture itself."""
    if not method.layered and layer not in (None, INPUT):
        raise MethodError(f"{method.name} maps the picture itself and takes no layer, but was given {layer!r}.")


def several_targets(target: Any) -> bool:
    """Whether a request may mean more than one target: a list, or "top3"."""
    return isinstance(target, list | tuple) or top_count(target) is not None


def several_layers(layer: Any) -> bool:
    """Whether a request may mean more than one layer: a list, a glob, or "all"."""
    return isinstance(layer, list | tuple) or (
        isinstance(layer, str) and (layer == "all" or any(sign in layer for sign in "*?["))
    )
