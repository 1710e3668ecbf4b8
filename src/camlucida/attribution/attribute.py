"""The entry point for tensors: saliency maps of a batch, on the grid of the layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor, nn

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attributions import Attribution, attributions, attributions_of_images
from camlucida.attribution.method_choice import or_default
from camlucida.attribution.request import INPUT, AttributionRequest, MethodSpec, several_layers, several_targets
from camlucida.engine import LayerSpec
from camlucida.engine.run_options import Precision
from camlucida.errors import MethodError
from camlucida.layer_names import layer_names
from camlucida.models.model import Model
from camlucida.models.segmentation.recognise import model_of
from camlucida.options import OptionValue, shown
from camlucida.targets import TargetSpec
from camlucida.types import ProgressCallback

NetworkInputs: TypeAlias = Tensor | tuple[Any, ...] | list[Any] | dict[str, Any]
"""A tensor (b, c, H, W), or the arguments of a network that takes several, as a tuple, list or dict."""


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
            grad_cam; hires_cam for detectors and segmentation networks; occlusion where the layers of the model cannot
            be accessed (a function, an ONNX Runtime session).
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
        method=one_method(or_default(method, wrapped)),
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
