"""The networks that are timed: torchvision's, with random weights that do not all give the same answer."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn


def perturbed(name: str) -> nn.Module:
    """A network with seeded random weights, shaken batch-norm statistics, and no zero-initialised head."""
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.get_model(name, weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    if hasattr(network, "heads"):
        nn.init.normal_(network.heads.head.weight, std=0.02)
    return network.eval()


def forward(network: nn.Module, images: Tensor) -> Tensor:
    """The baseline: one inference forward."""
    with torch.inference_mode():
        output: Tensor = network(images)
    return output
