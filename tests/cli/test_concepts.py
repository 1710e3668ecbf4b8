"""Concepts: the factorisation of a layer's activations, the class scores of its factors, and the page."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.data import toybox
from camlucida.errors import CamlucidaError, ImageError, LayerError, MethodError, MissingExtra
from camlucida.features.concepts import N_CLASSIFIED_IMAGES
from camlucida.features.factorise import factorise
from camlucida.render.concepts import (
    MAX_CONCEPTS,
    MIN_BADGE_STRENGTH,
    ConceptImage,
    LegendEntry,
    _badge_positions,
    concept_page,
)

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
BOAT = toybox.scene(2, kinds=["boat"], size=96).picture()
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model() -> Any:
    return cl.load("toybox")


@pytest.fixture(scope="module")
def pets(model: Any) -> cl.Concepts:
    return cl.concepts(model, PETS, k=4)


def at(network: nn.Module, inputs: torch.Tensor, layer: str, instead: torch.Tensor | None = None) -> Any:
    """Return the output of a layer and of the network, by a hook that can replace the layer's output."""
    kept = []

    def hook(module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor | None:
        kept.append(output.detach())
        return instead

    handle = network.get_submodule(layer).register_forward_hook(hook)
    try:
        with torch.no_grad():
            output = network.eval()(inputs)
    finally:
        handle.remove()
    return kept[0], output


# --- the factorisation


def planted(positions: int = 90, channels: int = 30, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return factors that each own a position and a channel: their factorisation is unique up to scale and order."""
    w, h = RNG.uniform(0, 1, (positions, k)), RNG.uniform(0, 1, (k, channels))
    w[:k], h[:, :k] = np.eye(k), np.eye(k)
    w[k : 4 * k][RNG.uniform(size=(3 * k, k)) < 0.6] = 0
    return w, h * np.array([[4], [3], [2], [1]])[:k]


def test_recovers_a_planted_factorisation() -> None:
    w, h = planted()
    result = factorise(w @ h, 4)
    assert result.converged
    assert result.error < 2e-3
    np.testing.assert_allclose(result.weights.max(0), 1)
    order = np.argsort(-(w.sum(0) * h.sum(1)))
    np.testing.assert_allclose(result.weights, (w / w.max(0))[:, order], atol=0.02)
    np.testing.assert_allclose(result.components, (h * w.max(0)[:, None])[order], atol=0.05)


def multiplicative(values: np.ndarray, k: int, seed: int, steps: int = 2000) -> float:
    """Lee and Seung's updates from a random start, as the paper cites them: the relative error they reach."""
    rng = np.random.default_rng(seed)
    w, h = rng.uniform(0.1, 1, (len(values), k)), rng.uniform(0.1, 1, (k, values.shape[1]))
    for _ in range(steps):
        h *= (w.T @ values) / (w.T @ w @ h + 1e-12)
        w *= (values @ h.T) / (w @ h @ h.T + 1e-12)
    return float(np.linalg.norm(values - w @ h) / np.linalg.norm(values))


def test_error_matches_multiplicative_updates(model: Any) -> None:
    inputs, _ = model.preprocessing(PETS)
    maps, _ = at(model.network, inputs[None], "layer4")
    values = maps[0].flatten(1).T.double().numpy()
    result = factorise(values, 4)
    reference = min(multiplicative(values, 4, seed) for seed in range(5))
    assert result.error <= reference + 1e-3
    assert result.error == pytest.approx(
        np.linalg.norm(values - result.weights @ result.components) / np.linalg.norm(values)
    )
    assert factorise(values, 8).error < result.error


def test_unneeded_components_are_dropped() -> None:
    values = np.outer(RNG.uniform(0.5, 1, 40), RNG.uniform(0.5, 1, 12))
    values[:, 6:] = 0
    first = factorise(values, 1)
    assert first.error < 1e-6
    assert len(first.components) == 1
    several = factorise(values, 3)
    assert (several.weights.max(0) == 1).all()
    assert several.error < 1e-3


# --- concepts of a layer


def test_the_concepts_factorise_the_layer(model: Any, pets: cl.Concepts) -> None:
    inputs, _ = model.preprocessing(PETS)
    maps, _ = at(model.network, inputs[None], "layer4")
    rebuilt = torch.einsum("khw,kc->chw", pets.maps[0], pets.vectors)
    assert float((maps[0] - rebuilt).norm() / maps[0].norm()) == pytest.approx(pets.error, rel=1e-4)
    assert (len(pets), pets.layer, pets.negative_fraction, pets.sources, pets.failed) == (
        4,
        "layer4",
        0.0,
        ("Image",),
        (),
    )
    assert bool((pets.vectors >= 0).all())
    assert_close(pets.maps[0].amax((1, 2)), torch.ones(4))
    assert_close(pets.contributions.sum(), torch.tensor(1.0))
    assert list(pets.contributions) == sorted(pets.contributions, reverse=True)


def test_classes_in_closed_form(model: Any, pets: cl.Concepts) -> None:
    """After layer4 there are average pooling and a linear layer: the mean of a constant is the constant."""
    head = next(m for m in reversed(list(model.network.modules())) if isinstance(m, nn.Linear))
    scores = pets.vectors @ head.weight.detach().T + head.bias.detach()
    for first, classes in zip(scores, pets.classes, strict=True):
        best = first.argsort(descending=True)[:5]
        assert [p.index for p in classes] == best.tolist()
        assert_close(torch.tensor([p.logit for p in classes]), first[best], rtol=1e-4, atol=1e-4)
        assert_close(torch.tensor([p.probability for p in classes]), first.softmax(0)[best], rtol=1e-4, atol=1e-6)
        assert [p.name for p in classes] == [model.labels[i] for i in best]


@pytest.mark.parametrize(("name", "layer"), [("toybox", "layer2"), ("toybox:vgg", "features.14"), ("toybox", "layer3")])
def test_classes_where_more_follows(name: str, layer: str) -> None:
    model = cl.load(name)
    result = cl.concepts(model, PETS, layer=layer, k=3)
    inputs, _ = model.preprocessing(PETS)
    for vector, classes in zip(result.vectors, result.classes, strict=True):
        instead = vector[None, :, None, None].expand(1, -1, *result.maps[0].shape[1:]).clone()
        _, output = at(model.network, inputs[None], layer, instead)
        assert_close(torch.tensor([p.logit for p in classes]), output[0].topk(5).values, rtol=1e-3, atol=1e-3)


def test_skip_connections_keep_the_image_features() -> None:
    """A class token is that of each image: the scores are the mean over the first images, and over no more."""
    model = cl.load("toybox:vit")
    scenes = [toybox.scene(seed, size=96).picture() for seed in range(N_CLASSIFIED_IMAGES + 1)]
    result = cl.concepts(model, scenes, k=2, layer="blocks.5.norm1")
    assert 0 < result.negative_fraction < 0.5
    total = torch.zeros(2, len(model.labels))
    for scene in scenes[:N_CLASSIFIED_IMAGES]:
        inputs, _ = model.preprocessing(scene)
        tokens, _ = at(model.network, inputs[None], "blocks.5.norm1")
        for k, vector in enumerate(result.vectors):
            instead = vector.expand(tokens.shape).clone()
            instead[:, 0] = tokens[:, 0]
            total[k] += at(model.network, inputs[None], "blocks.5.norm1", instead)[1][0] / N_CLASSIFIED_IMAGES
    for scores, classes in zip(total, result.classes, strict=True):
        assert_close(torch.tensor([p.logit for p in classes]), scores.topk(5).values, rtol=1e-3, atol=1e-3)


def test_concept_maps_lie_on_their_objects(model: Any) -> None:
    """On a cat and a dog one concept is the cat's and lies on the cat, one is the dog's and lies on the dog."""
    scene = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=384)
    result = cl.concepts(model, scene.picture(), k=4)
    for thing, mask in zip(scene.objects, scene.draw().masks, strict=True):
        of_it = [k for k in range(len(result)) if result.classes[k][0].name == thing.kind]
        assert of_it, thing.kind
        inside = [result.heatmap(k)[mask].mean() / result.heatmap(k)[~mask].mean() for k in of_it]
        assert max(inside) > 2


def test_several_images_share_their_concepts(model: Any) -> None:
    result = cl.concepts(model, [PETS, BOAT, PETS], k=4)
    assert len(result.maps) == len(result.images) == 3
    assert_close(result.maps[0], result.maps[2], atol=1e-3, rtol=1e-3)
    assert_close(torch.stack(result.maps).amax((0, 2, 3)), torch.ones(4))
    tops = torch.stack(result.maps).amax((2, 3))
    assert bool((tops[0] < 0.9).any() and (tops[1] < 0.9).any())


def test_seed_determines_the_result(model: Any) -> None:
    first, again = (cl.concepts(model, [PETS, BOAT], k=5, seed=3) for _ in range(2))
    assert torch.equal(first.vectors, again.vectors)
    assert all(torch.equal(a, b) for a, b in zip(first.maps, again.maps, strict=True))
    assert first.figure(density=1.0).tobytes() == again.figure(density=1.0).tobytes()
    assert cl.concepts(model, PETS, k=4, starts=4).error <= cl.concepts(model, PETS, k=4, starts=1).error


class Bent(nn.Module):
    """Activations below zero, as much as `below` says."""

    def __init__(self, below: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4, bias=False)
        self.bend = nn.Sequential(nn.LeakyReLU(below))
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.bend(self.conv(x)).mean((2, 3)))
        return out


