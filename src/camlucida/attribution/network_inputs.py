"""What may go into a network: tensors that hold images, refused in one sentence where no map could come of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.errors import ImageError, ModelError


def check_inputs(network: nn.Module, inputs: Any) -> None:
    """Refuse inputs on which a network raises a raw error, or answers without a word.

    Args:
        network: the network that will run; its weights must have values.
        inputs: a tensor (b, c, H, W), or a tuple or dict in which such tensors may stand beside others.

    Raises:
        ImageError: no tensor at all; an image of integers or complex numbers, without a pixel, with values that are
            NaN or infinite; a tensor without values (device meta) or in a sparse or quantised format.
        ModelError: the network's parameters have no values (device meta).
    """
    weight = next(network.parameters(), None)
    if weight is not None and weight.is_meta:
        raise ModelError(
            f"the parameters of {type(network).__name__} are on the device meta and have no values. Load its weights."
        )
    tensors = [tensor for _, tensor in nested.tensors(inputs)]
    if not tensors:
        raise ImageError(
            f"{_kind(inputs)} holds no tensor: pass images as a tensor (b, c, H, W), as the network wants them; "
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
    images = [tensor for tensor in tensors if tensor.ndim == 4]
    if images and not any(image.is_floating_point() for image in images):
        raise ImageError(_wrong_type(images[0]))
    for image in images:
        _check_values(image)


def _check_values(image: Tensor) -> None:
    if not image.numel():
        what = "images" if not image.shape[0] else "pixels"
        raise ImageError(f"the images are {_shape(image)}: they hold no {what}.")
    if image.is_floating_point() and not all(math.isfinite(float(end)) for end in torch.aminmax(image.detach())):
        n_wrong = int((~torch.isfinite(image)).sum())
        raise ImageError(
            f"{n_wrong} of the {image.numel()} values of the images {_shape(image)} are NaN or infinite: no map could "
            "be computed. Look at how they were read and normalised (a standard deviation of 0?)."
        )


def _wrong_type(image: Tensor) -> str:
    hint = "Pass their real part." if image.is_complex() else "Pass images.float() / 255, normalised as in training."
    return f"the images {_shape(image)} are {image.dtype}, and a network takes floating-point numbers. {hint}"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "of one number"


def _kind(value: Any) -> str:
    return f"the {type(value).__module__}.{type(value).__qualname__}".replace("the builtins.", "the ")
