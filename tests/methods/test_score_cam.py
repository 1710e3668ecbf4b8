"""Score-CAM: a reference implementation of algorithm 1, channel by channel; and that saving runs changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods.common.score_cam_masks import channel_masks

Make = Callable[..., nn.Module]


def reference_mask(channel: Tensor, size: tuple[int, int]) -> Tensor:
    """s(Up(A^k)): first up, then stretched to 0..1; nothing where there is nothing to stretch."""
    large = F.interpolate(channel[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    spread = float(large.max() - large.min())
    return (large - large.min()) / spread if spread > 0 else large * 0


def reference(network: nn.Module, images: Tensor, target: int, softmax: bool, baseline: str) -> Tensor:
    """Algorithm 1, one image and one channel at a time, with the plain network."""
    maps = []
    with torch.no_grad():
        for image in images:
            activations = network.get_submodule("features")(image[None])[0].clone()
            black = float(network(torch.zeros_like(image)[None])[0, target]) if baseline == "black" else 0.0
            contribution = [
                float(network((image * reference_mask(a, (6, 10)))[None])[0, target]) - black for a in activations
            ]
            weights = torch.tensor(contribution, dtype=torch.float64)
            weights = weights.exp() / weights.exp().sum() if softmax else weights
            maps.append(sum(w * a for w, a in zip(weights, activations, strict=True)))
    return torch.stack(maps)  # type: ignore[arg-type]


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("baseline", ["black", "none"])
def test_reference(stacked: Make, images: Tensor, softmax: bool, baseline: str) -> None:
    network = stacked()
    options: dict[str, Any] = {"softmax": softmax, "baseline": baseline}
    result = attribute(network, images, target=2, layer="features", method="score_cam", signed=True, **options)
    assert_close(result, reference(network, images, 2, **options))


def test_under_a_softmax_the_baseline_makes_no_difference(stacked: Make, images: Tensor) -> None:
    one, other = (
        attribute(stacked(), images, method="score_cam", layer="features", baseline=b) for b in ("black", "none")
    )
    assert_close(one, other)


def test_dead_and_equal_channels_are_exact(stacked: Make, images: Tensor) -> None:
    network = stacked()
    with torch.no_grad():
        convolution = network.features[0]
        convolution.weight[2], convolution.bias[2] = 0, -1  # dead
        convolution.weight[4], convolution.bias[4] = convolution.weight[1], convolution.bias[1]  # the same
        convolution.weight[5], convolution.bias[5] = 0, 3  # constant
    expected = reference(network, images, 1, False, "none")
    result = attribute(
        network, images, target=1, layer="features", method="score_cam", signed=True, softmax=False, baseline="none"
    )
    assert_close(result, expected)


def test_dead_and_equal_channels_run_once(numbers: Callable[..., Tensor]) -> None:
    activations = numbers(2, 6, 3, 4, seed=0)
    activations[:, 2], activations[:, 5] = 0, 3
    activations[:, 4] = 2 * activations[:, 1]
    masks = channel_masks(activations, (6, 10))
    assert masks.n_masks == 1 + 3  # nothing; channels 0, 1 and 3
    assert masks.mask_of_channel[:, 2].tolist() == masks.mask_of_channel[:, 5].tolist() == [0, 0]
    assert_close(masks.mask_of_channel[:, 4], masks.mask_of_channel[:, 1])


def test_targets_share_the_runs(stacked: Make, images: Tensor) -> None:
    network, rows = stacked(), []
    network.features[0].register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    attribute(network, images, target=0, layer="features", method="grad_cam")  # the network is evaluated once
    rows.clear()
    attribute(network, images, target=0, layer="features", method="score_cam")
    alone = sum(rows)
    rows.clear()
    attribute(network, images, target=[0, 1, 2, 3], layer="features", method="score_cam")
    assert sum(rows) == alone


def test_masks_are_from_0_to_1_at_the_images_size(numbers: Callable[..., Tensor]) -> None:
    activations = numbers(2, 5, 3, 4, seed=1)
    masks = channel_masks(activations, (7, 9))
    result = masks(torch.arange(masks.n_masks))
    assert_close(result[1:].amax((-2, -1)), torch.ones(5, 2).double())
    assert_close(result.amin((-2, -1)), torch.zeros(6, 2).double())
    for image in range(2):
        for channel in range(5):
            expected = reference_mask(activations[image, channel], (7, 9))
            assert_close(result[masks.mask_of_channel[image, channel], image], expected)


def test_refuses_an_unknown_baseline(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match=r"baseline is one of black, none .*, not 'white'"):
        attribute(stacked(), images, method="score_cam", layer="features", baseline="white")