def test_negative_activations_are_clipped_and_reported() -> None:
    torch.manual_seed(0)
    network = Bent(0.3)
    result = cl.concepts(network, PETS, layer="bend", k=2)
    inputs, _ = cl.wrap(network).preprocessing(PETS)
    maps, _ = at(network, inputs[None], "bend")
    assert result.negative_fraction == pytest.approx(
        float(maps.clamp(max=0).square().sum() / maps.square().sum()), rel=1e-4
    )
    assert result.negative_fraction > 0
    assert "of the activations' energy is negative and was clipped" in result._note()
    assert f"{result.record()['negative_fraction']:.6f}" == f"{result.negative_fraction:.6f}"
    with_note = result.figure(density=1.0).height
    assert with_note > cl.concepts(Bent(0.0), PETS, layer="bend", k=2).figure(density=1.0).height
    with pytest.raises(MethodError, match=r"% of the energy of bend is negative.*Choose a layer after a ReLU"):
        cl.concepts(Bent(20.0), PETS, layer="bend", k=2)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"k": 0}, MethodError, "concepts: k is an integer from 1 .*, not 0"),
        ({"starts": 0}, MethodError, "concepts: starts is an integer from 1 .*, not 0"),
        ({"k": 128}, MethodError, r"128 concepts of layer4 are too many: it has only 128 channels .*1 image"),
        ({"layer": "layer9"}, LayerError, r"no layer 'layer9'.*\(toybox, Image\)"),
        ({"layer": "layer?"}, LayerError, "of one layer, and 'layer\\?' may be several"),
    ],
)
def test_refusals(model: Any, asked: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cl.concepts(model, PETS, **asked)


def test_too_few_locations_and_no_images() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 112, stride=112), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    with pytest.raises(MethodError, match=r"4 concepts of 1 are too many: it has only 4 positions \(2 × 2, 8 channels"):
        cl.concepts(network, PETS, layer="1", k=4)
    for fill, message in ((-1e9, "outputs no positive values"), (float("nan"), "outputs NaN or infinity")):
        with torch.no_grad():
            network[0].bias.fill_(fill)
        with pytest.raises(MethodError, match=message):
            cl.concepts(network, PETS, layer="1", k=2)
    with pytest.raises(MethodError, match="needs one or more images"):
        cl.concepts(network, [])


