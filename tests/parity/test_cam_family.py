"""Our CAM family next to grad-cam and torchcam, on the same network and pictures.

Each peer's own post-processing is put on our raw map; then the two are equal to `SAME`, or the known difference is
asserted together with what it comes from. docs/parity.md is the table of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.attribution.attribute import attribute

cv2 = pytest.importorskip("cv2")
pgc = pytest.importorskip("pytorch_grad_cam")
torchcam = pytest.importorskip("torchcam.methods")
pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own

SAME = 1e-5
"""Of maps from 0 to 1, in float32."""
SIZE = (32, 48)


class Net(nn.Module):
    """Convolutions down to a map of 8 x 12, its mean, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 10, 3, stride=2, padding=1), nn.ReLU()
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.pool(self.features(x)).flatten(1))
        return out


@pytest.fixture
def network() -> nn.Module:
    made, generator = Net().eval(), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return made


@pytest.fixture
def pictures() -> Tensor:
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(4))


def ours(network: nn.Module, pictures: Tensor, method: str, **options: Any) -> Tensor:
    found: Tensor = attribute(network, pictures, target=1, layer="features", method=method, signed=True, **options)
    return found


def of_grad_cam(
    name: str, network: nn.Module, pictures: Tensor, target: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    chosen = target or pgc.utils.model_targets.ClassifierOutputTarget(1)
    with getattr(pgc, name)(model=network, target_layers=[network.features]) as cam:
        return torch.from_numpy(cam(pictures.clone(), [chosen] * len(pictures)))


def as_grad_cam(maps: Tensor, size: tuple[int, int] = SIZE) -> Tensor:
    """Its post-processing: ReLU, min-max, cv2.resize, and min-max again."""
    small = min_max(maps.relu(), 1e-7).float().numpy()
    large = np.stack([cv2.resize(map_, size[::-1]) for map_ in small])
    return min_max(torch.from_numpy(large), 1e-7)


def min_max(maps: Tensor, least: float) -> Tensor:
    lifted = maps - maps.amin((1, 2), keepdim=True)
    return lifted / (lifted.amax((1, 2), keepdim=True) + least)


def of_torchcam(name: str, network: nn.Module, pictures: Tensor, *extra: Any, **options: Any) -> Tensor:
    with getattr(torchcam, name)(network, "features", *extra, input_shape=(3, *SIZE), **options) as extractor:
        scores = network(pictures)
        (found,) = extractor(1, scores, normalized=False)
    kept: Tensor = found.detach()
    return kept


def seen(network: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Activations and gradients of class 1, for the formulas of the peers."""
    activations = network.features(pictures).detach().requires_grad_()  # type: ignore[operator]
    score = network.head(activations.mean((2, 3)))[:, 1].sum()  # type: ignore[operator]
    return activations.detach(), torch.autograd.grad(score, activations)[0]


def differ(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() > 1e-3 * other.abs().max())


# --- grad-cam ---


@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        ("grad_cam", "GradCAM"),
        ("hires_cam", "HiResCAM"),
        ("layer_cam", "LayerCAM"),
        ("xgrad_cam", "XGradCAM"),
        ("ablation_cam", "AblationCAM"),  # after a ReLU that is 0 somewhere, with a positive score: see below
        ("grad_cam_elementwise", "GradCAMElementWise"),
        ("kpca_cam", "KPCA_CAM"),  # the sign too, on these pictures: theirs has no rule but scikit-learn's
    ],
)
def test_equals_grad_cam(network: nn.Module, pictures: Tensor, method: str, theirs: str) -> None:
    with torch.no_grad():
        network.head.bias += 10  # type: ignore[operator]
    found, wanted = as_grad_cam(ours(network, pictures, method)), of_grad_cam(theirs, network, pictures)
    assert wanted.max() > 0.5
    assert_close(found, wanted, rtol=0, atol=SAME)


def test_grad_cam_plusplus_of_grad_cam_has_a_term_too_much(network: nn.Module, pictures: Tensor) -> None:
    """Their eps = 1e-6 stands beside g^2, and a mean over the places makes g^2 that small: alpha is too small."""
    a, g = seen(network, pictures)
    alpha = g**2 / (2 * g**2 + a.sum((2, 3), keepdim=True) * g**3 + 1e-6)
    theirs = ((alpha * g.relu()).sum((2, 3), keepdim=True) * a).sum(1)
    wanted = of_grad_cam("GradCAMPlusPlus", network, pictures)
    assert_close(as_grad_cam(theirs), wanted, rtol=0, atol=SAME)
    assert_close(as_grad_cam(ours(network, pictures, "grad_cam_plusplus")), wanted, rtol=0, atol=0.1)


@pytest.mark.real
@pytest.mark.slow
def test_grad_cam_plusplus_on_squeezenet(real_data: Any) -> None:
    """The mean over 13 x 13 positions makes g^2 about 1e-7, less than their eps, which alone makes the maps differ."""
    model = cl.load(str(real_data / "weights" / "squeezenet1_0_imagenet.safetensors"))
    layer = model.network.features[-1]
    largest = 0.0
    for file in sorted((real_data / "dev" / "images" / "imagenet_val").iterdir())[::30][:4]:
        inputs = model.preprocessing(cl.load_image(file))[0][None]
        kept: list[Tensor] = []
        handle = layer.register_forward_hook(lambda module, arguments, output, kept=kept: kept.append(output))
        logits = model.network(inputs)
        handle.remove()
        k = int(logits.argmax())
        (g,) = torch.autograd.grad(logits[0, k], kept[0])
        a = kept[0].detach()
        target = pgc.utils.model_targets.ClassifierOutputTarget(k)
        with pgc.GradCAMPlusPlus(model=model.network, target_layers=[layer]) as cam:
            wanted = torch.from_numpy(cam(inputs.clone(), [target]))
        alpha = g**2 / (2 * g**2 + a.sum((2, 3), keepdim=True) * g**3 + 1e-6)
        theirs = ((alpha * g.relu()).sum((2, 3), keepdim=True) * a).sum(1)
        assert_close(as_grad_cam(theirs, (224, 224)), wanted, rtol=0, atol=SAME)
        found = attribute(model, inputs, target=k, layer="features.12", method="grad_cam_plusplus", signed=True)
        largest = max(largest, float((as_grad_cam(found, (224, 224)) - wanted).abs().max()))
    assert 0.05 < largest < 0.4


def test_shapley_cam_of_grad_cam(network: nn.Module, pictures: Tensor) -> None:
    target = lambda output: output.log_softmax(-1)[1]  # noqa: E731
    found = attribute(
        network, pictures, target=1, layer="features", method="shapley_cam", score="log_probability", signed=True
    )
    assert_close(as_grad_cam(found), of_grad_cam("ShapleyCAM", network, pictures, target), rtol=0, atol=SAME)


def test_score_cam_of_grad_cam_upsamples_by_corners(network: nn.Module, pictures: Tensor) -> None:
    """nn.UpsamplingBilinear2d is align_corners=True, while its own maps are resized with half-pixel centres."""
    a, _ = seen(network, pictures)
    with torch.no_grad():
        masks = min_max(F.interpolate(a, SIZE, mode="bilinear", align_corners=True).flatten(0, 1), 1e-8)
        masked = pictures[:, None] * masks.view(2, 10, 1, *SIZE)
        weights = network(masked.flatten(0, 1))[:, 1].view(2, 10).softmax(1)
    theirs = torch.einsum("bc,bchw->bhw", weights, a)
    wanted = of_grad_cam("ScoreCAM", network, pictures)
    assert_close(as_grad_cam(theirs), wanted, rtol=0, atol=SAME)
    assert_close(as_grad_cam(ours(network, pictures, "score_cam")), wanted, rtol=0, atol=0.1)


@pytest.mark.parametrize(("method", "theirs"), [("eigen_cam", "EigenCAM"), ("eigen_grad_cam", "EigenGradCAM")])
def test_eigen_cams_of_grad_cam_are_centred_and_have_any_sign(
    network: nn.Module, pictures: Tensor, method: str, theirs: str
) -> None:
    """Without the centring, which the paper has not, and with the sign of chance, it is theirs."""
    a, g = seen(network, pictures)
    of = (a * g if method == "eigen_grad_cam" else a).double()
    places = of.flatten(2).mT
    u, s, _ = torch.linalg.svd(places - places.mean(1, keepdim=True), full_matrices=False)
    component = (u[..., 0] * s[:, :1]).view(len(a), *a.shape[2:])
    wanted = of_grad_cam(theirs, network, pictures)
    for i in range(len(a)):
        both = [as_grad_cam(sign * component[i : i + 1])[0] for sign in (1, -1)]
        assert min(float((one - wanted[i]).abs().max()) for one in both) < 1e-4
    assert differ(as_grad_cam(ours(network, pictures, method)), wanted)


def test_fem_of_grad_cam_exchanges_weight_and_mask(network: nn.Module, pictures: Tensor) -> None:
    """Paper: the channel's mean weighs its mask. Theirs: the mask's mean weighs the channel."""
    a, _ = seen(network, pictures)
    mean, deviation = a.mean((2, 3), keepdim=True), a.std((2, 3), correction=0, keepdim=True)
    mask = (a > mean + 2 * deviation).to(a)
    wanted = of_grad_cam("FEM", network, pictures)
    assert_close(as_grad_cam((mask.mean((2, 3), keepdim=True) * a).sum(1)), wanted, rtol=0, atol=SAME)
    assert_close(ours(network, pictures, "fem"), (mean * mask).sum(1))
    assert differ(as_grad_cam(ours(network, pictures, "fem")), wanted)


def test_ablation_cam_of_grad_cam_turns_round_below_zero(network: nn.Module, pictures: Tensor) -> None:
    """It divides by y, not |y|: with a negative score every channel that speaks for the class weighs negatively."""
    with torch.no_grad():
        network.head.bias -= 100  # type: ignore[operator]
    wanted = of_grad_cam("AblationCAM", network, pictures)
    found = ours(network, pictures, "ablation_cam")
    assert_close(as_grad_cam(-found), wanted, rtol=0, atol=1e-3)
    assert differ(as_grad_cam(found), wanted)


@pytest.mark.parametrize("index", [None, 0, 2])
def test_finer_cam_of_grad_cam(network: nn.Module, pictures: Tensor, index: int | None) -> None:
    """Weights from a softmax of the others' scores, through which gradients flow, and gamma = 1."""
    with pgc.FinerCAM(model=network, target_layers=[network.features]) as cam:
        wanted = torch.from_numpy(cam(pictures.clone(), None, target_idx=index))
    found = attribute(
        network,
        pictures,
        target=index,
        layer="features",
        method="finer_cam",
        signed=True,
        gamma=1.0,
        weights="softmax",
    )
    assert wanted.max() > 0.5
    assert_close(as_grad_cam(found), wanted, rtol=0, atol=SAME)


# --- torchcam ---


@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        ("grad_cam", "GradCAM"),
        ("xgrad_cam", "XGradCAM"),
        ("layer_cam", "LayerCAM"),
    ],
)
def test_equals_torchcam(network: nn.Module, pictures: Tensor, method: str, theirs: str) -> None:
    wanted, found = of_torchcam(theirs, network, pictures), ours(network, pictures, method).relu()
    assert wanted.max() > 0
    assert_close(found, wanted, rtol=SAME, atol=SAME * float(wanted.max()))


