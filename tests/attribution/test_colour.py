"""Maps in colour: the signed values of all channels, of which the plain map is exactly the reduction."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from camlucida import Explanation, ExplanationSet, explain, wrap
from camlucida.attribution.attribute import attribute
from camlucida.errors import CamlucidaError, MethodError
from camlucida.methods import find, methods
from camlucida.methods.common.channel_reduction import REDUCTIONS
from camlucida.render.signed_colour import draw_signed_colour

COLOURED = sorted(name for name, method in methods().items() if method.has_colour)
SIZE = (12, 10)
IMAGES = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)).eval()


NETWORK = small_network()
MODEL = wrap(NETWORK, size=SIZE, labels=["a", "b", "c"])
PHOTOGRAPH = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8))


def test_the_methods_with_colour() -> None:
    assert COLOURED == [
        "deconvnet", "deep_lift", "gradient", "guided_backprop", "guided_grad_cam", "input_x_gradient",
        "integrated_gradients", "lrp", "smooth_grad", "var_grad",
    ]  # fmt: skip
    assert not find("smooth(gradient)").has_colour


@pytest.mark.parametrize("reduce", [None, *sorted(REDUCTIONS)])
@pytest.mark.parametrize("method", COLOURED)
def test_the_reduction_is_the_plain_map(method: str, reduce: str | None) -> None:
    options = {} if reduce is None else {"reduce": reduce}
    plain = attribute(NETWORK, IMAGES, target=1, method=method, **options)
    colour = attribute(NETWORK, IMAGES, target=1, method=method, colour=True, **options)
    assert colour.shape == (2, 3, *SIZE)
    assert torch.equal(REDUCTIONS[reduce or methods()[method].options["reduce"]](colour), plain)


def test_the_gradient_is_autograd() -> None:
    images = IMAGES.clone().requires_grad_()
    (expected,) = torch.autograd.grad(NETWORK(images)[:, 2].sum(), images)
    torch.testing.assert_close(attribute(NETWORK, IMAGES, target=2, method="gradient", colour=True), expected)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet"])
def test_captum_agrees(method: str) -> None:
    captum = pytest.importorskip("captum.attr")
    reference = {"guided_backprop": captum.GuidedBackprop, "deconvnet": captum.Deconvolution}[method]
    expected = reference(copy.deepcopy(NETWORK)).attribute(IMAGES.clone().requires_grad_(), target=1).detach()
    torch.testing.assert_close(attribute(NETWORK, IMAGES, target=1, method=method, colour=True), expected)


def test_pytorch_grad_cam_agrees() -> None:
    """Its Guided Grad-CAM is the product of its guided backpropagation with its Grad-CAM, before normalisation."""
    pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam import GuidedBackpropReLUModel

    for i in range(2):
        guided = GuidedBackpropReLUModel(copy.deepcopy(NETWORK))(IMAGES[i : i + 1], target_category=1)
        expected = torch.from_numpy(guided).permute(2, 0, 1)
        given = attribute(NETWORK, IMAGES[i : i + 1], target=1, method="guided_backprop", colour=True)[0]
        torch.testing.assert_close(given, expected, atol=1e-6, rtol=1e-4)
        for layer in ("1", "3"):
            cam = attribute(NETWORK, IMAGES[i : i + 1], target=1, layer=layer)
            upsampled = F.interpolate(cam[None], SIZE, mode="bilinear", align_corners=False)[0]
            product = attribute(
                NETWORK, IMAGES[i : i + 1], target=1, method="guided_grad_cam", layer=layer, colour=True
            )[0]
            torch.testing.assert_close(product, expected * upsampled, atol=1e-6, rtol=1e-4)


def test_layers_targets_and_sizes() -> None:
    maps = attribute(NETWORK, IMAGES, target=[0, 1], layer=["1", "3"], method="guided_grad_cam", colour=True)
    assert {name: tuple(map_.shape) for name, map_ in maps.items()} == {"1": (2, 2, 3, *SIZE), "3": (2, 2, 3, *SIZE)}
    assert not torch.equal(maps["1"], maps["3"])


def test_explain_holds_the_colour_and_the_plain_map(tmp_path: Path) -> None:
    plain = explain(MODEL, PHOTOGRAPH, target="b", method="guided_backprop")
    coloured = explain(MODEL, PHOTOGRAPH, target="b", method="guided_backprop", colour=True)
    assert plain.colour is None
    assert coloured.colour is not None
    assert torch.equal(plain.raw, coloured.raw)
    assert torch.equal(coloured.colour.abs().amax(0), coloured.raw)
    assert coloured.colour_image().size == PHOTOGRAPH.size
    assert coloured.panel(density=1).size == plain.panel(density=1).size
    assert coloured.panel(density=1).tobytes() != plain.panel(density=1).tobytes()
    coloured.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        np.testing.assert_array_equal(arrays["colour"], coloured.colour.numpy())
    with pytest.raises(MethodError, match=r"guided_backprop has no map in colour: request it with explain\(…, colour"):
        plain.colour_image()


def test_a_set_draws_the_methods_with_colour() -> None:
    result = explain(MODEL, PHOTOGRAPH, target="b", method=["grad_cam", "gradient", "guided_backprop"], colour=True)
    assert isinstance(result, ExplanationSet)
    assert [e.colour is not None for e in result] == [False, True, True]
    two = result.colour_figure(density=1)
    assert two.width > result.select(method="gradient").colour_figure(density=1).width
    with pytest.raises(MethodError, match="grad_cam has no map in colour"):
        result.select(method="grad_cam").colour_figure()


def test_two_images_have_a_colour_map_each() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = small_network()

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            scores: Tensor = self.network(left) - self.network(right)
            return scores

    model = wrap(Pair().eval(), image=("left", "right"), size=SIZE)
    maps = attribute(model, (IMAGES, IMAGES), target=1, method="gradient", colour=True)
    torch.testing.assert_close(maps["left"], -maps["right"])
    result = explain(model, {"left": PHOTOGRAPH, "right": PHOTOGRAPH}, target=1, method="gradient", colour=True)
    one = result["left"]
    assert isinstance(one, Explanation)
    assert result.colour_figure(density=1).height > one.colour_image().height


def test_grey_is_zero_and_one_deviation_is_a_tenth() -> None:
    values = np.zeros((4, 6, 3))
    values[0, 0], values[1, 1], values[2, 2], values[3, 3] = 2.0, -2.0, 100.0, np.nan
    pixels = np.asarray(draw_signed_colour(values, 2.0))
    assert pixels[0, 1].tolist() == [128] * 3
    assert pixels[0, 0].tolist() == [153] * 3  # 0.6 * 255
    assert pixels[1, 1].tolist() == [102] * 3
    assert pixels[2, 2].tolist() == [255] * 3
    assert pixels[3, 3].tolist() == [200] * 3
    assert set(np.asarray(draw_signed_colour(np.zeros((2, 2, 3)), 0.0)).ravel()) == {128}


def test_the_display_of_pytorch_grad_cam() -> None:
    image_utils = pytest.importorskip("pytorch_grad_cam.utils.image")
    values = np.random.default_rng(0).normal(size=(9, 7, 3))
    values -= values.mean()
    ours = np.asarray(draw_signed_colour(values, float(values.std()))).astype(int)
    assert np.abs(ours - image_utils.deprocess_image(values).astype(int)).max() <= 1  # it rounds down


@pytest.mark.parametrize("colour", [1, "yes", None])
def test_wrong_flags(colour: object) -> None:
    with pytest.raises(CamlucidaError, match="colour is True or False"):
        attribute(NETWORK, IMAGES, target=1, method="gradient", colour=colour)


@pytest.mark.parametrize("method", ["grad_cam", "occlusion", "smooth(gradient)"])
def test_methods_without_colour(method: str) -> None:
    with pytest.raises(MethodError, match=r"has no map in colour, which .* have: gradient, input_x_gradient"):
        attribute(NETWORK, IMAGES, target=1, method=method, colour=True)


def test_method_files_stay_short() -> None:
    for name in COLOURED:
        source = inspect.getsourcefile(methods()[name].function)
        assert source is not None
        assert len(Path(source).read_text(encoding="utf-8").splitlines()) <= 60


def test_channels_of_a_network_that_takes_blue_first_are_shown_as_rgb() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    reversed_ = nn.Sequential(nn.Conv2d(3, 4, 3), *network[1:])
    reversed_[0].load_state_dict({"weight": network[0].weight.flip(1), "bias": network[0].bias})
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    numbers: dict[str, Any] = {"size": 16, "std": (0.3, 0.4, 0.5)}
    options: dict[str, Any] = {"method": "gradient", "target": 1, "colour": True}
    rgb = explain(wrap(network, mean=(0.1, 0.2, 0.3), **numbers), image, **options)
    numbers["std"] = (0.5, 0.4, 0.3)
    bgr = explain(wrap(reversed_, mean=(0.3, 0.2, 0.1), channel_order="bgr", **numbers), image, **options)
    assert rgb.colour is not None
    assert bgr.colour is not None
    torch.testing.assert_close(bgr.colour, rgb.colour)
    assert not torch.allclose(rgb.colour, rgb.colour.flip(0))
