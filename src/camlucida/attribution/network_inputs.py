"""Validation of network inputs: tensors from which no map could be computed are rejected with a clear message."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.attribution.image_argument import name_inputs
from camlucida.attribution.outputs import to_network
from camlucida.engine import NetworkCopy, copy_of, nested
from camlucida.engine.image_axes import is_image
from camlucida.errors import ImageError, ModelError
from camlucida.models.model import Model


def as_network_inputs(model: Model, copy: NetworkCopy, inputs: Any) -> Any:
    """Return the arguments of a network in the form in which its copy takes them.

    A tensor `(c, H, W)` becomes a batch of one image, and `(c, D, H, W)` one volume for a network of volumes. A
    list is the positional arguments, as a tuple is, if `forward` takes as many; else it is one argument. Where it is
    known which argument is the image, they are `NamedInputs`.

    Args:
        model: The model, which may name the image and hold further inputs.
        copy: The copy of the network.
        inputs: The inputs that the user gave.

    Raises:
        ImageError: A tensor has no batch axis, and the network does not take it as a batch of one image.
        ModelError: As of `name_inputs`.
    """
    if type(inputs) is list and _are_arguments(copy.module, inputs):
        inputs = tuple(inputs) if len(inputs) != 1 else inputs[0]
    if isinstance(inputs, Tensor) and inputs.ndim == 3:
        return name_inputs(model, copy.module, inputs[None]) if model.image else _batch_of_one(copy.module, inputs)
    if isinstance(inputs, Tensor) and inputs.ndim == 4 and _is_one_volume(copy.module, inputs):
        inputs = inputs[None]
    return name_inputs(model, copy.module, inputs)


def model_inputs(model: Model, images: Any) -> Any:
    """Return what a model's network takes for images `(b, c, H, W)`, or all inputs, on its device.

    Inputs that the model holds are added.

    Raises:
        ModelError: The network takes further inputs.
    """
    return to_network(model.network, name_inputs(model, copy_of(model.network).module, images))


def check_takes_an_image(model: Model) -> None:
    """Raise `ModelError` for a model whose network takes further inputs than one image, and does not hold them."""
    name_inputs(model, copy_of(model.network).module, torch.zeros(1, len(model.preprocessing.mean), 1, 1))


def _is_one_volume(network: nn.Module, inputs: Tensor) -> bool:
    """Return whether a tensor with four axes is a volume `(c, D, H, W)` for a network of 3-D convolutions.

    PyTorch's 3-D convolutions take it without a word, as a volume without a batch axis.
    """
    convolutions = (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
    first = next(convolutions, None)
    return isinstance(first, nn.Conv3d) and inputs.shape[0] == first.in_channels != inputs.shape[1]


def _are_arguments(network: nn.Module, inputs: list[Any]) -> bool:
    """Return whether the elements of a list are the positional arguments of `forward`, rather than one of them."""
    if inputs and all(isinstance(image, Tensor) and image.ndim == 3 for image in inputs):
        return False  # images of different sizes, as detectors take them
    try:
        signature = inspect.signature(type(network).forward)
        first = [*signature.parameters.values()][1:2]
        signature.bind(network, *inputs)
    except (TypeError, ValueError):
        return False
    return not any("list" in str(parameter.annotation).lower() for parameter in first)


def _batch_of_one(network: nn.Module, image: Tensor) -> Tensor:
    """Return an image `(c, H, W)` as a batch `(1, c, H, W)`, after running the network on it.

    Raises:
        ImageError: The network does not run on the batch, for instance because the channels come last.
    """
    try:
        with torch.inference_mode(False), torch.no_grad():
            network(to_network(network, image[None].float()))
    except Exception as error:
        first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
        is_last = first is not None and first.in_channels == image.shape[2]
        hint = " Its channels seem to come last: pass tensor.permute(2, 0, 1)." if is_last else ""
        raise ImageError(
            f"the tensor {_shape(image)} has no batch axis, so it was taken for one image, (channels, height, width), "
            f"but the network cannot run on the batch {_shape(image[None])}; it raised {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}.{hint}"
        ) from error
    return image[None]


def check_inputs(network: nn.Module, inputs: Any) -> None:
    """Reject inputs for which a network would raise an obscure error or silently return meaningless values.

    Args:
        network: The network that will run; its weights must have values.
        inputs: A tensor `(b, c, H, W)`, or a tuple, list or dict that contains such tensors.

    Raises:
        ImageError: There is no tensor; or an image holds integers, complex numbers, no pixels, or NaN or infinite
            values; or a tensor has no values (device meta), or a sparse or quantised format.
        ModelError: The network's parameters have no values (device meta).
    """
    weight = next(network.parameters(), None)
    if weight is not None and weight.is_meta:
        raise ModelError(
            f"the parameters of {type(network).__name__} are on the device meta and have no values. Load its weights."
        )
    tensors = [tensor for _, tensor in nested.tensors(inputs)]
    if not tensors:
        raise ImageError(
            f"{_kind(inputs)} contains no tensor: pass images as a tensor (b, c, H, W), as the network requires them; "
            "`explain` takes files, arrays and Pillow images."
        )
    for tensor in tensors:
        if tensor.is_meta:
            raise ImageError(f"the tensor {_shape(tensor)} is on the device meta and has no values: there is no image.")
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise ImageError(
                f"the tensor {_shape(tensor)} is sparse or quantised, {tensor.layout}, {tensor.dtype}: pass an "
                "ordinary tensor of floating-point numbers, tensor.to_dense() or tensor.dequantize()."
            )
    images = [tensor for tensor in tensors if is_image(tensor)]
    if images and not any(image.is_floating_point() for image in images):
        raise ImageError(_wrong_type(images[0]))
    for image in images:
        _check_values(image)


def _check_values(image: Tensor) -> None:
    if not image.numel():
        what = "images" if not image.shape[0] else "pixels"
        raise ImageError(f"the images are {_shape(image)}: they contain no {what}.")
    if image.is_floating_point() and not all(math.isfinite(float(end)) for end in torch.aminmax(image.detach())):
        n_wrong = int((~torch.isfinite(image)).sum())
        raise ImageError(
            f"{n_wrong} of the {image.numel()} values of the images {_shape(image)} are NaN or infinite: no map could "
            "be computed. Check how they were read and normalised (a standard deviation of 0?)."
        )


def _wrong_type(image: Tensor) -> str:
    hint = "Pass their real part." if image.is_complex() else "Pass images.float() / 255, normalised as in training."
    return f"the images {_shape(image)} are {image.dtype}, but a network takes floating-point numbers. {hint}"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "of one number"


def _kind(value: Any) -> str:
    return f"the {type(value).__module__}.{type(value).__qualname__}".replace("the builtins.", "the ")