def test_cam_of_torchcam_has_no_relu(network: nn.Module, pictures: Tensor) -> None:
    """Its docstring shows a ReLU; the paper has none, and nor has what it computes."""
    wanted = of_torchcam("CAM", network, pictures, "head")
    assert_close(ours(network, pictures, "cam"), wanted, rtol=SAME, atol=SAME)


def test_grad_cam_plusplus_of_torchcam_is_a_sum_of_cubes(network: nn.Module, pictures: Tensor) -> None:
    """`alpha[idx][mask].div_(...)` divides a copy: what is left is sum ReLU(g) g^2."""
    a, g = seen(network, pictures)
    theirs = ((g.relu() * g**2).sum((2, 3), keepdim=True) * a).sum(1).relu()
    wanted = of_torchcam("GradCAMpp", network, pictures)
    assert_close(theirs, wanted, rtol=SAME, atol=SAME * float(wanted.max()))
    assert differ(min_max(ours(network, pictures, "grad_cam_plusplus").relu(), 0), min_max(wanted, 0))


def test_smooth_grad_cam_plusplus_of_torchcam_sums_a_times_g(network: nn.Module, pictures: Tensor) -> None:
    """Without noise: (sum A g^3), not (sum A) g^3. Here g is even over the places, and both are the same."""
    wanted = of_torchcam("SmoothGradCAMpp", network, pictures, std=1e-9)
    found = ours(network, pictures, "smooth_grad_cam_plusplus", noise=0.0).relu()
    assert_close(min_max(found, 0), min_max(wanted, 0), rtol=0, atol=0.02)  # their eps = 1e-8 beside g^2


