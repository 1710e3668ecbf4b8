"""Tensors in, maps out: one run of the network for any number of classes, layers and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor, nn

from camlucida.engine import (
    Layer,
    LayerSpec,
    LinearEnd,
    Rest,
    Trace,
    Traced,
    linear_end,
    resolve,
    structure,
    trace,
    twin_of,
)
from camlucida.errors import MethodError, TargetError
from camlucida.methods import Method, find
from camlucida.models.model import Model, Output
from camlucida.targets import Target, TargetSpec, parse, top_count

Request: TypeAlias = tuple[Method, Mapping[str, Any]]
"""A method with its options."""


@dataclass(frozen=True)
class Attribution:
    """Everything one run gave.

    output    (b, k) the network's class scores
    targets   what was explained
    scores    (targets, b)
    layers    where
    maps      maps[m][l][t] is the signed map (b, h, w) of the m-th method, l-th layer, t-th target
    """

    output: Tensor
    targets: tuple[Target, ...]
    scores: Tensor
    layers: tuple[Layer, ...]
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
) -> Attribution:
    """Run `network` once on `inputs` and compute every method's map at every layer for every target.

    The network may be in train mode, frozen, in half precision, on a GPU; the caller may be inside `no_grad` or
    `inference_mode`. Nothing of it changes. Arguments as of `attribute`.
    """
    inputs = placed(network, inputs)
    twin = twin_of(network)
    needs = {need for method, _ in methods for need in method.needs}
    with torch.inference_mode(False), torch.no_grad():
        found = resolve(twin, inputs, layers)
        run = trace(twin, inputs, found, gradients="gradients" in needs, rerun=bool({"ablate", "head"} & needs))
        with torch.enable_grad():
            scores_of_classes = class_scores(run.output, output)
            chosen = [t for spec in targets for t in parse(spec, scores_of_classes.detach(), names, score=score)]
            scores = torch.stack([target(scores_of_classes) for target in chosen])  # (targets, b)
        gradients = run.gradients(scores) if "gradients" in needs else None
        scores_of_classes, scores = scores_of_classes.detach(), scores.detach()
        given = [
            [
                _Fixtures(place, target, scores_of_classes, scores[t], gradients[l][t] if gradients else None)
                for t, target in enumerate(chosen)
            ]
            for l, place in enumerate(_Place(run, traced, output) for traced in run.layers)
        ]
        maps = tuple(
            tuple(tuple(_map(method, options, fixtures) for fixtures in row) for row in given)
            for method, options in methods
        )
    return Attribution(scores_of_classes, tuple(chosen), scores, tuple(found), maps)


@dataclass
class _Place:
    """What all targets share at one layer, computed once."""

    run: Trace
    traced: Traced
    reading: Output

    @cached_property
    def activations(self) -> Tensor:
        return self.traced.activations

    @cached_property
    def end(self) -> LinearEnd | None:
        return linear_end(self.run, self.traced, self.read)

    def read(self, output: Any) -> Tensor:
        return class_scores(output, self.reading)

    def without_channels(self, fill: float) -> Tensor:
        """The class scores (b, c, k) without each channel: every target reads its own score from them."""
        if fill not in self._ablated:
            self._ablated[fill] = Rest(self.run, self.traced, self.read).without_channels(fill)
        return self._ablated[fill]

    @cached_property
    def _ablated(self) -> dict[float, Tensor]:
        return {}


@dataclass(frozen=True)
class _Fixtures:
    """What methods may ask for, for one layer and one target; computed when asked."""

    place: _Place
    target: Target
    output: Tensor
    score: Tensor
    gradients: Tensor | None

    @property
    def activations(self) -> Tensor:
        return self.place.activations

    def ablate(self, fill: float) -> Tensor:
        without = self.place.without_channels(fill)
        return torch.stack([self.target.of(image)(outputs) for image, outputs in enumerate(without)], dim=1)

    @property
    def head(self) -> Tensor:
        end = self.place.end
        if end is None:
            raise MethodError(
                "cam needs a layer that is followed by average pooling and one linear layer only, and "
                f"{self.place.traced.layer.name!r} is not. Use grad_cam: it equals cam where cam exists."
            )
        with torch.enable_grad():
            output = self.output.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.target(output).sum(), output)
        return slope @ end.weight


def _map(method: Method, options: Mapping[str, Any], fixtures: _Fixtures) -> Tensor:
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
    for where, maps in zip(run.layers, run.maps[0], strict=True):
        stacked = torch.stack(maps, dim=1) if several_targets(target) else maps[0]
        found[where.name] = stacked.relu() if chosen.relu and not signed else stacked
    return found if several_layers(layer) else found[run.layers[0].name]


def several_targets(target: Any) -> bool:
    """Whether a request may mean more than one target: a list, or "top3"."""
    return isinstance(target, list | tuple) or top_count(target) is not None


def several_layers(layer: Any) -> bool:
    """Whether a request may mean more than one layer: a list, a glob, or "all"."""
    return isinstance(layer, list | tuple) or (
        isinstance(layer, str) and (layer == "all" or any(sign in layer for sign in "*?["))
    )


def class_scores(output: Any, reading: Output = None) -> Tensor:
    """The class scores (b, k) in what a network gave out, at least float32.

    reading    a key or index of the output, a callable, or None: `.logits`, ["logits"], ["out"], else the first
               (b, k) tensor. Raises `TargetError` where there is none.
    """
    found: Any
    if callable(reading):
        found = reading(output)
    elif reading is not None:
        parts = {str(key): part for key, part in structure.children(output)}
        found = parts.get(str(reading))
        found = getattr(output, str(reading), None) if found is None else found
        if found is None:
            raise TargetError(f"the network's output has no part {reading!r}; it has {', '.join(parts) or 'no parts'}.")
    else:
        parts = {str(key): part for key, part in structure.children(output)}
        named = [parts[key] for key in ("logits", "out") if isinstance(parts.get(key), Tensor)]
        flat = [t for _, t in structure.tensors(output) if t.is_floating_point() and _flat(t).ndim == 2]
        found = (named or flat or [output])[0]
    if not isinstance(found, Tensor) or _flat(found).ndim != 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise TargetError(
            f"class scores have the shape (images, classes), but the network gave {shape}. "
            "Say which part of the output they are with wrap(…, output=key or callable)."
        )
    scores = _flat(found)
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _flat(tensor: Tensor) -> Tensor:
    """(b, k, 1, 1), as fully convolutional classifiers give it, is (b, k)."""
    return tensor.flatten(1) if tensor.ndim > 2 and tensor[0].numel() == tensor.shape[1] else tensor


def placed(network: nn.Module, inputs: Any) -> Any:
    """The inputs on the network's device and in its precision, cut off from any graph."""
    weight = next((p for p in network.parameters() if p.is_floating_point()), None)

    def place(_: Any, tensor: Tensor) -> Tensor:
        if weight is None:
            return tensor.detach()
        return tensor.detach().to(weight.device, weight.dtype if tensor.is_floating_point() else None)

    with torch.inference_mode(False), torch.no_grad():
        return structure.transform(inputs, place)
