"""Methods on volumes (b, c, D, H, W): the same formulas as on images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods import methods
from camlucida.methods.common.masks import rise_masks
from camlucida.methods.common.superpixels import segment_images

FEW = {
    "rise": {"n": 8, "cells": 3},
    "lime": {"n": 20, "segments": 8},
    "kernel_shap": {"n": 20, "segments": 4},
    "smooth_grad": {"n": 2},
    "var_grad": {"n": 2},
    "ss_cam": {"n": 2},
    "opti_cam": {"steps": 3},
    "occlusion": {"window": 0.5, "stride": 0.5},
    "integrated_gradients": {"steps": 4},
}
IMAGES_ONLY = {"extremal_perturbation"}
TRANSFORMERS_ONLY = {name for name, entry in methods().items() if "attention" in entry.needs}
NAMES = sorted(methods().keys() - IMAGES_ONLY - TRANSFORMERS_ONLY)


def settings(name: str) -> dict[str, Any]:
    """The arguments of a method: its layer, if it has one, and options that make it fast."""
    layer = {"layer": "features"} if methods()[name].needs_layer else {}
    return {"method": name, **layer, **FEW.get(name, {})}


def by_hand(network: nn.Module, inputs: Tensor, k: int, module: str = "features") -> tuple[Tensor, Tensor]:
    """Activations and gradients of a module, by plain hooks."""
    kept: list[Tensor] = []
    handle = network.get_submodule(module).register_forward_hook(lambda *call: kept.append(call[2]))
    try:
        scores = network(inputs.clone().requires_grad_())[:, k].sum()
    finally:
        handle.remove()
    return kept[0].detach(), torch.autograd.grad(scores, kept[0])[0]


@pytest.mark.parametrize("name", NAMES)
def test_volumes_have_maps_of_their_grid(name: str, linear3d: nn.Module, volumes: Tensor) -> None:
    result = attribute(linear3d, volumes, target=1, **settings(name))
    size = (3, 4, 5) if methods()[name].map_size == "layer" else (6, 8, 10)
    assert result.shape == (2, *size)
    assert bool(result.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_a_volume_of_one_slice_has_the_map_of_an_image(
    name: str, flat_pair: tuple[nn.Module, nn.Module], numbers: Callable[..., Tensor]
) -> None:
    if name in ("cam", "rise", "lime", "kernel_shap", "smooth_grad", "var_grad", "ss_cam", "random_cam"):
        pytest.skip("needs a linear head, or its random numbers depend on the number of axes")
    flat, deep = flat_pair
    images = numbers(2, 2, 8, 8, seed=3)
    expected = attribute(flat, images, target=2, **settings(name))
    result = attribute(deep, images[:, :, None], target=2, **settings(name))
    assert_close(result[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_grad_cam_is_the_formula(net3d: nn.Module, volumes: Tensor) -> None:
    activations, gradients = by_hand(net3d, volumes, 2)
    weights = gradients.mean((2, 3, 4))
    expected = sum(weights[:, k, None, None, None] * activations[:, k] for k in range(5))
    assert_close(attribute(net3d, volumes, target=2, layer="features", signed=True), expected)


def test_a_volume_without_a_batch_axis_is_a_batch_of_one(net3d: nn.Module, volumes: Tensor) -> None:
    expected = attribute(net3d, volumes[:1], target=1, layer="features")
    assert_close(attribute(net3d, volumes[0], target=1, layer="features"), expected)


def test_grad_cam_plusplus_is_the_formula(net3d: nn.Module, volumes: Tensor) -> None:
    a, g = by_hand(net3d, volumes, 0)
    denominator = 2 * g**2 + a.sum((2, 3, 4), keepdim=True) * g**3
    alpha = torch.where(denominator != 0, g**2 / denominator.where(denominator != 0, 1), 0)
    expected = ((alpha * g.relu()).sum((2, 3, 4), keepdim=True) * a).sum(1)
    result = attribute(net3d, volumes, target=0, layer="features", method="grad_cam_plusplus", signed=True)
    assert_close(result, expected)


def test_grad_cam_equals_captum(net3d: nn.Module, volumes: Tensor) -> None:
    captum = pytest.importorskip("captum.attr")
    expected = captum.LayerGradCam(net3d, net3d.get_submodule("features")).attribute(volumes, target=1)[:, 0]
    assert_close(attribute(net3d, volumes, target=1, layer="features", signed=True), expected.detach())


def test_cam_sums_to_the_score(linear3d: nn.Module, volumes: Tensor) -> None:
    maps = attribute(linear3d, volumes, target=1, layer="features", method="cam")
    score = linear3d(volumes)[:, 1] - linear3d.get_submodule("head").bias[1]
    assert_close(maps.mean((1, 2, 3)), score.detach())
    assert_close(maps, attribute(linear3d, volumes, target=1, layer="features", signed=True) * 60)


def test_ablation_runs_without_each_channel(net3d: nn.Module, volumes: Tensor) -> None:
    activations, _ = by_hand(net3d, volumes, 1)
    weights = torch.zeros(2, 5, dtype=torch.float64)
    score = net3d(volumes)[:, 1]
    for k in range(5):
        changed = activations.clone()
        changed[:, k] = 0
        without = net3d.head(net3d.pool(changed).flatten(1))[:, 1]
        weights[:, k] = (score - without) / score.abs()
    result = attribute(net3d, volumes, target=1, layer="features", method="ablation_cam", signed=True)
    assert_close(result, torch.einsum("bk,bkdhw->bdhw", weights, activations).detach())


def test_integrated_gradients_are_complete(net3d: nn.Module, volumes: Tensor) -> None:
    result = attribute(net3d, volumes, target=1, method="integrated_gradients", steps=200)
    difference = net3d(volumes)[:, 1] - net3d(volumes * 0)[:, 1]
    assert_close(result.sum((1, 2, 3)), difference.detach(), rtol=1e-2, atol=1e-4)


def test_occlusion_moves_a_box(net3d: nn.Module, volumes: Tensor) -> None:
    volume = volumes[:1]
    result = attribute(net3d, volume, target=2, method="occlusion", window=0.5, stride=0.5)
    total, counts = torch.zeros(6, 8, 10, dtype=torch.float64), torch.zeros(6, 8, 10, dtype=torch.float64)
    with torch.no_grad():
        for z in (0, 3):
            for y in (0, 4):
                for x in (0, 5):
                    hidden = volume.clone()
                    hidden[:, :, z : z + 3, y : y + 4, x : x + 5] = 0
                    drop = net3d(volume)[0, 2] - net3d(hidden)[0, 2]
                    total[z : z + 3, y : y + 4, x : x + 5] += drop
                    counts[z : z + 3, y : y + 4, x : x + 5] += 1
    assert_close(result[0], total / counts)


def test_rise_masks_are_products_of_three_axes() -> None:
    masks = rise_masks((5, 6, 7), 400, 3, 0.5, seed=0)(torch.arange(400))
    assert masks.shape == (400, 5, 6, 7)
    assert_close(masks.mean(0), torch.full((5, 6, 7), 0.5, dtype=torch.float64), rtol=0, atol=0.1)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1


@pytest.mark.parametrize("kind", ["grid", "slic"])
def test_supervoxels_cover_the_volume(kind: str, numbers: Callable[..., Tensor]) -> None:
    volume = numbers(1, 1, 8, 12, 16)
    labels, count = segment_images(volume, kind, 12)
    assert labels.shape == (1, 8, 12, 16)
    assert count == 12
    assert set(labels.unique().tolist()) <= set(range(12))


def test_supervoxels_follow_a_bright_cube() -> None:
    volume = torch.zeros(1, 1, 8, 8, 8)
    volume[..., :3, :3, :3] = 5.0  # the cells have a side of 4 voxels: edges must be found, not kept
    labels, _ = segment_images(volume, "slic", 8)
    inside = labels[0, :3, :3, :3]
    assert len(inside.unique()) == 1
    outside = labels[0].flatten()[(volume[0, 0] == 0).flatten()]
    assert int(inside[0, 0, 0]) not in outside.unique().tolist()


@pytest.mark.parametrize("expression", ["smooth(grad_cam, n=2)", "flips(grad_cam)", "scales(grad_cam)"])
def test_combinators_of_views(expression: str, net3d: nn.Module, volumes: Tensor) -> None:
    result = attribute(net3d, volumes, target=1, layer="features", method=expression)
    assert result.shape == (2, 3, 4, 5)


@pytest.mark.parametrize("expression", ["refine(layer_cam)", "fuse_max(grad_cam)"])
def test_fusions_use_the_finest_grid(expression: str, net3d: nn.Module, volumes: Tensor) -> None:
    assert attribute(net3d, volumes, target=1, method=expression).shape[0] == 2


@pytest.mark.parametrize("method", ["extremal_perturbation", "crops(grad_cam)"])
def test_methods_of_images_say_so(method: str, net3d: nn.Module, volumes: Tensor) -> None:
    with pytest.raises(MethodError, match=r"supports images only, and the network input is 2×2×6×8×10"):
        attribute(net3d, volumes, target=1, method=method)
