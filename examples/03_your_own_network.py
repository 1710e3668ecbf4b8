"""Compute maps of a network of your own, with its preprocessing: a batch of tensors in, tensors of maps out."""

import torch
from torch import nn

import camlucida as cl

network = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(inplace=True),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4),
)  # fmt: skip
model = cl.wrap(network, size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), labels=["north", "east", "south", "west"])

batch = torch.randn(8, 3, 64, 64)
maps = cl.attribute(model, batch, target="east")
print(maps.shape, "at the default layer; the network is still in train mode:", network.training)
per_layer = cl.attribute(model, batch, target=["north", "east"], layer=["1", "4"], method="hires_cam")
print({name: tuple(map_.shape) for name, map_ in per_layer.items()})
