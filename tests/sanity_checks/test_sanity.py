"""Sanity checks: methods that are known to pass or fail, one step by hand, and a network that stays unmodified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, MethodError, ModelError
from camlucida.models.toybox_weights import load_network
from camlucida.sanity_checks import MAX_UPPER_HALF, Sanity, sanity

SCENES = [sample.image for sample in Toybox(8, seed=5)]


@pytest.fixture(scope="module")
def checked() -> Sanity:
    return sanity("toybox", SCENES, methods=["grad_cam", "guided_backprop", "eigen_cam"], seeds=2)


def test_grad_cam_passes(checked: Sanity) -> None:
    assert checked.verdict("grad_cam").passed
    assert checked.verdict("grad_cam", "random_logit").passed


def test_guided_backprop_fails(checked: Sanity) -> None:
    assert checked.verdict("guided_backprop").passed is False
    assert checked.verdict("guided_backprop", "random_logit").passed is False
    upper_half = [value for _, fraction, value in checked.curve("guided_backprop") if fraction <= 0.5]
    assert min(upper_half) > 0.6, "hardly changes while only upper layers are random (Adebayo et al., fig. 2)"
    assert max(value for _, fraction, value in checked.curve("grad_cam") if fraction > 0.2) < 0.4


def test_class_blind_method_fails(checked: Sanity) -> None:
    verdict = checked.verdict("eigen_cam", "random_logit")
    assert verdict.value == pytest.approx(1)
    assert not verdict.passed


def test_cascade_covers_every_stage(checked: Sanity) -> None:
    names = [stage for stage, _, _ in checked.curve("grad_cam")]
    assert names == ["fc", "layer4.0", "layer3.0", "layer2.0", "layer1.0", "bn1", "conv1"]
    assert len([s for s in checked.steps if s.method == "grad_cam" and s.check == "cascading"]) == 2 * 7 * 8
    assert [fraction for _, fraction, _ in checked.curve("grad_cam")] == pytest.approx([i / 7 for i in range(1, 8)])


def test_spearman_of_one_step_by_hand(checked: Sanity) -> None:
    """The re-initialised head: hooks and SciPy, on a network modified by hand."""
    from scipy.stats import spearmanr

    from camlucida.engine.weight_randomization import randomize_weights, stages

    model = cl.load("toybox")
    perturbed = randomize_weights(model.network, stages(model.network)[:1], seed=0)
    inputs = torch.stack([model.preprocessing(image)[0] for image in SCENES])
    classes = model.network(inputs).argmax(1).tolist()

    def grad_cam(network: nn.Module, x: Tensor, index: int) -> Tensor:
        activations: list[Tensor] = []
        handle = network.get_submodule("layer4").register_forward_hook(lambda _, __, out: activations.append(out))
        score = network(x[None].requires_grad_())[0, index]
        handle.remove()
        (gradient,) = torch.autograd.grad(score, activations[0])
        return (gradient.mean((2, 3), keepdim=True) * activations[0]).sum(1)[0].detach()

    steps = [s for s in checked.steps if s.method == "grad_cam" and s.stage == "fc" and s.seed == 0]
    for step, x, index in zip(steps, inputs, classes, strict=True):
        first, other = grad_cam(model.network, x, index), grad_cam(perturbed, x, index)
        assert step.spearman == pytest.approx(spearmanr(first.flatten(), other.flatten()).statistic, abs=1e-4)


def test_random_labels() -> None:
    result = sanity("toybox", SCENES, methods=["grad_cam", "guided_backprop"], checks=["labels"])
    own, blind = (result.verdict(m, "labels").value for m in ("grad_cam", "guided_backprop"))
    assert own < 0.5 < blind + 0.25
    assert own < blind


def test_random_labels_require_toybox() -> None:
    with pytest.raises(ModelError, match="which only toybox has"):
        sanity("toybox:vgg", SCENES[:1], checks=["labels"])


def test_independent_and_smooth_stages() -> None:
    result = sanity("toybox", SCENES[:2], checks=["independent", "smooth"], seeds=1)
    assert [stage for stage, _, _ in result.curve("grad_cam", "independent")][:2] == ["fc", "layer4.0"]
    smooth = [stage for stage, _, _ in result.curve("grad_cam", "smooth")]
    assert smooth[:2] == ["conv1", "bn1"], "from the input upwards"


def test_sanity_is_deterministic() -> None:
    once, again = (sanity("toybox", SCENES[:2], seeds=2) for _ in range(2))
    assert once.steps == again.steps
    assert {s.seed for s in once.steps} == {0, 1}
    rendered = [s.spearman for s in once.steps if s.stage == "conv1"]
    assert len(set(rendered)) == 4, "another seed gives other weights"


def test_network_is_unmodified() -> None:
    network, _ = load_network("resnet")
    before = {name: (t.data_ptr(), t._version, t.clone()) for name, t in network.state_dict(keep_vars=True).items()}
    state = torch.get_rng_state()
    sanity(cl.wrap(network, size=96, mean=(0.5,) * 3, std=(0.25,) * 3), SCENES[:2], seeds=1)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in network.state_dict(keep_vars=True).items():
        pointer, version, value = before[name]
        assert (tensor.data_ptr(), tensor._version) == (pointer, version)
        assert_close(tensor, value, rtol=0, atol=0)


class Constant(nn.Module):
    """Returns the same output for every scene, with any weights; only scores of noise depend on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        is_noise = (x.abs().amax() > 3).to(x)  # else the layer has no influence, and is refused
        out: Tensor = self.head((self.conv(x) * is_noise).mean((2, 3)))
        return out


