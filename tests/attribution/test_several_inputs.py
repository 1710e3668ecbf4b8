"""Are maps right for networks with several inputs: only the named image varies, and each image gets its own map?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from camlucida import Explanation, ExplanationSet, evaluate, explain, sanity, trust, wrap
from camlucida.attribution.attribute import attribute
from camlucida.attribution.layer_summary import layers
from camlucida.attribution.predictions import predict_scores
from camlucida.data.datasets import Item, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import CamlucidaError, DataError, ImageError, LayerError, MethodError, ModelError
from camlucida.evaluation.model_input import prepare_input
from camlucida.methods import methods


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Siamese(nn.Module):
    """Two images through one encoder, which is called twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, stride=2))
        self.head = nn.Linear(4, 3)

    def features(self, image: Tensor) -> Tensor:
        pooled: Tensor = self.encoder(image).relu().mean((2, 3))
        return pooled

    def forward(self, left: Tensor, right: Tensor, scale: Tensor | None = None, swap: bool = False) -> Tensor:
        first, second = self.features(left), self.features(right)
        scores: Tensor = self.head(2 * first - second.square() if not swap else 2 * second - first.square())
        return scores if scale is None else scores * scale


class TwoStreams(nn.Module):
    """RGB and depth, each through its own encoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rgb_encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.depth_encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, stride=2), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        pooled = [self.rgb_encoder(rgb).mean((2, 3)), self.depth_encoder(depth).mean((2, 3))]
        scores: Tensor = self.head(torch.cat(pooled, 1))
        return scores


class Captioned(nn.Module):
    """An image with a table, token ids and a mask that may be missing; each token gates the features."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.embedding = nn.Embedding(10, 4)
        self.table = nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)

    def forward(
        self, input_ids: Tensor, image: Tensor, table: Tensor, mask: Tensor | None = None, scaled: bool = True
    ) -> Tensor:
        tokens = self.embedding(input_ids) if mask is None else self.embedding(input_ids) * mask[..., None]
        pooled = self.convolution(image).relu().mean((2, 3))
        scores: Tensor = self.head(pooled * tokens.mean(1) + self.table(table).tanh() * pooled)
        return scores * 2 if scaled else scores


SIAMESE, STREAMS, CAPTIONED = Siamese().eval(), TwoStreams().eval(), Captioned().eval()
LEFT, RIGHT = noise(2, 3, 8, 8), noise(2, 3, 6, 10, seed=1)
EXTRA = {
    "input_ids": torch.tensor([[1, 2, 3], [4, 5, 6]]),
    "table": noise(2, 5, seed=2),
    "mask": None,
    "scaled": False,
}
IMAGE = noise(2, 3, 8, 8, seed=3)
pair = wrap(SIAMESE, image=("left", "right"), labels=["a", "b", "c"])


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# --- the named image varies, and nothing else ---


def test_gradient_of_the_named_image_is_autograd() -> None:
    image = IMAGE.clone().requires_grad_()
    scores = CAPTIONED(image=image, **EXTRA)[:, 1]
    (expected,) = torch.autograd.grad(scores.sum(), image)
    given = attribute(wrap(CAPTIONED, image="image"), {"image": IMAGE, **EXTRA}, target=1, method="gradient")
    torch.testing.assert_close(given, expected.abs().amax(1))


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.parametrize("name", ["Saliency", "InputXGradient", "GuidedBackprop", "IntegratedGradients"])
def test_captum_agrees(name: str) -> None:
    captum = pytest.importorskip("captum.attr")
    ours = {"Saliency": "gradient(reduce='max')", "InputXGradient": "input_x_gradient"}
    ours |= {"GuidedBackprop": "guided_backprop(reduce='sum')", "IntegratedGradients": "integrated_gradients"}

    class ImageFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(SIAMESE)
            self.relu = nn.ReLU()
            self.network.features = lambda image: self.relu_mean(image)

        def relu_mean(self, image: Tensor) -> Tensor:
            return self.relu(self.network.encoder(image)).mean((2, 3))

        def forward(self, right: Tensor, left: Tensor) -> Tensor:
            return self.network(left, right)

    reference = getattr(captum, name)(ImageFirst() if name != "GuidedBackprop" else GuidedReference().eval())
    further: dict[str, Any] = {"n_steps": 400} if name == "IntegratedGradients" else {}
    if name == "Saliency":
        further["abs"] = False
    image = RIGHT.clone().requires_grad_()
    expected = reference.attribute(image, target=2, additional_forward_args=(LEFT,), **further).detach()
    network = SIAMESE if name != "GuidedBackprop" else GuidedReference().eval()
    given = attribute(wrap(network, image="right"), {"left": LEFT, "right": RIGHT}, target=2, method=ours[name])
    reduced = expected.abs().amax(1) if name == "Saliency" else expected.sum(1)
    torch.testing.assert_close(given, reduced.float(), atol=1e-5, rtol=2e-3)


