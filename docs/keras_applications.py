"""Check models of keras.applications with random weights: default layer, its grid, and Grad-CAM against Keras itself.

    KERAS_BACKEND=torch python docs/keras_applications.py MobileNetV2 ResNet50
    KERAS_BACKEND=tensorflow python docs/keras_applications.py

Prints one row per model, for a table in architectures.md.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import keras
import torch

import camlucida

NAMES = (
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "ResNet50", "ResNet50V2"),
    *("DenseNet121", "ConvNeXtTiny", "InceptionV3", "InceptionResNetV2", "Xception", "NASNetMobile", "VGG16"),
)
SIDE_PX = 96
CLASS = 3


def grad_cam_of_keras(model: Any, name: str, images: torch.Tensor) -> torch.Tensor:
    """Return Grad-CAM before its ReLU (b, h, w), computed with a Keras sub-model and the backend's own gradients."""
    parts = keras.Model(model.inputs, [model.get_layer(name).output, model.output])
    inputs = images.permute(0, 2, 3, 1)
    if keras.backend.backend() == "torch":
        activations, scores = parts(inputs.clone().requires_grad_(), training=False)
        (gradients,) = torch.autograd.grad(scores[:, CLASS].sum(), activations)
        activations = activations.detach()
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            activations, scores = parts(inputs.numpy(), training=False)
            total = tf.reduce_sum(scores[:, CLASS])
        gradients = torch.tensor(tape.gradient(total, activations).numpy())
        activations = torch.tensor(activations.numpy())
    return (gradients.mean((1, 2), keepdim=True) * activations).sum(-1)


def row(name: str) -> str:
    """Return one row: model, parameters, default layer, grid, largest relative difference to Keras, seconds."""
    side = 75 if name == "InceptionResNetV2" else SIDE_PX
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None
    )
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    wrapped = camlucida.wrap(model, mean=[0] * 3, std=[1] * 3)
    maps = camlucida.attribute(wrapped, images, layer=[None], target=CLASS, signed=True)
    seconds = time.perf_counter() - start
    ((layer, found),) = maps.items()
    inner = layer.removesuffix(".activation")
    expected = grad_cam_of_keras(model, inner, images)
    difference = float((found - expected).abs().max() / expected.abs().max())
    grid = " × ".join(map(str, found.shape[1:]))
    millions = model.count_params() / 1e6
    return f"| {name} | {millions:.1f} M | `{layer}` | {grid} | {difference:.1e} | {seconds:.1f} |"


if __name__ == "__main__":
    backend = f"Keras {keras.__version__} on {keras.backend.backend()}"
    print(f"| {backend} | parameters | default layer | grid | difference | s |")
    print("|---|---|---|---|---|---|")
    for chosen in sys.argv[1:] or NAMES:
        try:
            print(row(chosen), flush=True)
        except Exception as error:
            print(f"| {chosen} | | {type(error).__name__}: {str(error)[:300]} | | | |", flush=True)
        keras.utils.clear_session()
