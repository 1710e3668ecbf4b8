"""A torch network and its Keras twin with the same weights. The backend is that of KERAS_BACKEND."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

keras = pytest.importorskip("keras")

N_CLASSES = 5


class TorchTwin(nn.Module):
    """A small residual network whose padding, pooling and norms are those of Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8, eps=1e-3)
        self.out2 = nn.ReLU()
        self.conv3 = nn.Conv2d(8, 12, 3)
        self.bn3 = nn.BatchNorm2d(12, eps=1e-3)
        self.act3 = nn.ReLU()
        self.head = nn.Linear(12, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        first = torch.relu(self.conv1(x))
        second = self.out2(first + self.bn2(self.conv2(first)))
        pooled = nn.functional.max_pool2d(second, 2)
        last = self.act3(self.bn3(self.conv3(pooled)))
        out: Tensor = self.head(last.mean((2, 3)))
        return out


def body(inputs: Any) -> Any:
    """Return the features of the Keras twin of `TorchTwin`."""
    layers = keras.layers
    first = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(inputs)
    second = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv2")(first)
    second = layers.Add(name="add")([first, layers.BatchNormalization(name="bn2")(second)])
    second = layers.ReLU(name="out2")(second)
    pooled = layers.MaxPooling2D(2, name="pool")(second)
    last = layers.BatchNormalization(name="bn3")(layers.Conv2D(12, 3, name="conv3")(pooled))
    return layers.Activation("relu", name="act3")(last)


def keras_twin(activation: str | None = None) -> Any:
    """Return the Keras twin of `TorchTwin`."""
    inputs = keras.Input((16, 16, 3), name="images")
    features = keras.layers.GlobalAveragePooling2D(name="gap")(body(inputs))
    features = keras.layers.Dropout(0.5, name="dropout")(features)
    return keras.Model(inputs, keras.layers.Dense(N_CLASSES, activation=activation, name="head")(features))


def copy_weights(network: nn.Module, get_layer: Callable[[str], Any]) -> None:
    """Give the layers of a Keras model the weights of the torch network."""
    for name, module in network.named_children():
        if isinstance(module, nn.Conv2d):
            weights = [module.weight.permute(2, 3, 1, 0), module.bias]
        elif isinstance(module, nn.BatchNorm2d):
            weights = [module.weight, module.bias, module.running_mean, module.running_var]
        elif isinstance(module, nn.Linear):
            weights = [module.weight.T, module.bias]
        else:
            continue
        get_layer(name).set_weights([w.detach().numpy() for w in weights if w is not None])


@pytest.fixture(scope="session")
def torch_twin() -> nn.Module:
    """The torch network, with random weights and norm statistics."""
    generator = torch.Generator().manual_seed(0)
    network = TorchTwin().eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        for norm in (network.bn2, network.bn3):
            norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=generator) + 0.5)
            norm.weight.abs_()
    return network


@pytest.fixture
def make_twin(torch_twin: nn.Module) -> Callable[..., Any]:
    """Return a function that makes the Keras twin."""

    def make(activation: str | None = None) -> Any:
        model = keras_twin(activation)
        copy_weights(torch_twin, model.get_layer)
        return model

    return make


@pytest.fixture(scope="session")
def images() -> Tensor:
    """Return two network inputs."""
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def predict(model: Any, images: Tensor) -> np.ndarray:
    """Return the predictions of the Keras model itself for network inputs `(b, c, H, W)`."""
    with torch.no_grad():
        out: np.ndarray = keras.ops.convert_to_numpy(model(images.permute(0, 2, 3, 1).numpy(), training=False))
    return out
