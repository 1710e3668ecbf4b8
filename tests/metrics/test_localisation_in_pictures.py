"""What localisation metrics need: boxes on the network's input, and which classes are there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.testing import assert_close

import camlucida as cl
from camlucida.data.datasets import Item
from camlucida.evaluation.metric_inputs import MethodExplainer, MetricInputs
from camlucida.evaluation.model_input import prepare_input
from camlucida.methods import find
from camlucida.metrics.registry import METRIC_INPUTS

NAMES = ("blue", "green", "red")


def network() -> Any:
    """Class k is how bright colour 2 - k is."""
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with torch.no_grad():
        layers[0].weight.copy_(torch.eye(3).flip(0)[..., None, None])
    return cl.wrap(layers, size=32, labels=NAMES, mean=(0, 0, 0), std=(1, 1, 1))


def picture() -> Image.Image:
    """64 wide, 48 high: a red block on black."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[12:24, 40:56, 0] = 255
    return Image.fromarray(pixels)


def item(**more: Any) -> Item:
    return Item(picture(), "one", 2, np.array([[40.0, 12, 56, 24]]), **more)


def test_boxes_on_the_input_and_what_is_there() -> None:
    sight = prepare_input(network(), item(), 2, also_correct=[0])
    assert sight.boxes_seen is not None
    y, x = (sight.inputs[0, 0] > 0.5).nonzero().T
    bright = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).double()
    assert_close(sight.boxes_seen[0], bright, atol=1, rtol=0)
    found = MetricInputs(sight, MethodExplainer((find("grad_cam"), {})), torch.zeros(4, 4))
    assert found.arguments(["present_classes"]) == [(2, 0)]
    assert found.first_missing(["boxes_seen", "present_classes"]) == ""
    unknown = prepare_input(network(), Item(picture(), "one"), None)
    assert MetricInputs(unknown, found.explainer, found.raw).first_missing(["boxes_seen"]) == "boxes_seen"
    assert MetricInputs(unknown, found.explainer, found.raw).first_missing(["present_classes"]) == "present_classes"
    assert unknown.boxes_seen is None


def test_every_metric_input_is_provided() -> None:
    """One value for each name of the registry's table, that of the map where the map and the image both have one."""
    sight = prepare_input(network(), item(), 2)
    evidence = MetricInputs(sight, MethodExplainer((find("grad_cam"), {})), torch.rand(4, 4))
    given = dict(zip(sorted(METRIC_INPUTS), evidence.arguments(sorted(METRIC_INPUTS)), strict=True))
    assert given["raw"] is evidence.raw
    assert given["inputs"].shape == sight.inputs.shape[1:]
    assert given["target"] == sight.target
    assert isinstance(given["random"], torch.Generator)
