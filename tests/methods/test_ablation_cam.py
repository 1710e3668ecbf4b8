"""Is Ablation-CAM the paper's: what the score loses without each channel, by whichever way that is computed?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.outputs import class_scores
from camlucida.engine import NetworkSuffix, copy_of, gap_linear_head, resolve, trace
from camlucida.methods.ablation_cam import ablation_cam

Make = Callable[..., nn.Module]


def reference(network: nn.Module, images: Tensor, k: int, infill: float = 0.0) -> Tensor:
    """w_k = (y - y_k) / |y|, one whole forward of the untouched network a channel, a hook overwriting it."""
    maps = []
    for image in images:
        kept: list[Tensor] = []

        def watch(_: nn.Module, __: object, output: Tensor, kept: list[Tensor] = kept) -> None:
            kept.append(output.detach().clone())

        handle = network.features.register_forward_hook(watch)
        score = float(network(image[None])[0, k])
        handle.remove()
        activations = kept[0][0]
        result = torch.zeros(activations.shape[1:], dtype=torch.float64)
        for channel in range(len(activations)):

            def ablate(_: nn.Module, __: object, output: Tensor, channel: int = channel) -> Tensor:
                output = output.clone()
                output[:, channel] = infill
                return output

            handle = network.features.register_forward_hook(ablate)
            without = float(network(image[None])[0, k])
            handle.remove()
            result += (score - without) / abs(score) * activations[channel]
        maps.append(result)
    return torch.stack(maps)


@pytest.mark.parametrize("infill", [0.0, 0.7])
@pytest.mark.parametrize("kind", ["gap", "stacked"])
def test_equals_really_ablating_in_the_original_network(
    request: pytest.FixtureRequest, images: Tensor, kind: str, infill: float
) -> None:
    network = request.getfixturevalue(kind)()
    with torch.no_grad():
        for k in range(4):
            result = attribute(
                network, images, target=k, layer="features", method="ablation_cam", signed=True, infill=infill
            )
            assert_close(result, reference(network, images, k, infill))


def test_the_weights_on_a_linear_end(gap: Make, images: Tensor, seen: Callable[..., tuple]) -> None:
    """There w_k = W_ck mean(A^k) / |y|."""
    network = gap()
    activations, _, output = seen(network, images, lambda o: o[:, 1])
    weights = network.head.weight[1].detach() * activations.mean((2, 3)) / output[:, 1:2].abs()
    result = attribute(network, images, target=1, layer="features", method="ablation_cam", signed=True)
    assert_close(result, (weights[:, :, None, None] * activations).sum(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("infill", [0.0, -1.3])
def test_the_closed_form_equals_running_the_rest(gap: Make, images: Tensor, dtype: torch.dtype, infill: float) -> None:
    network, images = gap().to(dtype), images.to(dtype)
    copied = copy_of(network)
    run = trace(copied, images, resolve(copied, images, ["features"]), rerun=True)
    assert gap_linear_head(run, run.layers[0]) is not None
    rest = NetworkSuffix(run, run.layers[0], class_scores)
    assert_close(rest.ablate_channels(infill), rest.ablate_channels(infill, closed_form=False), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_a_linear_end(gap: Make, images: Tensor, dtype: torch.dtype) -> None:
    """The score's rounding (a 256th of it in bfloat16) must not be taken for what a channel is worth."""
    network = gap(width=64)
    with torch.no_grad():
        network.head.bias.fill_(30.1)
        network.head.weight.mul_(0.05)
    exact = attribute(network, images, target=1, layer="features", method="ablation_cam", signed=True)
    result = attribute(network.to(dtype), images, target=1, layer="features", method="ablation_cam", signed=True)
    assert result.dtype == torch.float32
    assert_close(result.double(), exact, rtol=0, atol=0.05 * float(exact.abs().max()))


def test_the_score_falls_by_hand() -> None:
    activations = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]], [[[1.0, 1.0]], [[0.0, 4.0]]]])
    score = torch.tensor([2.0, 4.0])
    without = torch.tensor([[1.0, 5.0], [4.0, 2.0]])  # (c, b)
    # first image: (2 - 1) / 2 = 1/2, (2 - 4) / 2 = -1; second: (4 - 5) / 4 = -1/4, (4 - 2) / 4 = 1/2
    expected = torch.tensor([[[0.5 - 3, 1.0]], [[-0.25, -0.25 + 2]]])
    assert_close(ablation_cam(activations, score, lambda infill: without), expected)


def test_a_negative_score_does_not_turn_the_map_round(gap: Make, images: Tensor) -> None:
    """With the paper's y for our |y| the channel that supports the class would weigh negatively."""
    network = gap()
    with torch.no_grad():
        high = attribute(network, images, target=1, layer="features", method="ablation_cam", signed=True)
        before = network(images)[:, 1].abs()
        network.head.bias[1] -= 100
        after = network(images)[:, 1]
        assert (after < 0).all()
    low = attribute(network, images, target=1, layer="features", method="ablation_cam", signed=True)
    assert_close(low * after.abs()[:, None, None], high * before[:, None, None])


def test_a_score_of_zero_is_finite(stacked: Make, images: Tensor) -> None:
    network = stacked()
    with torch.no_grad():
        network.hidden[-1].bias[0] -= network(images[:1])[0, 0]
    result = attribute(network, images[:1], target=0, layer="features", method="ablation_cam", signed=True)
    assert result.isfinite().all()
    assert result.abs().max() > 0
    dead = attribute(network, images[:1], target=lambda o: o[:, 0] * 0, layer="features", method="ablation_cam")
    assert_close(dead, torch.zeros_like(dead))


def test_a_dead_channel_has_zero_weight(stacked: Make, images: Tensor) -> None:
    network = stacked()
    with torch.no_grad():
        network.features[0].weight[2] = 0
        network.features[0].bias[2] = -1
        result = attribute(network, images, target=2, layer="features", method="ablation_cam", signed=True)
        assert_close(result, reference(network, images, 2))


def test_targets_share_the_runs_and_stay_themselves(stacked: Make, images: Tensor) -> None:
    network = stacked()
    several = attribute(
        network, images, target=[0, "1 rather than 2", "not 3"], layer="features", method="ablation_cam", signed=True
    )
    for t, target in enumerate([0, "1 rather than 2", "not 3"]):
        alone = attribute(network, images, target=target, layer="features", method="ablation_cam", signed=True)
        assert_close(several[:, t], alone)
