"""Keras models of volumes: inputs `(b, c, D, H, W)`, and the maps of the same network in PyTorch."""

from __future__ import annotations

from typing import Any

import keras
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from camlucida import wrap
from camlucida.attribution.attribute import attribute

SIZE = (6, 8, 10)


@pytest.fixture
def pair() -> tuple[Any, nn.Module]:
    """A Keras model of volumes `(6, 8, 10, 2)`, and the same network in PyTorch."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(2, 4, 3), nn.ReLU(), nn.Conv3d(4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()
    ).append(nn.Linear(5, 3))
    inputs = keras.Input((*SIZE, 2))
    first = keras.layers.Conv3D(4, 3, activation="relu", name="first")(inputs)
    second = keras.layers.Conv3D(5, 2, activation="relu", name="second")(first)
    pooled = keras.layers.GlobalAveragePooling3D()(second)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(pooled))
    for name, i in (("first", 0), ("second", 2)):
        weight, bias = network[i].weight.detach(), network[i].bias.detach()
        model.get_layer(name).set_weights([weight.permute(2, 3, 4, 1, 0).numpy(), bias.numpy()])
    model.get_layer("head").set_weights([network[6].weight.detach().T.numpy(), network[6].bias.detach().numpy()])
    return model, network.eval()


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam", "ablation_cam", "gradient", "integrated_gradients"])
def test_maps_are_those_of_the_network_in_pytorch(method: str, pair: tuple[Any, nn.Module]) -> None:
    model, network = pair
    volumes = torch.randn(2, 2, *SIZE, generator=torch.Generator().manual_seed(1))
    has_layer = method not in ("gradient", "integrated_gradients")
    result = attribute(
        wrap(model, mean=[0, 0], std=[1, 1]), volumes, method=method, target=1, layer="second" if has_layer else None
    )
    expected = attribute(network, volumes, method=method, target=1, layer="3" if has_layer else None)
    assert isinstance(result, torch.Tensor)
    assert result.shape == (2, *((3, 5, 7) if has_layer else SIZE))
    assert_close(result, expected, rtol=1e-3, atol=1e-5)
