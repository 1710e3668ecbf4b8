"""Every map of a request from one run of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.error_context import raised_by_network
from camlucida.attribution.executor import AttributionRun, ExecutionRequest, Fused, run_attribution
from camlucida.attribution.method_choice import check_applicable
from camlucida.attribution.network_inputs import as_network_inputs, check_inputs
from camlucida.attribution.output_reader import output_reader
from camlucida.attribution.outputs import to_network
from camlucida.attribution.read_scores import OutputReader
from camlucida.attribution.request import AttributionRequest
from camlucida.engine import Layer, LayerSpec, NetworkCopy, copy_of, require_influence, resolve
from camlucida.engine.layer_specs import ImageNotSeen
from camlucida.engine.unsupported import fixed_batch_message
from camlucida.errors import CamlucidaError, ModelError
from camlucida.methods import Combined, Method
from camlucida.models.model import Model
from camlucida.target_specs import parse
from camlucida.targets import Target
from camlucida.tasks import MULTICLASS, OutputActivation


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
