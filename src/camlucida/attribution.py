"""Tensors in, maps out: one run of the network for any number of classes, layers and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor, nn

from camlucida.engine import Layer, LayerSpec, Twin, resolve, twin_of
from camlucida.engine.repeats import Precision, Repeats
from camlucida.errors import MethodError
from camlucida.methods import Combined, Method, find
from camlucida.models.model import Model, Output
from camlucida.network_inputs import check_inputs
from camlucida.outputs import placed
from camlucida.runs import Fused, Question, run
from camlucida.targets import Target, TargetSpec, parse, top_count
from camlucida.types import ProgressCallback

Request: TypeAlias = tuple[Method | Combined, Mapping[str, Any]]
"""A method with its options."""

INPUT = "input"
"""What stands in place of a layer's name for methods that map the picture itself."""


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


def attributions(
    network: nn.Module,
    inputs: Any,
    *,
    targets: Sequence[TargetSpec],
    layers: Sequence[LayerSpec],
    methods: Sequence[Request],
    default: LayerSpec = None,
    names: Sequence[str] = (),
    score: str = "logit",
    output: Output = None,
    repeats: Repeats | None = None,
    tick: ProgressCallback | None = None,
) -> Attribution:
    """Run `network` on `inputs` and compute every method's map at every layer for every target.

    One run serves all that ask for activations, gradients or the rest of the network. The network may be in train
    mode, frozen, in half precision, on a GPU; the caller may be inside `no_grad` or `inference_mode`. Nothing of it
    changes. `tick` is told about the progress of methods that run the network many times. A layer that is None is
    `default`, and for methods that fuse layers all candidates. Arguments as of `attribute`.
    """
    check_inputs(network, inputs)
    inputs = placed(network, inputs)
    twin = twin_of(network)
    with torch.inference_mode(False), torch.no_grad():
        wanted = [_wanted(method, twin, inputs, layers, default) for method, _ in methods]
        every = list(dict.fromkeys(layer for row in wanted for layer in row))
        found = run(
            Question(
                twin,
                tuple(every),
                output,
                frozenset(need for method, _ in methods for need in method.needs),
                lambda scores: [t for spec in targets for t in parse(spec, scores, names, score=score)],
                tick or _unheard,
                repeats or Repeats(),
            ),
            inputs,
        )
        maps, notes = [], []
        for (method, options), of_method in zip(methods, wanted, strict=True):
            places = [every.index(layer) for layer in of_method]
            maps.append(tuple(tuple(row) for row in found.maps(method, options, places)))
            notes.append(tuple(tuple(row) for row in found.notes(method, places)))
    where = tuple(_where(method, row) for (method, _), row in zip(methods, wanted, strict=True))
    return Attribution(found.output, found.targets, found.scores, where, tuple(maps), tuple(notes))


def _unheard(done: int, total: int) -> None:
    pass


def _wanted(
    method: Method | Combined, twin: Twin, inputs: Any, layers: Sequence[LayerSpec], default: LayerSpec
) -> list[Layer]:
    if not method.layered:
        return []
    unsaid = "all" if method.fuses else default
    return resolve(twin, inputs, [unsaid if spec is None else spec for spec in layers])


def _where(method: Method | Combined, layers: Sequence[Layer]) -> tuple[Layer | Fused | None, ...]:
    if not method.layered:
        return (None,)
    return (Fused(tuple(layers)),) if method.fuses else tuple(layers)


@overload
def attribute(
    model: Model | nn.Module,
    images: Any,
    *,
    target: Any = None,
    layer: str | int | None = None,
    method: str | Method | Combined = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    precision: Precision = "exact",
    batch: int | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Tensor: ...


@overload
def attribute(
    model: Model | nn.Module,
    images: Any,
    *,
    target: Any = None,
    layer: Sequence[LayerSpec],
    method: str | Method | Combined = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    precision: Precision = "exact",
    batch: int | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> dict[str, Tensor]: ...


def attribute(
    model: Model | nn.Module,
    images: Any,
    *,
    target: Any = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: str | Method | Combined = "grad_cam",
    score: str = "logit",
    signed: bool = False,
    precision: Precision = "exact",
    batch: int | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
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
    chosen = find(method)
    check_layer(chosen, layer)
    wrapped = model if isinstance(model, Model) else Model(model)
    layers = list(layer) if isinstance(layer, list | tuple) else [layer]
    made = attributions(
        wrapped.network,
        images,
        targets=list(target) if isinstance(target, list | tuple) else [target],
        layers=layers,  # type: ignore[arg-type]
        methods=[(chosen, chosen.with_options(options))],
        default=wrapped.layer,
        names=wrapped.labels,
        score=score,
        output=wrapped.output,
        repeats=Repeats(precision, batch),
        tick=progress,
    )
    found = {}
    for where, maps in zip(made.layers[0], made.maps[0], strict=True):
        stacked = torch.stack(maps, dim=1) if several_targets(target) else maps[0]
        found[where.name if where else INPUT] = stacked.relu() if chosen.relu and not signed else stacked
    return found if several_layers(layer) and not chosen.fuses else next(iter(found.values()))


def check_layer(method: Method | Combined, layer: LayerSpec | Sequence[LayerSpec]) -> None:
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
