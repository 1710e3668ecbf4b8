"""Tensors in, maps out: one run of the network for any number of classes, layers and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor, nn

from camlucida.attribution.executor import AttributionRequest_, Fused, run_attribution
from camlucida.attribution.network_inputs import check_inputs
from camlucida.attribution.outputs import to_network
from camlucida.attribution.request import INPUT, AttributionRequest, MethodSpec, several_layers, several_targets
from camlucida.engine import Layer, LayerSpec, NetworkCopy, copy_of, resolve
from camlucida.engine.run_options import Precision
from camlucida.errors import MethodError
from camlucida.methods import Combined, Method
from camlucida.models.model import Model
from camlucida.options import OptionValue, shown
from camlucida.targets import Target, TargetSpec, parse
from camlucida.types import ProgressCallback

NetworkInputs: TypeAlias = Tensor | tuple[Any, ...] | dict[str, Any]
"""(b, c, H, W); or the arguments of a network that takes several."""


@dataclass(frozen=True)
class Attribution:
    """Everything one run gave.

    output    (b, k) the network's class scores
    targets   what was explained
    scores    (targets, b)
    layers    for every method, where: the layers, once several that were fused, or once None for a method that maps
              the picture itself
    maps      maps[m][l][t] is the signed map (b, h, w) of the m-th method, its l-th place, the t-th target
    notes     in the same order what the method reported beside the map: a name and one number an image (b,)
    """

    output: Tensor
    targets: tuple[Target, ...]
    scores: Tensor
    layers: tuple[tuple[Layer | Fused | None, ...], ...]
    maps: tuple[tuple[tuple[Tensor, ...], ...], ...]
    notes: tuple[tuple[tuple[Mapping[str, Tensor], ...], ...], ...]


def attributions(model: Model, inputs: Any, request: AttributionRequest) -> Attribution:
    """Run a model's network on `inputs` and compute every map that is asked for.

    One run serves all methods that ask for activations, gradients or the rest of the network. The network may be in
    train mode, frozen, in half precision, on a GPU; the caller may be inside `no_grad` or `inference_mode`. Nothing of
    it changes. A layer that is None is the model's default layer, and for methods that fuse layers all candidates.
    """
    network = model.network
    check_inputs(network, inputs)
    inputs = to_network(network, inputs)
    copy = copy_of(network)
    methods = request.methods
    with torch.inference_mode(False), torch.no_grad():
        layers_of_methods = [
            _resolve_layers(method, copy, inputs, request.layers, model.layer) for method, _ in methods
        ]
        unique_layers = list(dict.fromkeys(layer for row in layers_of_methods for layer in row))
        result = run_attribution(
            AttributionRequest_(
                copy,
                tuple(unique_layers),
                model.output,
                frozenset(need for method, _ in methods for need in method.needs),
                lambda scores: [
                    target
                    for spec in request.targets
                    for target in parse(spec, scores, model.labels, score=request.score)
                ],
                request.progress or _ignore_progress,
                request.run_options,
            ),
            inputs,
        )
        maps, notes = [], []
        for (method, options), method_layers in zip(methods, layers_of_methods, strict=True):
            layer_indices = [unique_layers.index(layer) for layer in method_layers]
            maps.append(tuple(tuple(row) for row in result.maps(method, options, layer_indices)))
            notes.append(tuple(tuple(row) for row in result.notes(method, layer_indices)))
    used_layers = tuple(_used_layers(method, row) for (method, _), row in zip(methods, layers_of_methods, strict=True))
    return Attribution(result.output, result.targets, result.scores, used_layers, tuple(maps), tuple(notes))


def _ignore_progress(done: int, total: int) -> None:
    pass


def _resolve_layers(
    method: Method | Combined, copy: NetworkCopy, inputs: Any, layers: Sequence[LayerSpec], default: LayerSpec
) -> list[Layer]:
    if not method.needs_layer:
        return []
    unspecified = "all" if method.fuses_layers else default
    return resolve(copy, inputs, [unspecified if spec is None else spec for spec in layers])


def _used_layers(method: Method | Combined, layers: Sequence[Layer]) -> tuple[Layer | Fused | None, ...]:
    if not method.needs_layer:
        return (None,)
    return (Fused(tuple(layers)),) if method.fuses_layers else tuple(layers)


@overload  # a str is a Sequence[str] too: this one comes first
def attribute(  # type: ignore[overload-overlap]
    model: Model | nn.Module,
    images: NetworkInputs,
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    layer: LayerSpec = None,
    method: MethodSpec = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Tensor: ...


@overload
def attribute(
    model: Model | nn.Module,
    images: NetworkInputs,
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    layer: Sequence[LayerSpec],
    method: MethodSpec = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> dict[str, Tensor]: ...


def attribute(
    model: Model | nn.Module,
    images: NetworkInputs,
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: MethodSpec = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Tensor | dict[str, Tensor]:
    """Saliency maps of a batch of tensors, on the layers' own grids, not normalised.

    model     a `Model`, or any `nn.Module`
    images    (b, c, H, W) as the network wants them; a tuple or dict where it takes several arguments
    target    a class index or name, "top3", "A rather than B", "not A", a callable output -> (b,), or None for
              each image's predicted class; a (b,) tensor gives one class an image; a list means each of them
    layer     a name, glob, index, None for the default; a list or a glob gives several, from one forward pass
    method    by name, with combinators round it or not: "smooth(positive(hires_cam), n=4)"; `options` are its own
    score     what a class is scored by: logit, probability, log_probability
    signed    also what the paper's ReLU would cut off
    precision "bf16" runs the network in bfloat16, where a method runs it on many other pictures without gradients
              (Score-CAM and its kin, occlusion, RISE, LIME, KernelSHAP): about twice as fast on a processor with
              bfloat16 units, slower on one without. Scores are off by about 1 %; maps are computed in float32
    batch     the most pictures such methods run at once, but never fewer than are given; None is as many as help
    progress  told how many of how many runs are done, by methods that run the network often

    Returns (b, h, w); with a list of targets (b, targets, h, w); with several layers a dict name -> such maps,
    unless the method fuses them into one.
    Raises `LayerError`, `TargetError`, `MethodError`; `ImageError` for images of integers or complex numbers, without
    pixels, or with values that are NaN or infinite.
    """
    wrapped = model if isinstance(model, Model) else Model(model)
    request = AttributionRequest.of(
        target=target,
        layer=layer,
        method=one_method(method),
        score=score,
        options=options,
        precision=precision,
        batch_size=batch_size,
        progress=progress,
    )
    if not isinstance(signed, bool):
        raise MethodError(f"attribute: signed is True or False, not {shown(signed)}.")
    ((chosen_method, _),) = request.methods
    result = attributions(wrapped, images, request)
    by_layer = {}
    for used_layer, maps in zip(result.layers[0], result.maps[0], strict=True):
        stacked = torch.stack(maps, dim=1) if several_targets(target) else maps[0]
        by_layer[used_layer.name if used_layer else INPUT] = (
            stacked.relu() if chosen_method.relu and not signed else stacked
        )
    return by_layer if several_layers(layer) and not chosen_method.fuses_layers else next(iter(by_layer.values()))


def one_method(method: Any) -> MethodSpec:
    """Return the method itself; raise `MethodError` for a list, since `attribute` returns the maps of one."""
    if isinstance(method, list | tuple):
        raise MethodError(f"attribute takes one method, not {shown(method)}. Call it once for each, or use explain.")
    chosen: MethodSpec = method
    return chosen
