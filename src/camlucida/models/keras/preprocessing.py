"""Preprocessing of Keras models: what a model file says about it, and what has to be assumed."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

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
