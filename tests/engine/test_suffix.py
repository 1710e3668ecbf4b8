"""The suffix of a network, with a skip connection past the layer: every image keeps what it computed before it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.engine import copy_of, resolve, trace
from camlucida.engine.batch_axes import BatchAxis, select_image
from camlucida.engine.suffix import NetworkSuffix

IMAGES = torch.randn(3, 3, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Skip(nn.Module):
    """The scores read the layer, an earlier layer and the network input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.head = nn.Linear(4, 5)
        with torch.no_grad():
            self.second.weight[2], self.second.bias[2] = 0, 0  # a channel that is zero everywhere

    def suffix(self, image: Tensor, first: Tensor, second: Tensor) -> Tensor:
        pooled = (first + second * image.mean(1, keepdim=True)).square().mean((2, 3))
        scores: Tensor = self.head(pooled)
        return scores

    def forward(self, image: Tensor) -> Tensor:
        first = F.relu(self.first(image))
        return self.suffix(image, first, self.second(first))


def suffix_of(network: Skip) -> NetworkSuffix:
    copy = copy_of(network)
    run = trace(copy, IMAGES, resolve(copy, IMAGES, ["second"]), rerun=True)
    return NetworkSuffix(run, run.layers[0], lambda output: output)


@torch.no_grad()
def expected_scores(network: Skip, image: int, variants: Tensor) -> Tensor:
    inputs = IMAGES[image : image + 1].expand(len(variants), -1, -1, -1)
    return network.suffix(inputs, F.relu(network.first(inputs)), variants)


@pytest.mark.parametrize("infill", [0.0, 0.7])
def test_every_channel_of_every_image_is_ablated(infill: float) -> None:
    network = Skip().double().eval()
    suffix = suffix_of(network)
    scores = suffix.ablate_channels(infill)
    activations = suffix.traced.activations
    assert not activations[:, 2].any()
    for image in range(len(IMAGES)):
        variants = activations[image].repeat(4, 1, 1, 1)
        variants[torch.arange(4), torch.arange(4)] = infill
        assert_close(scores[image], expected_scores(network, image, variants))


def test_variants_of_every_image_run_in_its_own_suffix() -> None:
    network = Skip().double().eval()
    suffix = suffix_of(network)
    activations = suffix.traced.activations
    scales = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float64)
    scores = suffix.outputs(lambda indices: scales[indices].view(-1, 1, 1, 1, 1) * activations, len(scales))
    for image in range(len(IMAGES)):
        variants = scales.view(-1, 1, 1, 1) * activations[image]
        assert_close(scores[:, image], expected_scores(network, image, variants))


@pytest.mark.parametrize(("axis", "size"), [(0, 1), (0, 4), (1, 1), (1, 2)])
def test_a_batch_axis_selects_the_entries_of_one_image(axis: int, size: int) -> None:
    tensor = torch.arange(3 * size * 5).view(3 * size, 5)
    if axis == 1:
        tensor = tensor.T
    for image in range(3):
        part = tensor.narrow(axis, image * size, size)
        assert_close(BatchAxis(axis, size).select(tensor, image, 2), torch.cat([part, part], axis))


def test_the_inputs_of_one_image_are_selected() -> None:
    inputs = {"image": IMAGES, "scale": torch.tensor(2.0)}
    for image in range(3):
        selected = select_image(inputs, image, 2)
        assert_close(selected["image"], IMAGES[image].expand(2, -1, -1, -1))
        assert_close(selected["scale"], inputs["scale"])
