"""Seg-Grad-CAM of the families of segmentation networks against autograd by hand."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from tests.models.segmentation.segmentation_networks import FAMILIES, SIZE, build, dense

import camlucida as cl

SMP = "segmentation_models_pytorch"
NEEDS = {"segformer": "transformers", "smp_unet": SMP, "smp_fpn": SMP, "monai_unet": "monai"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if "monai" in name else ()) for name in sorted(FAMILIES)],
)
def family(request):
    needed = NEEDS.get(request.param, "torch")
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    return cl.wrap(build(request.param), size=SIZE, labels=["background", "a", "b", "c"])


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))


def test_is_recognised(family):
    assert family.image_targets.kind == "segmentation"


@pytest.mark.parametrize("method", ["grad_cam", None])
def test_map_is_seg_grad_cam_or_by_default_hires_cam(family, image, method):
    explanation = cl.explain(family, image, target=f"at {SIZE / 2},{SIZE / 2}", method=method)
    assert explanation.method == (method or "hires_cam")
    inputs = family.preprocessing(explanation.image)[0][None]
    kept = []
    layer = family.network.get_submodule(explanation.layer.partition("#")[0].partition(" (")[0])
    hook = layer.register_forward_hook(lambda _m, _i, out: kept.append(out))
    try:
        logits = dense(family.network(inputs))
    finally:
        hook.remove()
    mask = torch.nn.functional.adaptive_avg_pool2d(explanation.region.mask[None, None].float(), logits.shape[2:])[0, 0]
    region = mask > 0.5
    score = logits[0, explanation.index][region].mean()
    activations = kept[-1]
    (gradients,) = torch.autograd.grad(score, activations)
    if activations.ndim == 3:
        side = int(activations.shape[1] ** 0.5)
        activations, gradients = (t.transpose(1, 2).unflatten(2, (side, side)) for t in (activations, gradients))
    weights = gradients if method is None else gradients.mean((2, 3), keepdim=True)
    by_hand = (activations * weights).sum(1)[0]
    assert explanation.score == pytest.approx(float(score.detach()), rel=1e-3, abs=1e-5)
    scale = float(by_hand.detach().abs().max())
    torch.testing.assert_close(explanation.raw / scale, by_hand.detach() / scale, rtol=1e-3, atol=1e-4)


def test_default_layer_is_not_the_answer(family, image):
    explanation = cl.explain(family, image, target="at 20,20")
    inputs = family.preprocessing(explanation.image)[0][None]
    kept = []
    layer = family.network.get_submodule(explanation.layer.partition("#")[0].partition(" (")[0])
    hook = layer.register_forward_hook(lambda _m, _i, out: kept.append(out))
    try:
        logits = dense(family.network(inputs))
    finally:
        hook.remove()
    used = torch.autograd.grad(logits[0, 1].sum(), kept[-1])[0].abs()
    channels = used.flatten(2).amax(2) if used.ndim == 4 else used.amax(1)
    assert int((channels > 0).sum()) > 1  # in the class scores themselves, a class depends on one channel


def test_network_is_not_changed(family, image):
    before = {key: value.clone() for key, value in family.network.state_dict().items()}
    cl.explain(family, image)
    assert all(torch.equal(value, before[key]) for key, value in family.network.state_dict().items())
    assert not family.network._forward_hooks
    assert all(p.grad is None for p in family.network.parameters())
