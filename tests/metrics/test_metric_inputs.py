"""Inputs of metrics: boxes on the network input, present classes, and one value for every name."""

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
    """Return a model whose score of class k is the brightness of colour channel 2 - k."""
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 3, 1, bias=False), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with torch.no_grad():
        layers[0].weight.copy_(torch.eye(3).flip(0)[..., None, None])
    return cl.wrap(layers, size=32, labels=NAMES, mean=(0, 0, 0), std=(1, 1, 1))


def red_block() -> Image.Image:
    """Return a red block on black, 64 x 48 pixels."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[12:24, 40:56, 0] = 255
    return Image.fromarray(pixels)


def item(**more: Any) -> Item:
    return Item(red_block(), "one", 2, np.array([[40.0, 12, 56, 24]]), **more)


def test_boxes_on_the_input_and_what_is_there() -> None:
    model_input = prepare_input(network(), item(), 2, also_correct=[0])
    assert model_input.input_boxes is not None
    y, x = (model_input.inputs[0, 0] > 0.5).nonzero().T
    expected = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).double()
    assert_close(model_input.input_boxes[0], expected, atol=1, rtol=0)
    metric_inputs = MetricInputs(model_input, MethodExplainer((find("grad_cam"), {})), torch.zeros(4, 4))
    assert metric_inputs.arguments(["present_classes"]) == [(2, 0)]
    assert metric_inputs.first_missing(["input_boxes", "present_classes"]) == ""
    unknown = prepare_input(network(), Item(red_block(), "one"), None)
    assert (
        MetricInputs(unknown, metric_inputs.explainer, metric_inputs.raw).first_missing(["input_boxes"])
        == "input_boxes"
    )
    assert (
        MetricInputs(unknown, metric_inputs.explainer, metric_inputs.raw).first_missing(["present_classes"])
        == "present_classes"
    )
    assert unknown.input_boxes is None


def test_every_metric_input_is_provided() -> None:
    """There is one value for each name of the registry; that of the map where map and image both have one."""
    model_input = prepare_input(network(), item(), 2)
    metric_inputs = MetricInputs(model_input, MethodExplainer((find("grad_cam"), {})), torch.rand(4, 4))
    values = dict(zip(sorted(METRIC_INPUTS), metric_inputs.arguments(sorted(METRIC_INPUTS)), strict=True))
    assert values["raw"] is metric_inputs.raw
    assert values["inputs"].shape == model_input.inputs.shape[1:]
    assert values["target"] == model_input.target
    assert isinstance(values["random"], torch.Generator)
