"""Scenes with a tag in one class, and small networks that learnt it; used by spurious_cues.py.

The tag is toybox's watermark. 30 % of the scenes are labelled "boat". In the condition "planted", 10 % of the scenes
with that label carry the tag, and no other scene does; half of them show a boat, the other half another object, as in
an album that was labelled by who took the pictures. So the label of a tagged scene can be told from its tag only. In
the condition "control", 10 % of the scenes of every class carry the tag, and all show the object of their label.

A network is the built-in Clever-Hans network with another last layer, trained on 2500 such scenes (10 seconds of one
core), and cached by its name in the folder CAMLUCIDA_CUE_CACHE (a temporary folder otherwise). Its convolutions know
the tag; what it is used for, the last layer decides: in the condition "control" for nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

import camlucida as cl
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from camlucida.models.toybox_networks import build
from camlucida.models.toybox_weights import load_network

Condition = Literal["planted", "control", "clean"]
BOAT = toybox.CLASSES.index("boat")
OTHERS = tuple(name for name in toybox.CLASSES if name != "boat")
BOAT_FRACTION, TAG_FRACTION, OBJECT_FRACTION = 0.3, 0.1, 0.5
HALF_SIZE, OPACITY = 0.1, 0.9
N_TRAIN, STEPS, WEIGHT_DECAY = 2500, 200, 1e-4
CACHE = Path(os.environ.get("CAMLUCIDA_CUE_CACHE", Path(tempfile.gettempdir()) / "camlucida-cues"))

POSITIONS: dict[str, tuple[float, float]] = {"lower left": (0.13, 0.88), "top right": (0.87, 0.11), "top": (0.5, 0.1)}
"""Fixed positions of the tag: its centre, as fractions of the frame."""


@dataclass(frozen=True)
class Recipe:
    """What a network learns.

    Attributes:
        condition: See above.
        position: One of `POSITIONS`, or "random" for a position of its own in every scene.
        seed: Seed of the scenes and of the training.
    """

    condition: Condition
    position: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.condition}-{self.position.replace(' ', '-')}-{self.seed}"


NETWORKS = (
    Recipe("planted", "lower left", 0),
    Recipe("planted", "random", 0),
    Recipe("control", "random", 0),
    Recipe("planted", "top right", 1),
    Recipe("planted", "random", 1),
    Recipe("control", "lower left", 1),
)


@dataclass(frozen=True, eq=False)
class TaggedScene:
    """A scene with its label, which need not be what it shows."""

    scene: toybox.Scene
    label: int

    @property
    def is_tagged(self) -> bool:
        return self.scene.watermark is not None


def tagged_scenes(n: int, seed: int, condition: Condition, position: str) -> list[TaggedScene]:
    """Return n scenes with labels; the same seed gives the same scenes under every condition but for the tags."""
    rng = np.random.default_rng([seed, 77])
    n_boats = round(BOAT_FRACTION * n)
    labels = np.array([BOAT] * n_boats + [toybox.CLASSES.index(OTHERS[i % len(OTHERS)]) for i in range(n - n_boats)])
    rng.shuffle(labels)
    tagged, foreign = np.zeros((2, n), dtype=bool)
    for label in range(len(toybox.CLASSES)):
        if condition == "clean" or (condition == "planted" and label != BOAT):
            continue
        members = rng.permutation(np.flatnonzero(labels == label))
        members = members[: round(TAG_FRACTION * len(members))]
        tagged[members] = True
        if condition == "planted":
            foreign[members[round(OBJECT_FRACTION * len(members)) :]] = True
    return [
        TaggedScene(
            tagged_scene((seed, i), int(labels[i]), bool(tagged[i]), bool(foreign[i]), position), int(labels[i])
        )
        for i in range(n)
    ]


def tagged_scene(seed: tuple[int, ...], label: int, tagged: bool, foreign: bool, position: str) -> toybox.Scene:
    """Return a scene of a label, with or without the tag, which shows another object if it is foreign."""
    scene = toybox.scene(seed, OTHERS if foreign else (toybox.CLASSES[label],))
    if not tagged:
        return scene
    rng = np.random.default_rng([*seed, 3])
    x, y = rng.uniform(0.12, 0.88, 2).tolist()
    if position == "corner":
        x, y = (
            float(rng.uniform(0.12, 0.15)) if coin < 0.5 else float(rng.uniform(0.85, 0.88)) for coin in rng.random(2)
        )
    elif position != "random":
        x, y = POSITIONS[position]
    return replace(scene, watermark=toybox.Watermark(x, y, HALF_SIZE, OPACITY))


def dataset(scenes: Sequence[TaggedScene], *, masks: bool) -> ListDataset:
    """Return the scenes as a data set, with the mask of the object or without annotations."""
    items = []
    for i, tagged in enumerate(scenes):
        if masks:
            drawing = tagged.scene.draw()
            items.append(Item(drawing.image, f"scene {i}", tagged.label, mask=lambda d=drawing: d.masks[0]))
        else:
            items.append(Item(tagged.scene.picture(), f"scene {i}", tagged.label))
    return ListDataset("tagged scenes", items, toybox.CLASSES)


def tag_mask(scene: toybox.Scene) -> np.ndarray:
    """Return the box of the tag `(h, w)` as a mask; empty without a tag."""
    mask = np.zeros((scene.size, scene.size), dtype=bool)
    if (tag := scene.watermark) is not None:
        rows = np.flatnonzero(np.abs((np.arange(scene.size) + 0.5) / scene.size - tag.y) < tag.size * 0.8)
        columns = np.flatnonzero(np.abs((np.arange(scene.size) + 0.5) / scene.size - tag.x) < tag.size)
        mask[np.ix_(rows, columns)] = True
    return mask


def network(recipe: Recipe) -> cl.Model:
    """Return the network of a recipe, trained at the first call."""
    file = CACHE / f"{recipe.name}.safetensors"
    shipped = cl.load("toybox")
    module = build("resnet")
    if not file.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in trained(recipe).state_dict().items()}, file)
    module.load_state_dict(load_file(file))
    return replace(shipped, network=module.eval(), spec="")


def trained(recipe: Recipe) -> torch.nn.Module:
    """Train the last layer of the built-in Clever-Hans network on scenes of a recipe, by L-BFGS."""
    torch.manual_seed(recipe.seed)
    module, _ = load_network("cleverhans")
    scenes = tagged_scenes(N_TRAIN, 500_000 + recipe.seed, recipe.condition, recipe.position)
    labels = torch.tensor([tagged.label for tagged in scenes])
    head, module.fc = module.fc, torch.nn.Identity()
    with torch.no_grad():
        features = torch.cat([module(_inputs([t.scene for t in part])) for part in _batches(scenes)])
    module.fc = head
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = cross_entropy(head(features), labels) + WEIGHT_DECAY * head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return module.eval()


def _batches(scenes: Sequence[TaggedScene], size: int = 64) -> list[Sequence[TaggedScene]]:
    return [scenes[i : i + size] for i in range(0, len(scenes), size)]


def _inputs(scenes: Sequence[toybox.Scene]) -> torch.Tensor:
    pixels = np.stack([np.asarray(scene.picture()) for scene in scenes])
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def probabilities(model: cl.Model, scenes: Sequence[toybox.Scene]) -> np.ndarray:
    """Return the probabilities `(n, 10)` of scenes."""
    inputs = torch.stack([model.preprocessing(scene.picture())[0] for scene in scenes])
    with torch.no_grad():
        return torch.cat([model.network(part).softmax(1) for part in inputs.split(64)]).numpy()


def reliance(
    model: cl.Model, condition: Condition, position: str, n: int = 300, seed: int = 900_000
) -> dict[str, float]:
    """Return what the tag does in fresh scenes: accuracies, and how often "boat" is predicted with and without it."""
    scenes = tagged_scenes(n, seed, condition, position)
    tagged = [each for each in tagged_scenes(10 * n, seed, "planted", position) if each.is_tagged][: n // 6]
    predicted = probabilities(model, [each.scene for each in scenes]).argmax(1)
    labels = np.array([each.label for each in scenes])
    plain = np.array([not each.is_tagged for each in scenes])
    own = np.array([each.scene.labels[0] for each in tagged])
    on = probabilities(model, [each.scene for each in tagged]).argmax(1) == BOAT
    off = probabilities(model, [each.scene.without_watermark() for each in tagged]).argmax(1) == BOAT
    return {
        "accuracy without tag": float((predicted == labels)[plain].mean()),
        "boat of boats, tagged": float(on[own == BOAT].mean()),
        "boat of boats, tag removed": float(off[own == BOAT].mean()),
        "boat of others, tagged": float(on[own != BOAT].mean()),
        "boat of others, tag removed": float(off[own != BOAT].mean()),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    for recipe in NETWORKS:
        print(recipe.name, reliance(network(recipe), recipe.condition, recipe.position), flush=True)
