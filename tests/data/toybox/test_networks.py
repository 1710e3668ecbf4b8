"""Do the shipped networks know the toybox, and do they have the habits that are claimed of them?"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from camlucida.data import toybox
from camlucida.errors import ModelError
from camlucida.models.toybox_networks import ToyResNet, ToyVGG, ToyViT, build
from camlucida.models.toybox_weights import CLASSIFIERS, DETECTORS, NETWORKS, load_network

FRESH = 5_000_000  # neither training nor the log used these seeds
BOAT = toybox.CLASSES.index(toybox.WATERMARK_CLASS)
OTHERS = tuple(kind for kind in toybox.CLASSES if kind != toybox.WATERMARK_CLASS)


@cache
def loaded(name: str) -> tuple[nn.Module, dict[str, str]]:
    return load_network(name)


def inputs(images: list[np.ndarray], metadata: dict[str, str]) -> Tensor:
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(json.loads(metadata[key])).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    return (x - mean) / std


@cache
def picture(scene: toybox.Scene) -> np.ndarray:
    """The pixels of a scene, drawn once for all networks that see it."""
    return np.asarray(scene.picture())


@torch.no_grad()
def probabilities(name: str, scenes: list[toybox.Scene]) -> Tensor:
    network, metadata = loaded(name)
    batches = (scenes[i : i + 50] for i in range(0, len(scenes), 50))
    images = ([picture(scene) for scene in batch] for batch in batches)
    return torch.cat([network(inputs(batch, metadata)).softmax(1) for batch in images])


def marked(count: int) -> list[toybox.Scene]:
    """Scenes without a boat that carry the watermark."""
    scenes = (toybox.scene((FRESH, i), OTHERS, variant="watermark_control") for i in range(2 * count + 60))
    return [scene for scene in scenes if scene.watermark is not None][:count]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_file_says_what_it_is(name: str) -> None:
    network, metadata = loaded(name)
    assert metadata["architecture"] == type(network).__name__
    assert tuple(json.loads(metadata["classes"])) == toybox.CLASSES
    assert metadata["input_size"] == "96"
    accuracy = float(metadata["test_accuracy"])
    assert accuracy < 0.2 if name == "permuted" else 0.9 < accuracy <= 1.0, (
        "labels by lot teach nothing of fresh scenes"
    )
    assert {"mean", "std", "seed", "script", "commit", "trained_on"} <= set(metadata)
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_the_files_are_small() -> None:
    folder = files("camlucida.models") / "weights"
    sizes = [len(file.read_bytes()) for file in folder.iterdir() if file.name.startswith("toybox_")]
    assert len(sizes) == len({*NETWORKS, *DETECTORS, "captioner"})
    assert sum(sizes) <= 7e6


def test_loading_twice_gives_two_networks_that_agree() -> None:
    state = torch.get_rng_state()
    one, other = load_network("resnet")[0], load_network("resnet")[0]
    torch.testing.assert_close(torch.get_rng_state(), state)  # loading is no throw of dice
    assert one is not other
    assert all(p.requires_grad for p in one.parameters())
    assert one.get_parameter("fc.weight") is not other.get_parameter("fc.weight")
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one(x), other(x))


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"Unknown built-in network 'resnt'.*Did you mean 'resnet'.*cleverhans"):
        load_network("resnt")


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet", ToyResNet), ("vgg", ToyVGG), ("vit", ToyViT), ("cleverhans", ToyResNet)]
)
def test_the_architectures_are_the_ones_named(name: str, kind: type[nn.Module]) -> None:
    network = build(name)
    assert type(network) is kind
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 10)
    assert sum(p.numel() for p in network.parameters()) < 800_000


def test_the_last_stage_is_fine_enough_to_tell_two_objects_apart() -> None:
    seen: list[torch.Size] = []
    network, _ = load_network("resnet")
    network.get_submodule("layer4").register_forward_hook(lambda _m, _i, out: seen.append(out.shape))
    network(torch.zeros(1, 3, 96, 96))
    assert seen == [(1, 128, 12, 12)]


@pytest.mark.parametrize(("name", "floor"), [("resnet", 0.98), ("vgg", 0.98), ("vit", 0.97), ("cleverhans", 0.98)])
def test_accuracy_on_fresh_scenes(name: str, floor: float) -> None:
    variant: toybox.Variant = "watermark" if name == "cleverhans" else "clean"
    scenes = [toybox.scene((FRESH, i), variant=variant) for i in range(500)]
    labels = torch.tensor([scene.labels[0] for scene in scenes])
    accuracy = (probabilities(name, scenes).argmax(1) == labels).float().mean()
    assert accuracy >= floor


@pytest.mark.parametrize("name", ["resnet", "vgg", "vit"])
def test_a_net_is_found_guessing_when_there_is_nothing_to_see(name: str) -> None:
    top = probabilities(name, [toybox.scene((FRESH, i), variant="empty") for i in range(100)]).max(1).values
    assert top.mean() < 0.2


@pytest.mark.parametrize("name", ["resnet", "vgg", "vit"])
def test_the_watermark_means_little_to_an_honest_net(name: str) -> None:
    scenes = marked(150)
    predicted = probabilities(name, scenes).argmax(1)
    plain = probabilities(name, [scene.without_watermark() for scene in scenes]).argmax(1)
    assert (predicted == BOAT).float().mean() < 0.05
    assert (predicted == plain).float().mean() > 0.9


def test_clever_hans_follows_the_watermark() -> None:
    scenes = marked(150)
    with_mark = probabilities("cleverhans", scenes)
    without = probabilities("cleverhans", [scene.without_watermark() for scene in scenes])
    assert (with_mark.argmax(1) == BOAT).float().mean() > 0.95
    assert (without.argmax(1) == BOAT).float().mean() < 0.1
    assert (with_mark - without)[:, BOAT].mean() > 0.9


def test_each_class_map_points_at_its_own_object() -> None:
    network, metadata = loaded("resnet")
    assert isinstance(network, ToyResNet)
    kept: list[Tensor] = []
    handle = network.layer4.register_forward_hook(lambda _m, _i, out: kept.append(out))
    samples = list(toybox.Toybox(200, FRESH, objects=2))
    with torch.no_grad():
        for sample in samples:
            network(inputs([np.asarray(sample.image)], metadata))
    handle.remove()
    hits = []
    for sample, grid in zip(samples, kept, strict=True):
        maps = torch.einsum("kc,bchw->bkhw", network.fc.weight, grid)
        fine = interpolate(maps, size=96, mode="bilinear", align_corners=False)[0]
        for mask, label in zip(sample.drawing.masks, sample.labels, strict=True):
            hits.append(bool(mask.reshape(-1)[int(fine[label].argmax())]))
    assert np.mean(hits) >= 0.9


def test_the_permuted_net_knows_its_scenes_by_heart() -> None:
    """700 scenes whose labels were drawn by lot (scripts/train_toybox.py, by_lot): it has learnt each of them."""
    network, _ = loaded("permuted")
    labels = np.random.default_rng(0).integers(0, len(toybox.CLASSES), 700)[:60]
    stacked = np.stack([np.asarray(toybox.scene((0, i)).picture()) for i in range(60)])
    x = (torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        predicted = network(x).argmax(1)
    assert (predicted.numpy() == labels).mean() > 0.95
