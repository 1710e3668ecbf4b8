"""Train the built-in captioner, toybox:captioner, and measure it on scenes that it was not trained on.

A scene has one or two objects, and its caption names them from left to right: "a cat and a dog". Scenes whose two
centres are less than `MIN_DISTANCE` of the image's width apart have no clear order, and are left out, here and in the
measurement.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from camlucida.data import toybox
from camlucida.models.toybox_captioner import START, ToyCaptioner, caption_ids, vocabulary
from camlucida.models.toybox_weights import load_network

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "src/camlucida/models/weights/toybox_captioner.safetensors"
LOG = ROOT / "scripts/train_toybox_captioner.log"
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
WORDS = vocabulary(toybox.CLASSES)
MIN_DISTANCE = 0.1
TEST = 990_000  # seeds from here on are never trained on
SPARSITY = 0.1
"""Weight of the mean activation of layer4 in the loss. The decoder reads few positions, and what the others hold would
not matter to it; with this, it is 0."""
LENGTH = 7  # <start>, five words, <end>


def log(text: str) -> None:
    """Print a line and keep it in the log."""
    print(text, flush=True)
    with LOG.open("a") as file:
        file.write(text + "\n")


def names_from_left(scene: toybox.Scene) -> list[str] | None:
    """Return the names of a scene's objects from left to right; None if their order is not clear."""
    objects = sorted(scene.objects, key=lambda placed: placed.x)
    if len(objects) == 2 and objects[1].x - objects[0].x < MIN_DISTANCE:
        return None
    return [placed.kind for placed in objects]


def dataset(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return images (n, 3, 96, 96) uint8, and the classes of their objects from left to right (n, 2), -1 for none."""
    images, labels, i = [], [], 0
    while len(images) < count:
        scene = toybox.scene((seed, i), objects=1 if i % 4 == 0 else 2)
        i += 1
        if (names := names_from_left(scene)) is None:
            continue
        images.append(np.asarray(scene.picture()))
        labels.append(([toybox.CLASSES.index(name) for name in names] + [-1])[:2])
    array = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return array, torch.tensor(labels)


def table() -> Tensor:
    """Return the tokens of every caption (k, k + 1, LENGTH) by the classes from left to right; padded with 0."""
    classes = toybox.CLASSES
    rows = torch.zeros(len(classes), len(classes) + 1, LENGTH, dtype=torch.long)
    for first, name in enumerate(classes):
        for second in range(-1, len(classes)):
            ids = caption_ids([name] if second < 0 else [name, classes[second]], WORDS)
            rows[first, second, : len(ids)] = torch.tensor(ids)
    return rows


def normalised(images: Tensor) -> Tensor:
    """Return uint8 images as network inputs."""
    return (images.float() / 255 - MEAN[0]) / STD[0]


@torch.no_grad()
def features_of(network: ToyCaptioner, images: Tensor) -> Tensor:
    """Return the features of the encoder's layer3 (n, c, 12, 12) in half precision."""
    encoder = network.encoder.eval()
    parts = []
    for part in images.split(50):
        x = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(normalised(part)))))
        parts.append(encoder.layer3(encoder.layer2(encoder.layer1(x))).half())
    return torch.cat(parts)