def test_constant_maps_have_no_verdict() -> None:
    result = sanity(cl.wrap(Constant(), size=24), SCENES[:2], layer="conv", checks=["cascading"], seeds=1)
    verdict = result.verdict("grad_cam")
    assert verdict.passed is None
    assert verdict.invalid == verdict.n == 2
    assert "cannot tell" in str(verdict)


def test_figure(checked: Sanity) -> None:
    rendered = checked.figure(density=1.0)
    assert rendered.width > rendered.height / 2 > 300
    assert checked._repr_png_()[:4] == b"\x89PNG"


def test_unreadable_images_are_listed() -> None:
    result = sanity("toybox", [SCENES[0], b"not an image", SCENES[1]], checks=["cascading"], seeds=1)
    assert len({s.image for s in result.steps}) == 2
    assert len(result.failures) == 1


@pytest.mark.parametrize(
    ("invalid", "error", "message"),
    [
        ({"images": [b"broken"]}, DataError, "none of the 1 images could be read"),
        ({"images": []}, DataError, "none of the 0 images could be read"),
        ({"checks": ["cascadin"]}, MethodError, "Did you mean 'cascading'"),
        ({"methods": ["gradcm"]}, MethodError, "Did you mean"),
    ],
)
def test_invalid_arguments(invalid: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"images": SCENES[:1]} | invalid
    with pytest.raises(error, match=message):
        sanity("toybox", arguments.pop("images"), **arguments)


def test_progress_counts_every_step() -> None:
    observed: list[tuple[int, int]] = []
    sanity("toybox", SCENES[:1], checks=["cascading", "random_logit"], seeds=1, progress=lambda *n: observed.append(n))
    assert observed == [(i, 13) for i in range(1, 14)]


@pytest.mark.real
@pytest.mark.slow
def test_on_a_real_network(real_data: Path) -> None:
    """ResNet-18 with ImageNet weights: Grad-CAM passes, guided backpropagation does not."""
    model = cl.load(real_data / "weights" / "resnet18_imagenet.safetensors", arch="resnet18")
    photographs = sorted((real_data / "dev" / "images" / "imagenet_val").glob("*.jpg"))[::30]
    result = sanity(model, photographs, methods=["grad_cam", "guided_backprop"], checks=["cascading"], seeds=1)
    assert result.verdict("grad_cam").passed
    blind = result.verdict("guided_backprop")
    assert blind.passed is False
    assert blind.upper is not None
    assert blind.upper > MAX_UPPER_HALF