class GuidedReference(nn.Module):
    """A network in Captum's order of arguments, whose ReLUs are modules that are called once each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()) for _ in "12"
        )
        self.head = nn.Linear(4, 3)

    def forward(self, right: Tensor, left: Tensor) -> Tensor:
        scores: Tensor = self.head(self.first(right).mean((2, 3)) * self.second(left).mean((2, 3)))
        return scores


def test_occlusion_is_a_loop_by_hand() -> None:
    window, given = 3, {"left": LEFT, "right": RIGHT}
    map_ = attribute(wrap(SIAMESE, image="left"), given, target=0, method="occlusion", window=window, stride=window)
    with torch.no_grad():
        score = SIAMESE(LEFT, RIGHT)[:, 0]
        occluded = LEFT.clone()
        occluded[:, :, 3:6, 3:6] = 0
        drop = score - SIAMESE(occluded, RIGHT)[:, 0]
    torch.testing.assert_close(map_[:, 4, 4], drop)


@pytest.mark.parametrize("method", sorted(set(methods()) - {"cam", "attention_rollout", "attention_relevance"}))
def test_each_image_of_a_batch_alone(method: str) -> None:
    """Held inputs are repeated for the right image: a batch gives the maps of its images alone."""
    model = wrap(CAPTIONED, image=1)
    together = attribute(model, {"image": IMAGE, **EXTRA}, target=1, method=method, signed=True)
    for i in range(2):
        rows = {name: value[i : i + 1] if isinstance(value, Tensor) else value for name, value in EXTRA.items()}
        alone = attribute(model, {"image": IMAGE[i : i + 1], **rows}, target=1, method=method, signed=True)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    "method", ["gradient", "lrp", "deep_lift", "full_grad", "occlusion", "kernel_shap", "smooth(gradient, n=2)"]
)
def test_one_input_with_the_others_inside_the_network(method: str) -> None:
    """The reference is a network of one input, in which the other inputs are constants."""

    class Bound(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = SIAMESE

        def forward(self, left: Tensor) -> Tensor:
            scores: Tensor = self.network(left, RIGHT[:1].expand(len(left), -1, -1, -1))
            return scores

    expected = attribute(Bound().eval(), LEFT[:1], target=2, method=method)
    given = attribute(wrap(SIAMESE, image="left"), (LEFT[:1], RIGHT[:1]), target=2, method=method)
    torch.testing.assert_close(given, expected, atol=1e-6, rtol=1e-4)


def test_many_runs_fold_batch_norms() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.head = nn.Linear(4, 2)

        def forward(self, image: Tensor, weight: Tensor) -> Tensor:
            scores: Tensor = self.head(self.norm(self.convolution(image)).relu().mean((2, 3)) * weight)
            return scores

    network = Normed().eval()
    network.norm.running_mean, network.norm.running_var = noise(4, seed=5), noise(4, seed=6).square() + 0.5
    image, weight = noise(2, 3, 8, 8, seed=7), noise(2, 4, seed=8)
    map_ = attribute(wrap(network, image="image"), (image, weight), target=1, method="occlusion", window=1, stride=1)
    with torch.no_grad():
        expected = torch.zeros(2, 8, 8)
        for y in range(8):
            for x in range(8):
                occluded = image.clone()
                occluded[..., y, x] = 0
                expected[:, y, x] = (network(image, weight) - network(occluded, weight))[:, 1]
    torch.testing.assert_close(map_, expected, atol=1e-5, rtol=1e-3)


# --- two images, a map each ---


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "ablation_cam", "gradient", "occlusion"])
def test_swapped_images_swap_the_maps(method: str) -> None:
    first = attribute(pair, (LEFT, RIGHT), target=1, method=method, signed=True)
    second = attribute(pair, {"left": RIGHT, "right": LEFT, "swap": True}, target=1, method=method, signed=True)
    assert first["left"].shape[-2:] != first["right"].shape[-2:]
    torch.testing.assert_close(first["left"], second["right"])
    torch.testing.assert_close(first["right"], second["left"])


def test_grad_cam_of_each_image_by_hand() -> None:
    given = attribute(pair, (LEFT, RIGHT), target=1, layer="encoder", signed=True)
    activations = [SIAMESE.encoder(image).detach().requires_grad_() for image in (LEFT, RIGHT)]
    first, second = (a.relu().mean((2, 3)) for a in activations)
    score = SIAMESE.head(2 * first - second.square())[:, 1].sum()
    gradients = torch.autograd.grad(score, activations)
    for name, a, g in zip(("left", "right"), activations, gradients, strict=True):
        expected = (g.mean((2, 3), keepdim=True) * a).sum(1)
        torch.testing.assert_close(given[name], expected.detach())


def test_several_layers_of_each_image() -> None:
    given = attribute(pair, (LEFT, RIGHT), target=1, layer=["encoder.1", "encoder.2"])
    assert {name: list(maps) for name, maps in given.items()} == {
        "left": ["encoder.1#1", "encoder.2#1"],
        "right": ["encoder.1", "encoder.2"],
    }


def test_a_layer_of_one_stream_maps_its_image_only() -> None:
    model = wrap(STREAMS, image=["rgb", "depth"])
    inputs = {"rgb": LEFT, "depth": noise(2, 1, 12, 12)}
    both = attribute(model, inputs, target=1)
    assert {name: tuple(map_.shape) for name, map_ in both.items()} == {"rgb": (2, 8, 8), "depth": (2, 6, 6)}
    assert list(attribute(model, inputs, target=1, layer="rgb_encoder")) == ["rgb"]
    with pytest.raises(LayerError, match="'rgb_encoder' returns does not depend on the image 'depth'"):
        attribute(wrap(STREAMS, image="depth"), inputs, target=1, layer="rgb_encoder")


def test_an_ignored_image_has_a_zero_map() -> None:
    class Ignoring(Siamese):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:  # type: ignore[override]
            scores: Tensor = self.head(self.features(left) + 0 * self.features(right))
            return scores

    model = wrap(Ignoring().eval(), image=("left", "right"))
    for method in ("gradient", "occlusion", "input_x_gradient"):
        maps = attribute(model, (LEFT, RIGHT), target=0, method=method)
        assert maps["left"].any()
        assert not maps["right"].any()


def test_a_fused_layer_serves_both_images() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(5)
            self.stem, self.depth_stem = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1)
            self.trunk, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)

        def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
            scores: Tensor = self.head(self.trunk(self.stem(rgb) + self.depth_stem(depth)).relu().mean((2, 3)))
            return scores

    maps = attribute(wrap(Early().eval(), image=("rgb", "depth")), (LEFT, noise(2, 1, 8, 8)), target=1)
    torch.testing.assert_close(maps["rgb"], maps["depth"])


class Attending(nn.Module):
    """A small transformer that runs on two images, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def tokens(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.patches(image).flatten(2).mT
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.mean(1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        scores: Tensor = self.head(self.tokens(left) * 2 - self.tokens(right))
        return scores


@pytest.mark.parametrize("method", ["attention_rollout", "attention_relevance", "grad_cam"])
def test_attention_of_each_image_alone(method: str) -> None:
    network = Attending().eval()
    left, right = noise(1, 3, 16, 16), noise(1, 3, 12, 16, seed=1)

    class Left(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("features", network.tokens(right).detach())

        def forward(self, image: Tensor) -> Tensor:
            scores: Tensor = network.head(self.network.tokens(image) * 2 - self.features)
            return scores

    model = wrap(network, image=("left", "right"))
    ours, alone = ({}, {}) if method != "grad_cam" else ({"layer": "blocks.0"}, {"layer": "network.blocks.0"})
    maps = attribute(model, (left, right), target=1, method=method, **ours)
    size = [(4, 4), (3, 4)] if method == "grad_cam" else [(16, 16), (12, 16)]
    assert [tuple(maps[name].shape[1:]) for name in ("left", "right")] == size
    torch.testing.assert_close(maps["left"], attribute(Left().eval(), left, target=1, method=method, **alone))


def test_an_encoder_of_both_images_at_once_has_no_layer() -> None:
    class Concatenating(Siamese):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:  # type: ignore[override]
            first, second = self.features(torch.cat([left, right])).chunk(2)
            scores: Tensor = self.head(first - second)
            return scores

    network = Concatenating().eval()
    model = wrap(network, image=("left", "right"))
    maps = attribute(model, (LEFT, LEFT), target=1, method="gradient")
    torch.testing.assert_close(maps["left"], maps["right"])
    with pytest.raises(LayerError, match=r"no layer of Concatenating returns a spatial grid|has no spatial grid"):
        attribute(model, (LEFT[:1], RIGHT[:1, :, :, :6].repeat(1, 1, 2, 2)[..., :8, :8]), target=1)


# --- other inputs ---


def test_an_unrepeatable_input_is_refused() -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3)

        def forward(self, image: Tensor, sizes: Tensor) -> Tensor:
            scores: Tensor = self.convolution(image).mean((2, 3)) * sizes.sum()  # one table for all images
            return scores

    model = wrap(Sized().eval(), image="image")
    assert attribute(model, (IMAGE, torch.tensor([3.0, 4.0])), target=1, method="gradient").any()
    with pytest.raises(MethodError, match=r"with the other inputs \(sizes\) repeated.*it returns other scores"):
        attribute(model, (IMAGE, torch.tensor([3.0, 4.0])), target=1, method="occlusion")
    shared = torch.tensor([3.0, 4.0, 5.0])  # does not have the size of the batch, so it is passed as it is
    assert attribute(model, (IMAGE, shared), target=1, method="occlusion").any()


def test_a_flag_may_change_the_order_of_the_calls() -> None:
    class Ordered(Siamese):
        def forward(self, left: Tensor, right: Tensor, right_first: bool) -> Tensor:  # type: ignore[override]
            images = (right, left) if right_first else (left, right)
            first, second = (self.features(image) for image in images)
            scores: Tensor = self.head(second - first if right_first else first - second)
            return scores

    model = wrap(Ordered().eval(), image="left")
    maps = [
        attribute(model, {"left": LEFT, "right": RIGHT, "right_first": flag}, target=1, layer=["encoder"], signed=True)
        for flag in (False, True)
    ]
    assert [list(of_layers) for of_layers in maps] == [["encoder#1"], ["encoder"]]
    torch.testing.assert_close(maps[0]["encoder#1"], maps[1]["encoder"])


def test_held_inputs_of_a_model() -> None:
    model = wrap(CAPTIONED, image="image").hold(**{k: v[:1] if isinstance(v, Tensor) else v for k, v in EXTRA.items()})
    given = attribute(model, IMAGE, target=1, method="gradient")
    rows = {k: v[:1].expand(2, *v.shape[1:]) if isinstance(v, Tensor) else v for k, v in EXTRA.items()}
    expected = attribute(wrap(CAPTIONED, image="image"), {"image": IMAGE, **rows}, target=1, method="gradient")
    torch.testing.assert_close(given, expected)
    assert [row.name for row in layers(model, size=8) if row.grid] == ["convolution"]


def test_several_targets() -> None:
    given = attribute(pair, (LEFT, RIGHT), target=[0, 2], method="gradient")
    assert {name: map_.shape[1] for name, map_ in given.items()} == {"left": 2, "right": 2}
    torch.testing.assert_close(given["left"][:, 1], attribute(pair, (LEFT, RIGHT), target=2, method="gradient")["left"])


# --- explain and trust ---


def test_explain_two_images(tmp_path: Path) -> None:
    photographs = {"left": photograph(20, 14), "right": photograph(30, 18, 1)}
    photographs["left"].save(tmp_path / "a.png")
    numbers = {"mean": [0.5] * 3, "std": [0.5] * 3}
    model = wrap(
        SIAMESE,
        image=("left", "right"),
        preprocess={"left": {"size": 8, **numbers}, "right": {"size": (6, 10), "mean": [0.1] * 3, "std": [0.3] * 3}},
    )
    result = explain(model, {"left": tmp_path / "a.png", "right": photographs["right"]}, target=1, method="gradient")
    assert isinstance(result, ExplanationSet)
    left, right = result["left"], result["right"]
    assert isinstance(left, Explanation)
    assert isinstance(right, Explanation)
    assert (left.source, left.input, left.image.size, right.image.size) == ("a.png", "left", (20, 14), (30, 18))
    assert left.record()["input"] == "left"
    inputs = {name: model.preprocessings[name](image)[0][None] for name, image in photographs.items()}
    expected = attribute(model, inputs, target=1, method="gradient")
    torch.testing.assert_close(left.raw, expected["left"][0])
    torch.testing.assert_close(right.raw, expected["right"][0])
    page = result.figure(density=1)
    assert page.height == sum(e.panel(density=1).height for e in result)
    with pytest.raises(MethodError, match="different images, left, right"):
        result.disagreement()


def one_of(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value[:1] if isinstance(value, Tensor) else value for name, value in values.items()}


def test_explain_an_image_and_tensors() -> None:
    model = wrap(CAPTIONED, image="image", size=8, mean=[0.5] * 3, std=[0.5] * 3)
    given = {"image": photograph(9, 11), **one_of(EXTRA)}
    explanation = explain(model, given, target=1, method="occlusion", window=2, stride=2)
    assert isinstance(explanation, Explanation)
    pixels = model.preprocessing(given["image"])[0][None]
    expected = attribute(model, {**given, "image": pixels}, target=1, method="occlusion", window=2, stride=2)
    torch.testing.assert_close(explanation.raw, expected[0])
    scores, _ = predict_scores(model, given)
    torch.testing.assert_close(scores, CAPTIONED(**{**given, "image": pixels})[0].detach())
    bare = explain(CAPTIONED, {"image": pixels[0], **one_of(EXTRA)}, target=1, method="occlusion", window=2, stride=2)
    torch.testing.assert_close(bare.raw, expected[0])  # the only input that can be an image


def test_trust_changes_the_image_only() -> None:
    model = wrap(CAPTIONED, image="image", size=16, mean=[0.5] * 3, std=[0.5] * 3)
    given = {"image": photograph(20, 20), **one_of(EXTRA)}
    result = trust(model, given, target=1, n_windows=16)
    with torch.no_grad():
        scores = CAPTIONED(**{**given, "image": model.preprocessing(given["image"])[0][None]})
    assert result.probability == pytest.approx(float(scores.softmax(1)[0, 1]), abs=1e-6)
    item = Item(given["image"], "x")
    held = model.hold(**one_of(EXTRA))
    model_input = prepare_input(held, item, None)
    variants = torch.stack([model_input.inputs[0], 0 * model_input.inputs[0]])
    scores = model_input.predict(lambda which: variants[which], 2)
    for i in range(2):
        torch.testing.assert_close(scores[i], CAPTIONED(image=variants[i : i + 1], **one_of(EXTRA))[0].detach())


# --- what is refused, in a sentence ---

REFUSED: dict[str, tuple[Callable[[], Any], type[CamlucidaError], str]] = {
    "unknown name": (lambda: wrap(SIAMESE, image="lefft"), ModelError, "no input 'lefft'.*Did you mean 'left'"),
    "index": (lambda: wrap(SIAMESE, image=7), ModelError, "no input at index 7: Siamese.forward takes left, right"),
    "twice": (lambda: wrap(SIAMESE, image=("left", 0)), ModelError, "each once"),
    "preprocess": (lambda: wrap(SIAMESE, image="left", preprocess={"right": {}}), ModelError, "one entry per image"),
    "which one": (lambda: attribute(SIAMESE, (LEFT, RIGHT), method="lrp"), MethodError, r'wrap\(network, image="x"'),
    "no image": (lambda: attribute(pair, {"left": LEFT, "rihgt": RIGHT}), ModelError, "no input 'rihgt'.*'right'"),
    "missing": (lambda: attribute(wrap(SIAMESE, image="left"), LEFT), ModelError, "right was not given"),
    "bare": (lambda: attribute(SIAMESE, LEFT), ModelError, r"right was not given.*model.hold\(right=…\)"),
    "no batch axis": (lambda: attribute(pair, (LEFT[0], RIGHT)), ImageError, "'left' must be a tensor"),
    "several": (lambda: trust(pair, {"left": LEFT[0], "right": RIGHT[0]}), ModelError, "model.of_image"),
    "evaluate": (lambda: evaluate(pair, ToyboxDataset(Toybox(1, 0))), ModelError, r"model.of_image\('left'\).hold"),
    "sanity": (lambda: sanity(wrap(SIAMESE), [photograph(9, 9)]), ModelError, "right was not given"),
    "sanity of dicts": (lambda: sanity(pair, [{"left": LEFT[0]}]), DataError, "elsewhere, hold the inputs"),  # type: ignore[list-item]
    "explain one": (lambda: explain(pair, {"left": LEFT[0]}), ImageError, "the image 'right' is missing"),
    "unknown": (lambda: explain(pair, {"left": LEFT[0], "rigt": RIGHT[0]}), ImageError, "no input 'rigt'.*'right'"),
    "which": (lambda: explain(SIAMESE, {"left": LEFT[0], "right": RIGHT[0]}), ModelError, "left, right may be"),
    "file": (
        lambda: explain(wrap(SIAMESE, image="left"), {"left": LEFT[0], "right": photograph(3, 3)}),
        ImageError,
        "'right' is an image, and is not named as an image: name it too",
    ),
    "table": (
        lambda: explain(wrap(CAPTIONED, image="image"), {"image": IMAGE[0], **EXTRA}),
        ImageError,
        r"without a batch axis of 1.*input_ids\[None\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name: str) -> None:
    function, error, words = REFUSED[name]
    with pytest.raises(error, match=words) as caught:
        function()
    assert "\n" not in str(caught.value)


def test_the_network_is_unmodified() -> None:
    network = Siamese().train()
    before = copy.deepcopy(network.state_dict())
    held = RIGHT.clone()
    for method in ("grad_cam", "guided_backprop", "deep_lift", "occlusion", "lrp"):
        attribute(wrap(network, image=("left", "right")), (LEFT, held), target=1, method=method)
    assert network.training
    assert torch.equal(held, RIGHT)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
