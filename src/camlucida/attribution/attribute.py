"""Saliency maps of tensors: one run of the network for any number of classes, layers and methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor, nn

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.error_context import raised_by_network
from camlucida.attribution.executor import AttributionRun, ExecutionRequest, Fused, run_attribution
from camlucida.attribution.method_choice import check_applicable, or_default
from camlucida.attribution.network_inputs import as_network_inputs, check_inputs
from camlucida.attribution.output_reader import OutputReader, output_reader
from camlucida.attribution.outputs import to_network
from camlucida.attribution.request import INPUT, AttributionRequest, MethodSpec, several_layers, several_targets
from camlucida.engine import Layer, LayerSpec, NetworkCopy, copy_of, require_influence, resolve
from camlucida.engine.layer_specs import ImageNotSeen
from camlucida.engine.run_options import Precision
from camlucida.engine.unsupported import fixed_batch_message
from camlucida.errors import CamlucidaError, MethodError, ModelError
from camlucida.layer_names import layer_names
from camlucida.methods import Combined, Method
from camlucida.models.model import Model
from camlucida.models.segmentation.recognise import model_of
from camlucida.options import OptionValue, shown
from camlucida.target_specs import parse
from camlucida.targets import Target, TargetSpec
from camlucida.tasks import MULTICLASS, OutputActivation
from camlucida.types import ProgressCallback

NetworkInputs: TypeAlias = Tensor | tuple[Any, ...] | list[Any] | dict[str, Any]
"""A tensor (b, c, H, W), or the arguments of a network that takes several, as a tuple, list or dict."""


@dataclass(frozen=True)
class Attribution:
    """The result of one run of the network.

    Attributes:
        output: Class scores of the network `(b, k)`.
        targets: The targets that were explained.
        scores: Scores of the targets `(targets, b)`.
        layers: Per method, its layers: a `Fused` for several layers fused into one map, None for a method that maps the
            network input.
        maps: `maps[m][l][t]` is the signed map `(b, h, w)` of method m at its layer l for target t.
        notes: In the same order, what the method reported beside the map: names and one number per image `(b,)`.
        activation: How the class scores become probabilities.
        colours: In the same order as the maps, if requested, the map in colour `(b, c, H, W)` of which each map is the
            reduction; None for methods without colour.
        channel_relevance: Per layer of the first method and target, if it was requested, the relevance of each channel
            `(b, c)`: the sum of activation times gradient over the grid. Their sum over channels is the gradient's
            first-order estimate of the score.
        channel_means: Per layer of the first method, if the channel relevance was requested, the mean activation of
            each channel over the grid `(b, c)`.
    """

    output: Tensor
    targets: tuple[Target, ...]
    scores: Tensor
    layers: tuple[tuple[Layer | Fused | None, ...], ...]
    maps: tuple[tuple[tuple[Tensor, ...], ...], ...]
    notes: tuple[tuple[tuple[Mapping[str, Tensor], ...], ...], ...]
    activation: OutputActivation = MULTICLASS
    colours: tuple[tuple[tuple[Tensor | None, ...], ...], ...] = ()
    channel_relevance: tuple[tuple[Tensor, ...], ...] = ()
    channel_means: tuple[Tensor, ...] = ()


@plain_arithmetic()
def attributions(model: Model, inputs: Any, request: AttributionRequest) -> Attribution:
    """Run a model's network on inputs and compute every map of a request.

    One forward pass serves all methods that need activations, gradients or the suffix of the network. The network may
    be in train mode, frozen, in half precision or on a GPU, and the caller inside `no_grad` or `inference_mode`; the
    network remains unmodified.

    Args:
        model: The model.
        inputs: Network inputs, as of `attribute`.
        request: Methods, layers and targets. A layer of None is the model's default layer; for methods that fuse layers
            it is all candidates.

    Returns:
        The maps, with targets, scores and layers.

    Raises:
        CamlucidaError: As of `attribute`.
    """
    network = model.network
    check_applicable([method for method, _ in request.methods], network)
    check_inputs(network, inputs)
    copy = copy_of(network)
    arguments = as_network_inputs(model, copy, inputs)
    if arguments is not inputs:
        check_inputs(network, arguments)
    inputs = to_network(network, arguments)
    try:
        return _attributions(model, copy, inputs, request)
    except CamlucidaError:
        raise
    except Exception as error:
        if not raised_by_network(error) or not (message := fixed_batch_message(copy, inputs)):
            raise
        raise ModelError(message) from error


def attributions_of_images(model: Model, inputs: Any, request: AttributionRequest) -> dict[str, Attribution]:
    """Return the maps of each image of a model with several images, which are explained one after the other.

    A layer that a request names is left out for the images that do not reach it, such as the other stream of a network
    of two.

    Args:
        model: The model.
        inputs: Network inputs, as of `attribute`: a tuple or dict.
        request: As of `attributions`.

    Raises:
        CamlucidaError: As of `attribute`; no image reaches a layer.
    """
    results: dict[str, Attribution] = {}
    unseen: ImageNotSeen | None = None
    for name in model.image:
        layers = list(request.layers)
        while layers and name not in results:
            try:
                results[name] = attributions(model.of_image(name), inputs, replace(request, layers=layers))
            except ImageNotSeen as error:
                unseen = error
                layers = [spec for spec in layers if spec not in (None, error.spec)]
    if not results and unseen is not None:
        raise unseen
    return results


def _attributions(model: Model, copy: NetworkCopy, inputs: Any, request: AttributionRequest) -> Attribution:
    methods = request.methods
    with torch.inference_mode(False), torch.no_grad():
        read = output_reader(model, copy, inputs)
        layers_of_methods = [
            _resolve_layers(method, copy, inputs, request.layers, model.layer, read) for method, _ in methods
        ]
        unique_layers = list(dict.fromkeys(layer for row in layers_of_methods for layer in row))
        result = run_attribution(
            ExecutionRequest(
                copy,
                tuple(unique_layers),
                read,
                frozenset(need for method, _ in methods for need in method.needs)
                | ({"gradients"} if request.channel_relevance else set()),
                lambda scores: [
                    target
                    for spec in request.targets
                    for target in parse(spec, scores, model.labels, score=request.score, activation=read.activation)
                ],
                request.progress or _ignore_progress,
                request.run_options,
            ),
            inputs,
        )
        maps, notes = [], []
        colours: list[tuple[tuple[Tensor | None, ...], ...]] = []
        for (method, options), method_layers in zip(methods, layers_of_methods, strict=True):
            layer_indices = [unique_layers.index(layer) for layer in method_layers]
            if request.colour and isinstance(method, Method) and method.has_colour:
                pairs = result.colours(method, options, layer_indices)
                rows = [[map_ for map_, _ in row] for row in pairs]
                colours.append(tuple(tuple(colour for _, colour in row) for row in pairs))
            else:
                rows = result.maps(method, options, layer_indices)
                colours.append(tuple((None,) * len(row) for row in rows))
            if not method.class_free and not any(bool(map_.any()) for row in rows for map_ in row):
                for layer in method_layers:  # zero for a reason that the user should know
                    require_influence(copy, inputs, layer, read)
            maps.append(tuple(tuple(row) for row in rows))
            notes.append(tuple(tuple(row) for row in result.notes(method, layer_indices)))
        indices = [unique_layers.index(layer) for layer in layers_of_methods[0]] if request.channel_relevance else []
        relevance = _channel_relevance(result, indices)
        means = tuple(result.at_layers[i][0].activations.flatten(2).mean(2) for i in indices)
    used_layers = tuple(_used_layers(method, row) for (method, _), row in zip(methods, layers_of_methods, strict=True))
    return Attribution(
        result.output,
        result.targets,
        result.scores,
        used_layers,
        tuple(maps),
        tuple(notes),
        read.activation,
        tuple(colours),
        relevance,
        means,
    )


def _channel_relevance(result: AttributionRun, indices: Sequence[int]) -> tuple[tuple[Tensor, ...], ...]:
    """Return the relevance `(b, c)` of each channel, per layer and target."""
    return tuple(
        tuple((at.activations * at.gradients).flatten(2).sum(2) for at in row if at.gradients is not None)
        for row in (result.at_layers[i] for i in indices)
    )


def _ignore_progress(done: int, total: int) -> None:
    pass


def _resolve_layers(
    method: Method | Combined,
    copy: NetworkCopy,
    inputs: Any,
    layers: Sequence[LayerSpec],
    default: LayerSpec,
    read: OutputReader,
) -> list[Layer]:
    if not method.needs_layer:
        return []
    unspecified = "all" if method.fuses_layers else default
    return resolve(copy, inputs, [unspecified if spec is None else spec for spec in layers], read)


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
    method: MethodSpec | None = None,
    score: str = "logit",
    signed: bool = False,
    colour: bool = False,
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
    method: MethodSpec | None = None,
    score: str = "logit",
    signed: bool = False,
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> dict[str, Tensor]: ...


@plain_arithmetic()
def attribute(
    model: Model | nn.Module,
    images: NetworkInputs,
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: MethodSpec | None = None,
    score: str = "logit",
    signed: bool = False,
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Tensor | dict[str, Tensor]:
    """Compute saliency maps of a batch of tensors, on the grid of the layer and not normalised.

    Args:
        model: A `Model`, or any `nn.Module`.
        images: Network inputs `(b, c, H, W)`, normalised as the network requires. A tensor `(c, H, W)` is a batch of
            one. For a network that takes several arguments, a tuple or list of them, or a dict by name; a list of
            tensors `(c, H, W)` is one argument, as for detectors. Which argument is the image, `wrap(image=…)` names.
        target: A class index or name, "top3", "A rather than B", "not A", a callable from the output to scores `(b,)`,
            or None for each image's predicted class. A tensor `(b,)` holds one class per image; a list means several
            targets.
        layer: A name, glob, index or module (`network.layer4`); None for the default. A list or a glob means several,
            from one forward pass. Called `target_layers` in pytorch-grad-cam (`target_layer` in older versions);
            transformers need no `reshape_transform`.
        method: Name of a method, or an expression with combinators: "smooth(positive(hires_cam), n=4)". None for
            grad_cam, or for occlusion where the layers of the model cannot be accessed (a function, an ONNX Runtime
            session).
        score: Score of a class: "logit", "probability" or "log_probability".
        colour: Whether to return the signed maps of the colour channels, before their reduction, as the figures of the
            papers show them: for `guided_backprop`, `guided_grad_cam`, `gradient` and the other methods with an option
            `reduce`.
        signed: Whether the map keeps the negative values that the paper's ReLU removes.
        precision: "bf16" runs the network in bfloat16 where a method runs it on many inputs without gradients
            (Score-CAM and its variants, occlusion, RISE, LIME, KernelSHAP). It is about twice as fast on processors
            with bfloat16 units, and slower on others. Scores differ by about 1 %; maps are computed in float32.
        batch_size: Maximum number of inputs that such methods run at once, but at least the number of `images`. None
            chooses it for speed.
        progress: Called as `progress(done, total)` by methods that run the network many times.
        **options: Options of the method.

    Returns:
        Maps `(b, h, w)`, `(1, h, w)` for an image without a batch axis; with a list of targets `(b, targets, h, w)`.
        With `colour`, `(b, c, H, W)` and `(b, targets, c, H, W)`. With several layers, a dict from layer names to such
        maps, unless the method fuses them into one. For a model with several images, a dict from the name of each image
        to what is returned for it while the others are held.

    Raises:
        LayerError: A layer does not exist or was not called.
        TargetError: A class or score does not exist.
        MethodError: A method or option does not exist, or the method does not fit the model.
        ImageError: The images are integers or complex numbers, have no pixels, or contain NaN or infinite values.
    """
    wrapped = model if isinstance(model, Model) else model_of(model)
    layer = layer_names(wrapped.network, layer)
    request = AttributionRequest.of(
        target=target,
        layer=layer,
        method=one_method(or_default(method, wrapped.network)),
        score=score,
        options=options,
        precision=precision,
        batch_size=batch_size,
        progress=progress,
        colour=colour,
    )
    if not isinstance(signed, bool):
        raise MethodError(f"attribute: signed is True or False, not {shown(signed)}.")
    ((chosen_method, _),) = request.methods

    def maps_of(result: Attribution) -> Tensor | dict[str, Tensor]:
        by_layer = {}
        rows = result.colours[0] if colour else result.maps[0]
        for used_layer, row in zip(result.layers[0], rows, strict=True):
            maps = [map_ for map_ in row if map_ is not None]
            stacked = torch.stack(maps, dim=1) if several_targets(target) else maps[0]
            by_layer[used_layer.name if used_layer else INPUT] = (
                stacked.relu() if chosen_method.relu and not signed else stacked
            )
        return by_layer if several_layers(layer) and not chosen_method.fuses_layers else next(iter(by_layer.values()))

    if len(wrapped.image) < 2:
        return maps_of(attributions(wrapped, images, request))
    of_image: dict[str, Any] = {
        name: maps_of(result) for name, result in attributions_of_images(wrapped, images, request).items()
    }
    return of_image


def one_method(method: Any) -> MethodSpec:
    """Return the method itself; raise `MethodError` for a list, since `attribute` returns the maps of one method."""
    if isinstance(method, list | tuple):
        raise MethodError(f"attribute takes one method, not {shown(method)}. Call it once per method, or use explain.")
    chosen: MethodSpec = method
    return chosen