def test_unreadable_image_is_skipped(model: Any) -> None:
    calls: list[CamlucidaError | None] = []
    result = cl.concepts(model, iter([PETS, b"broken", BOAT]), k=3, progress=lambda image, error: calls.append(error))
    assert (len(result.maps), len(result.failed)) == (2, 1)
    assert isinstance(result.failed[0][1], ImageError)
    assert [error is None for error in calls] == [True, False, True]
    with pytest.raises(ImageError, match="toybox, bytes"):
        cl.concepts(model, b"broken")


def test_without_scikit_learn(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"needs the package sklearn.*pip install 'camlucida\[analysis\]'"):
        cl.concepts(model, PETS, k=2)


def test_network_is_unmodified(model: Any) -> None:
    network = model.network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    cl.concepts(model, PETS, k=2)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())
    network.eval()


# --- the page


def test_page_and_files(pets: cl.Concepts, tmp_path: Path) -> None:
    assert pets._repr_png_().startswith(b"\x89PNG")
    assert pets.save(tmp_path / "a.png", density=1.0) == [tmp_path / "a.png"]
    arrays, beside = pets.save(tmp_path / "a.npz")
    with np.load(arrays) as stored:
        assert_close(torch.from_numpy(stored["vectors"]), pets.vectors)
        assert_close(torch.from_numpy(stored["maps_0"]), pets.maps[0])
    record = json.loads(beside.read_text(encoding="utf-8"))
    assert (record["error"], record["layer"], record["concepts"]) == (pets.error, "layer4", 4)
    assert record["classes"][0][0]["name"] == pets.classes[0][0].name
    with pytest.raises(MethodError, match="no concept 4: there are 4, numbered from 0 to 3"):
        pets.heatmap(4)
    with pytest.raises(MethodError, match="no image 1: there are 1"):
        pets.heatmap(0, 1)
    with pytest.raises(AttributeError):
        pets.layer = "layer1"  # type: ignore[misc]