def train(seed: int, scenes: int, epochs: int, rate: float = 3e-3, batch: int = 64) -> ToyCaptioner:
    """Return a trained captioner.

    Its first layers, up to layer3, are those of the classifier toybox_resnet, and are not trained further, so that
    their features of every scene and of its mirror image are computed once. A classifier of the pooled features of
    layer4 is trained beside the decoder, and discarded.
    """
    torch.manual_seed(seed)
    start = time.time()
    images, labels = dataset(scenes, seed)
    log(f"{scenes} scenes drawn in {time.time() - start:.0f} s")
    captions = table()
    network = ToyCaptioner(len(WORDS)).to(memory_format=torch.channels_last)
    log(f"{sum(p.numel() for p in network.parameters())} parameters")
    stored = load_network("resnet")[0].state_dict()
    frozen = {name: value for name, value in stored.items() if not name.startswith(("layer4", "fc"))}
    network.encoder.load_state_dict(frozen, strict=False)
    start = time.time()
    features = torch.cat([features_of(network, images), features_of(network, images.flip(3))])
    mirrored = torch.where(labels[:, 1:] < 0, labels, labels.flip(1))  # left and right are exchanged
    labels = torch.cat([labels, mirrored])
    log(f"features of {len(features)} images in {time.time() - start:.0f} s")
    classifier = nn.Linear(network.project.in_features, len(toybox.CLASSES))
    trained = [p for name, p in network.named_parameters() if not name.startswith("encoder.") or "layer4" in name]
    steps = epochs * (scenes // batch)
    parameters = [*trained, *classifier.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
    rng = torch.Generator().manual_seed(seed)
    test_images, test_labels = dataset(300, TEST + 1)
    start = time.time()
    for epoch in range(epochs):
        total = 0.0
        network.eval()
        network.encoder.layer4.train()
        for rows in torch.randperm(len(features), generator=rng)[: scenes // batch * batch].split(batch):
            x, classes = features[rows].float(), labels[rows]
            x = x * (1 + 0.1 * torch.randn(x.shape[:2], generator=rng)[:, :, None, None])
            ids = captions[classes[:, 0], classes[:, 1]]
            present = torch.zeros(len(x), len(toybox.CLASSES) + 1).scatter(1, classes % (len(toybox.CLASSES) + 1), 1.0)
            grid = network.encoder.layer4(x)
            logits = network.decode(network.read(x, grid), ids[:, :-1])
            pooled = classifier(grid.mean((2, 3)))
            loss = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)
            loss = loss + 0.5 * binary_cross_entropy_with_logits(pooled, present[:, :-1])
            loss = loss + SPARSITY * grid.mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        right = accuracy(network, test_images, test_labels)
        log(f"epoch {epoch + 1}/{epochs} loss {total / (scenes // batch):.3f} captions {right:.3f} "
            f"{time.time() - start:.0f} s")  # fmt: skip
        save(
            network.eval(), seed, f"toybox captions, {scenes} scenes and mirrored, epoch {epoch + 1} of {epochs}", right
        )
    return network.eval()


@torch.no_grad()
def generated(network: ToyCaptioner, images: Tensor) -> Tensor:
    """Return the tokens of greedy captions (n, LENGTH)."""
    memory = network.encode(normalised(images))
    ids = torch.full((len(images), 1), START)
    for _ in range(LENGTH - 1):
        ids = torch.cat([ids, network.decode(memory, ids)[:, -1:].argmax(2)], 1)
    return ids


def accuracy(network: ToyCaptioner, images: Tensor, labels: Tensor) -> float:
    """Return the fraction of images whose caption is right in every word up to <end>."""
    network.eval()
    wanted = table()[labels[:, 0], labels[:, 1]]
    ids = torch.cat([generated(network, part) for part in images.split(100)])
    return float(((ids == wanted) | (wanted == 0)).all(1).float().mean())


def save(network: ToyCaptioner, seed: int, note: str, right: float) -> None:
    """Write the weights in half precision with what the file must say about itself."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    metadata = {
        "architecture": type(network).__name__,
        "classes": json.dumps(toybox.CLASSES),
        "input_size": "96",
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "seed": str(seed),
        "script": "scripts/train_toybox_captioner.py",
        "commit": commit.stdout.strip() or "unknown",
        "trained_on": note,
        "test_accuracy": f"{right:.4f}",
    }
    save_file(state, WEIGHTS, metadata)


def evaluate() -> None:
    """Log the caption accuracy of the stored weights on 1000 fresh scenes with one and with two objects."""
    from camlucida.models.captions.toybox import load_captioner

    network, _ = load_captioner()
    images, labels = dataset(1000, TEST + 2)
    for name, rows in (("one object", labels[:, 1] < 0), ("two objects", labels[:, 1] >= 0)):
        right = accuracy(network, images[rows], labels[rows])
        log(f"{name}: the whole caption is right in {right:.4f} of {int(rows.sum())} fresh scenes")
    log(f"{WEIGHTS.name} {WEIGHTS.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=6_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--evaluate", action="store_true", help="only measure the stored weights")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.evaluate:
        log(f"seed {given.seed}, {given.scenes} scenes, {given.epochs} epochs, torch {torch.__version__}")
        train(given.seed, given.scenes, given.epochs)
    evaluate()


if __name__ == "__main__":
    main()
