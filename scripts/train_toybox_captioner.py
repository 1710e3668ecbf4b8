"""Train the built-in captioner, toybox:captioner, and measure it on scenes that it was not trained on.

A scene has one or two objects, and its caption names them from left to right: "a cat and a dog". Scenes whose two
centres are less than `MIN_DISTANCE` of the image's width apart have no clear order, and are left out, here and in the
measurement.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

import toybox_training
from camlucida.data import toybox
from camlucida.models.toybox_captioner import START, ToyCaptioner, caption_ids, vocabulary
from camlucida.models.toybox_weights import load_network
from toybox_training import TEST, argument_parser, normalised, training_epochs, write_weights

FILE = toybox_training.WEIGHTS / "toybox_captioner.safetensors"
log = partial(toybox_training.log, file=toybox_training.ROOT / "scripts/train_toybox_captioner.log")
WORDS = vocabulary(toybox.CLASSES)
MIN_DISTANCE = 0.1
SPARSITY = 0.1
"""Weight of the mean activation of layer4 in the loss. The decoder reads few positions, and what the others hold would
not matter to it; with this, it is 0."""
LENGTH = 7  # <start>, five words, <end>


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
    parameters = [*trained, *classifier.parameters()]
    rng = torch.Generator().manual_seed(seed)
    test_images, test_labels = dataset(300, TEST + 1)

    def loss_of(rows: Tensor) -> Tensor:
        x, classes = features[rows].float(), labels[rows]
        x = x * (1 + 0.1 * torch.randn(x.shape[:2], generator=rng)[:, :, None, None])
        ids = captions[classes[:, 0], classes[:, 1]]
        present = torch.zeros(len(x), len(toybox.CLASSES) + 1).scatter(1, classes % (len(toybox.CLASSES) + 1), 1.0)
        grid = network.encoder.layer4(x)
        logits = network.decode(network.read(x, grid), ids[:, :-1])
        pooled = classifier(grid.mean((2, 3)))
        loss = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)
        loss = loss + 0.5 * binary_cross_entropy_with_logits(pooled, present[:, :-1])
        return loss + SPARSITY * grid.mean()

    network.eval()
    network.encoder.layer4.train()
    for epoch, loss, seconds in training_epochs(
        parameters,
        loss_of,
        rng,
        n=len(features),
        n_per_epoch=scenes,
        batch=batch,
        epochs=epochs,
        rate=rate,
        decay=0.05,
        warm_up=0.15,
    ):
        right = accuracy(network, test_images, test_labels)
        log(f"epoch {epoch}/{epochs} loss {loss:.3f} captions {right:.3f} {seconds:.0f} s")
        save(network.eval(), seed, f"toybox captions, {scenes} scenes and mirrored, epoch {epoch} of {epochs}", right)
        network.encoder.layer4.train()
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
    write_weights(
        FILE,
        network,
        classes=toybox.CLASSES,
        seed=seed,
        script="train_toybox_captioner.py",
        note=note,
        metrics={"test_accuracy": right},
    )


def evaluate() -> None:
    """Log the caption accuracy of the stored weights on 1000 fresh scenes with one and with two objects."""
    from camlucida.models.captions.toybox import load_captioner

    network, _ = load_captioner()
    images, labels = dataset(1000, TEST + 2)
    for name, rows in (("one object", labels[:, 1] < 0), ("two objects", labels[:, 1] >= 0)):
        right = accuracy(network, images[rows], labels[rows])
        log(f"{name}: the whole caption is right in {right:.4f} of {int(rows.sum())} fresh scenes")
    log(f"{FILE.name} {FILE.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    given = argument_parser(__doc__, scenes=6_000, epochs=10).parse_args()
    torch.set_num_threads(1)
    if not given.evaluate:
        log(f"seed {given.seed}, {given.scenes} scenes, {given.epochs} epochs, torch {torch.__version__}")
        train(given.seed, given.scenes, given.epochs)
    evaluate()


if __name__ == "__main__":
    main()