def test_concept_has_one_colour_in_all_images() -> None:
    grey = Image.new("RGB", (40, 40), "#808080")
    strengths = np.zeros((2, 40, 40))
    strengths[0, :, :20], strengths[1, :, 20:] = 0.3, 0.3  # too weak for a number on it
    pages = [ConceptImage(grey, strengths), ConceptImage(grey, strengths[:, :, ::-1]), ConceptImage(grey, strengths)]
    page = np.asarray(
        concept_page(pages, [LegendEntry("a", 0.5), LegendEntry("b", 0.5)], title="t", density=1.0)
    ).astype(int)
    colours, counts = np.unique(page.reshape(-1, 3), axis=0, return_counts=True)
    hued = {tuple(c): n for c, n in zip(colours.tolist(), counts.tolist(), strict=True) if np.ptp(c) > 20 and n > 5000}
    assert len(hued) == 2
    assert len(set(hued.values())) == 1


def test_label_is_at_the_maximum_of_its_concept() -> None:
    strengths = np.zeros((4, 20, 30), np.float32)
    strengths[0, 4, 7], strengths[1, 15, 22] = 0.9, 0.5
    strengths[2, 4, 7] = 0.6  # under the first: its colour is not seen there
    strengths[3, 1, 1] = MIN_BADGE_STRENGTH - 0.01
    strengths[:, :, 29] = np.nan
    assert _badge_positions(strengths) == {0: (7, 4), 1: (22, 15)}


def test_more_concepts_than_colours(model: Any) -> None:
    result = cl.concepts(model, PETS, layer="layer3", k=MAX_CONCEPTS + 2, starts=1)
    assert len(result) == MAX_CONCEPTS + 2
    result.figure(density=1.0)
    with pytest.raises(MethodError, match=f"1 images and {MAX_CONCEPTS + 1} concepts"):
        concept_page([ConceptImage(PETS, np.zeros((1, 96, 96)))], [LegendEntry("a", 0)] * (MAX_CONCEPTS + 1), title="t")
    with pytest.raises(MethodError, match="do not fit an image of size"):
        concept_page([ConceptImage(PETS, np.zeros((1, 9, 9)))], [LegendEntry("a", 0)], title="t")


# --- the command


def concepts_of(*arguments: str) -> tuple[str, ...]:
    return ("concepts", *arguments, "--model", "toybox")


def test_command_with_one_image(run: Callable[..., Any], photos: Path) -> None:
    code, out, err = run(*concepts_of("photos/pets.png", "--layer", "layer4", "-k", "3"))
    assert (code, err) == (0, "")
    assert out.startswith("concept  1 ")
    assert "layer4: relative error 0." in out
    assert "negative activations discarded: none\n→ camlucida-out/pets-concepts.png" in out
    with Image.open("camlucida-out/pets-concepts.png") as page:
        assert page.width > 1000


def test_command_with_a_folder(run: Callable[..., Any], photos: Path) -> None:
    code, out, _ = run(*concepts_of("photos", "-k", "4", "--maps", "-n", "1"))
    assert code == 1
    assert "broken.png: cannot read" in out
    assert "2 images analysed, 1 failed" in out
    assert sorted(p.name for p in Path("camlucida-out").iterdir()) == [
        "layer4-concepts.json",
        "layer4-concepts.npz",
        "layer4-concepts.png",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos/broken.png",), "cannot read photos/broken.png"),
        (("photos/pets.png", "-k", "0"), "concepts: k is an integer from 1 to 1000000 (by default 6), not 0"),
        (("photos/pets.png", "-k", "500"), "500 concepts of layer4 are too many: it has only 128 channels"),
        (("photos/pets.png", "-n", "0"), "--top 0: a page shows at least 1"),
        (("photos/pets.png", "--opacity", "3"), "--opacity 3 is not between 0 and 1"),
        (("photos/pets.png", "--layer", "layer9"), "no layer 'layer9'"),
    ],
)
def test_command_errors(run: Callable[..., Any], photos: Path, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = run(*concepts_of(*arguments))
    assert (code, out) == (2, "")
    assert err.startswith(f"camlucida: {message}")
    assert len(err.splitlines()) == 1


@pytest.mark.real
def test_on_a_photograph(real_data: Path) -> None:
    model = cl.load(str(real_data / "weights" / "resnet18_imagenet.safetensors"))
    result = cl.concepts(model, real_data / "dev" / "images" / "classic" / "cat_dog.jpg", k=5)
    height = result.images[0].height
    middles = {}
    for k, classes in enumerate(result.classes):
        heat = np.nan_to_num(result.heatmap(k))
        middles[classes[0].name] = float((heat.sum(1) * np.arange(height)).sum() / heat.sum()) / height
    assert middles["boxer"] < 0.5 < middles["tiger cat"]  # the dog sits, the cat lies in front of it
