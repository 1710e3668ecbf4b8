"""Preprocessing of Keras models: what a model file says about it, and what has to be assumed."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from camlucida.models.keras.network import KerasNetwork
from camlucida.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

PixelScale: TypeAlias = Literal["bytes", "unit", "signed", "imagenet", "caffe"]
"""Pixel values: 0 to 255, 0 to 1, -1 to 1, normalised with ImageNet's mean and deviation, or BGR less the mean."""

DEFAULT_SIDE_PX = 224
"""Side of the input of a model without a fixed input size."""

CROP_FRACTION = 0.875
"""Fraction of the resized image that the centre crop of keras.applications keeps: 224 of 256, 160 of 183."""

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean of each channel that mode "caffe" of Keras subtracts, from 0 to 255, in the order blue, green, red."""

DESCRIPTIONS: dict[PixelScale, str] = {
    "bytes": "pixels from 0 to 255",
    "unit": "pixels from 0 to 1",
    "signed": "pixels from -1 to 1",
    "imagenet": "pixels normalised with ImageNet's mean and standard deviation",
    "caffe": "pixels as BGR from 0 to 255 less ImageNet's mean",
}


def input_size(network: KerasNetwork) -> tuple[int, int]:
    """Return (height, width) of the images that a network takes."""
    shape, last = network.image_input()
    sides = shape[:2] if last else shape[1:]
    return sides[0] or DEFAULT_SIDE_PX, sides[1] or DEFAULT_SIDE_PX


def n_channels(network: KerasNetwork) -> int:
    """Return the number of channels of the images that a network takes."""
    shape, last = network.image_input()
    return int((shape[2] if last else shape[0]) or 3)


def with_scale(scale: PixelScale, size: tuple[int, int], channels: int, *, crop: bool) -> Preprocessing:
    """Return the preprocessing to pixel values of a scale.

    Args:
        scale: The pixel values.
        size: (height, width) of the network input.
        channels: Number of channels of the network input.
        crop: Whether to resize the shorter side and crop the centre; otherwise both sides are resized.
    """
    mean, std, order = _numbers(scale, channels)
    resize = round(min(size) / CROP_FRACTION) if crop else None
    return Preprocessing(size, resize, "crop" if crop else "squash", mean, std, channel_order=order)


def _numbers(scale: PixelScale, channels: int) -> tuple[tuple[float, ...], tuple[float, ...], Literal["rgb", "bgr"]]:
    if scale == "caffe" and channels == 3:
        return tuple(value / 255 for value in CAFFE_MEAN_BGR), (1 / 255,) * 3, "bgr"
    if scale == "imagenet" and channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD, "rgb"
    mean, std = {"bytes": (0.0, 1 / 255), "signed": (0.5, 0.5)}.get(scale, (0.0, 1.0))
    return (mean,) * channels, (std,) * channels, "rgb"


def scale_inside(model: Any) -> PixelScale | None:
    """Return the pixel values that a model takes if a layer at its beginning converts them; None if there is none."""
    for layer in _leading_layers(model):
        name = type(layer).__name__
        if name == "Rescaling":
            scale = _number(getattr(layer, "scale", None))
            return None if scale is None else ("bytes" if scale < 0.1 else "unit")
        if name == "Normalization":
            mean = getattr(layer, "mean", None)
            largest = None if mean is None else _largest(mean)
            return None if largest is None else ("bytes" if largest > 1.5 else "unit")
        if name not in ("InputLayer", "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "Resizing"):
            return None
    return None


MIN_BYTES_RATIO = 1000.0
"""Ratio of a norm's variance to that for pixels from 0 to 1 from which on pixels go to 255, for which it is 65,025.

The rest is left for the difference of real photographs to the noise that stands for them.
"""


def norm_says_bytes(network: KerasNetwork, model: Any) -> bool:
    """Return whether the statistics of a batch norm after the first convolution are those of pixels from 0 to 255.

    The variance that a trained norm recorded is compared with the variance of its input for noise with the spectrum of
    photographs and pixels from 0 to 1. Only a linear layer may come before the norm.
    """
    layers = [layer for layer in _leading_layers(model) if type(layer).__name__ not in ("InputLayer", "ZeroPadding2D")]
    if len(layers) < 2 or "Conv2D" not in type(layers[0]).__name__ or type(layers[1]).__name__ != "BatchNormalization":
        return False
    names = [network.camlucida_layer_name(layer) for layer in layers[:2]]
    if None in names or hasattr(network.get_submodule(str(names[0])), "activation"):
        return False
    variance = dict(network.get_submodule(str(names[1])).named_parameters()).get("moving_variance")
    if variance is None or bool((variance == 1).all()):  # not trained
        return False
    inputs: list[Tensor] = []
    handle = network.get_submodule(str(names[0])).register_forward_hook(lambda _, __, output: inputs.append(output))
    try:
        with torch.inference_mode(False), torch.no_grad():
            network(_photograph_noise(n_channels(network), input_size(network)).to(variance.device))
    finally:
        handle.remove()
    axis = 3 if getattr(layers[0], "data_format", "") == "channels_last" else 1
    found = inputs[0].float().movedim(axis, 0).flatten(1).var(1)
    ratios = variance.detach().float()[found > 0] / found[found > 0]
    return len(ratios) > 0 and float(ratios.median()) > MIN_BYTES_RATIO


def _photograph_noise(channels: int, size: tuple[int, int]) -> Tensor:
    """Return noise `(4, c, h, w)` in [0, 1] whose amplitude falls with the frequency as in photographs."""
    generator = torch.Generator().manual_seed(0)
    white = torch.randn((4, 1, *size), generator=generator, dtype=torch.float32)
    vertical, horizontal = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])[None]
    frequency = (vertical.square() + horizontal.square()).sqrt().clamp_min(1 / max(size))
    grey = torch.fft.irfft2(torch.fft.rfft2(white) / frequency, s=size)
    grey = 0.45 + 0.25 * (grey - grey.mean()) / grey.std()
    colour = 0.03 * torch.randn((4, channels, *size), generator=generator, dtype=torch.float32)
    noise: Tensor = (grey + colour).clamp(0, 1)
    return noise


def _leading_layers(model: Any) -> list[Any]:
    """Return the layers of a model in order, with the layers of a model that comes first in place of it."""
    layers: list[Any] = []
    for layer in getattr(model, "layers", []):
        layers += _leading_layers(layer) if hasattr(layer, "layers") else [layer]
        if len(layers) > 8:
            break
    return layers


def _number(value: Any) -> float | None:
    try:
        return abs(float(value))
    except (TypeError, ValueError):
        return None


def _largest(value: Any) -> float | None:
    import keras

    try:
        return float(keras.ops.max(value))
    except (TypeError, ValueError):
        return None