def test_score_cam_of_torchcam_stretches_before_it_upsamples(network: nn.Module, pictures: Tensor) -> None:
    """s(A) and then Up: the masks no longer reach from 0 to 1."""
    a, _ = seen(network, pictures)
    with torch.no_grad():
        small = min_max(a.flatten(0, 1), 1e-8).view_as(a)
        masks = F.interpolate(small, SIZE, mode="bilinear", align_corners=False)
        scores = network((pictures[:, None] * masks[:, :, None]).flatten(0, 1))[:, 1].view(2, 10)
    theirs = torch.einsum("bc,bchw->bhw", scores.softmax(1), a)
    wanted = of_torchcam("ScoreCAM", network, pictures)
    assert_close(theirs, wanted, rtol=1e-4, atol=SAME)
    assert_close(ours(network, pictures, "score_cam"), wanted, rtol=0, atol=0.1 * float(wanted.max()))


def test_is_cam_of_torchcam_is_one_step_ahead(network: nn.Module, pictures: Tensor) -> None:
    """Its strengths are sum_{j <= i} j/N, up to (N + 1)/2: the printed formula's sum ends one earlier."""
    a, _ = seen(network, pictures)
    n = 4
    with torch.no_grad():
        small = min_max(a.flatten(0, 1), 1e-8).view_as(a)
        masked = pictures[:, None] * F.interpolate(small, SIZE, mode="bilinear", align_corners=False)[:, :, None]
        worth = torch.zeros(2, 10)
        for i in range(1, n + 1):
            worth += network((i * (i + 1) / 2 / n * masked).flatten(0, 1))[:, 1].view(2, 10) / n
    theirs = torch.einsum("bc,bchw->bhw", worth.softmax(1), a)
    wanted = of_torchcam("ISCAM", network, pictures, num_samples=n)
    assert_close(theirs, wanted, rtol=1e-4, atol=SAME)
    assert differ(ours(network, pictures, "is_cam", n=n), wanted)


@pytest.mark.parametrize(("gamma", "n"), [(0.6, 3), (0.3, 1)])
@pytest.mark.parametrize("index", [0, 1, 3])
def test_finer_cam_of_torchcam(network: nn.Module, pictures: Tensor, gamma: float, n: int, index: int) -> None:
    extractor = torchcam.FinerCAM(network, "features", input_shape=(3, *SIZE), gamma=gamma, num_references=n)
    with extractor:
        (wanted,) = extractor(index, network(pictures), normalized=False)
    found = attribute(network, pictures, target=index, layer="features", method="finer_cam", gamma=gamma, n=n)
    assert_close(found, wanted.detach(), rtol=SAME, atol=SAME * float(wanted.max()))
