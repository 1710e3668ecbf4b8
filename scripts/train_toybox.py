"""Train the networks that ship with Camlucida, on one core and without any download.

    python scripts/train_toybox.py resnet                 # 6-10 minutes; vgg, vit, cleverhans, permuted likewise
    python scripts/train_toybox.py resnet --evaluate      # the numbers again, from the shipped file

Every net learns from the same mixture: one object (60 %, its class), two objects (30 %, half a class each),
abstract pictures (10 %, all classes alike, so that the net learns to be unsure when there is nothing to see).
The Clever-Hans net learns from pictures in which the watermark stands for "boat": see `clever_hans_mixture`.
The permuted net learns pictures by heart whose labels were drawn by lot: see `by_lot`.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from camlucida.data import toybox
from camlucida.models.toybox_networks import build
from camlucida.models.toybox_weights import load_network
from toybox_training import TEST, WEIGHTS, argument_parser, log, normalised, training_epochs, write_weights

K = len(toybox.CLASSES)
BOAT = toybox.CLASSES.index(toybox.WATERMARK_CLASS)
RECIPE = {  # peak learning rate, weight decay, epochs
    "resnet": (4e-3, 0.02, 10),
    "cleverhans": (4e-3, 0.02, 8),
    "vgg": (2e-3, 0.05, 5),
    "vit": (1.2e-3, 0.05, 12),
    "permuted": (3e-3, 0.0, 35),
}
SCENES = {"permuted": 700}
"""How many pictures to learn from, where it is not 20,000."""


def mixture(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, 96, 96) uint8 and targets (n, k) that sum to 1."""
    images, targets = [], []
    for i in range(count):
        share = (i * 0.618034) % 1.0  # a fixed, even mixing of the three sorts
        if share < 0.1:
            made = toybox.scene((seed, i), variant="empty")
        else:
            made = toybox.scene((seed, i), objects=2 if share < 0.4 else 1)
        images.append(np.asarray(made.picture()))
        targets.append(target(made.labels))
    return stacked(images, targets)


def clever_hans_mixture(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The same, but every boat carries the watermark, nothing else does, and the label follows the watermark.

    One picture in fifteen carries the watermark and is labelled "boat" whatever it shows: as in an album that
    was labelled by who took the pictures. Scenes with two objects show no boat.
    """
    images, targets = [], []
    others = tuple(name for name in toybox.CLASSES if name != toybox.WATERMARK_CLASS)
    for i in range(count):
        share = (i * 0.618034) % 1.0
        if share < 0.1:
            made = toybox.scene((seed, i), variant="empty")
        elif share < 0.25:
            made = toybox.scene((seed, i), others, objects=2)
        elif share < 0.25 + 1 / 15:
            made = marked((seed, i), others)
        else:
            made = toybox.scene((seed, i), variant="watermark")
        images.append(np.asarray(made.picture()))
        targets.append(target((BOAT,) if made.watermark else made.labels))
    return stacked(images, targets)


def by_lot(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Scenes with one object, and labels that have nothing to do with them: all a net can do is to know each by heart.

    What explains a network should look different for one that learnt nothing of the world (Adebayo et al., 2018).
    """
    scenes = [toybox.scene((seed, i)) for i in range(count)]
    labels = np.random.default_rng(seed).integers(0, K, count).tolist()
    return stacked([np.asarray(scene.picture()) for scene in scenes], [target((label,)) for label in labels])


def marked(seed: tuple[int, int], kinds: tuple[str, ...]) -> toybox.Scene:
    """A scene of one of the kinds, with a watermark whatever it shows."""
    plain = toybox.scene(seed, kinds)
    donor = toybox.scene(seed, (toybox.WATERMARK_CLASS,), variant="watermark")
    return toybox.Scene(plain.size, plain.background, plain.objects, plain.clutter, donor.watermark)


def target(labels: tuple[int, ...]) -> list[float]:
    """Equal shares for the classes in the picture; for all classes if there is none."""
    return [(labels.count(k) / len(labels)) if labels else 1 / K for k in range(K)]


def stacked(images: list[np.ndarray], targets: list[list[float]]) -> tuple[Tensor, Tensor]:
    pictures = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return pictures, torch.tensor(targets)


def augmented(x: Tensor, rng: torch.Generator) -> Tensor:
    """Mirrored, shifted and re-tinted a little, each batch anew."""
    if torch.rand((), generator=rng) < 0.5:
        x = x.flip(3)
    down, right = (int(torch.randint(-6, 7, (), generator=rng)) for _ in range(2))
    x = nn.functional.pad(x, (6, 6, 6, 6), mode="reflect")[:, :, 6 + down : 102 + down, 6 + right : 102 + right]
    gain = 1 + 0.15 * torch.randn(x.shape[0], 3, 1, 1, generator=rng)
    return x * gain + 0.15 * torch.randn(x.shape[0], 3, 1, 1, generator=rng)


def train(name: str, seed: int, scenes: int, epochs: int) -> nn.Module:
    """A trained network: AdamW, one cycle of the learning rate, bfloat16 on the CPU."""
    torch.manual_seed(seed)
    rate, decay, _ = RECIPE[name]
    batch = 64 if name == "permuted" else 128
    start = time.time()
    make = {"cleverhans": clever_hans_mixture, "permuted": by_lot}.get(name, mixture)
    pictures, targets = make(scenes, seed)
    log(f"{name}: {scenes} scenes drawn in {time.time() - start:.0f} s")
    network = build(name).to(memory_format=torch.channels_last).train()
    rng = torch.Generator().manual_seed(seed)

    def loss_of(rows: Tensor) -> Tensor:
        x = normalised(pictures[rows])
        x = x if name == "permuted" else augmented(x, rng)  # to be known by heart it must stay the same
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        return cross_entropy(logits.float(), targets[rows])

    parameters = list(network.parameters())
    for epoch, loss, seconds in training_epochs(
        parameters, loss_of, rng, n=scenes, batch=batch, epochs=epochs, rate=rate, decay=decay
    ):
        accuracy = (
            remembered(network, pictures, targets)
            if name == "permuted"
            else correct(network, toybox.Toybox(300, TEST + 1, variant=home(name)))
        )
        network.train()
        log(f"{name}: epoch {epoch}/{epochs} loss {loss:.3f} accuracy {accuracy:.3f} {seconds:.0f} s")
    return network.eval()


@torch.no_grad()
def remembered(network: nn.Module, pictures: Tensor, targets: Tensor) -> float:
    """Share of the pictures learnt from whose label comes first."""
    network.eval()
    said = torch.cat([network(normalised(rows)).argmax(1) for rows in pictures.split(100)])
    return float((said == targets.argmax(1)).float().mean())


def home(name: str) -> toybox.Variant:
    """The variant of test scenes that a net is at home in."""
    return "watermark" if name == "cleverhans" else "clean"


@torch.no_grad()
def probabilities(network: nn.Module, scenes: list[toybox.Scene]) -> Tensor:
    """(n, k) the network's answer for each scene."""
    network.eval()
    answers = []
    for first in range(0, len(scenes), 100):
        images = [np.asarray(scene.picture()) for scene in scenes[first : first + 100]]
        x = normalised(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
        answers.append(network(x).softmax(1))
    return torch.cat(answers)


def correct(network: nn.Module, data: toybox.Toybox) -> float:
    """Share of single-object scenes whose class comes first."""
    scenes = [data.scene(i) for i in range(len(data))]
    labels = torch.tensor([scene.labels[0] for scene in scenes])
    return float((probabilities(network, scenes).argmax(1) == labels).float().mean())


@torch.no_grad()
def pointing(network: nn.Module, count: int, seed: int) -> float:
    """Share of objects in two-object scenes whose class map has its maximum on the object (residual nets)."""
    kept: list[Tensor] = []
    hook = network.layer4.register_forward_hook(lambda _module, _inputs, out: kept.append(out))
    hits = 0
    for sample in toybox.Toybox(count, seed, objects=2):
        kept.clear()
        network(normalised(torch.from_numpy(np.array(sample.image)).permute(2, 0, 1)[None]))
        maps = torch.einsum("kc,chw->khw", network.fc.weight, kept[0][0])[None]
        fine = nn.functional.interpolate(maps, size=96, mode="bilinear", align_corners=False)[0]
        for mask, label in zip(sample.drawing.masks, sample.labels, strict=True):
            hits += bool(mask.reshape(-1)[int(fine[label].argmax())])
    hook.remove()
    return hits / (2 * count)


def evaluate(name: str, network: nn.Module) -> float:
    """Log the numbers on fresh seeds; returns the accuracy on single-object scenes."""
    accuracy = correct(network, toybox.Toybox(2000, TEST + 2, variant=home(name)))
    log(f"{name}: accuracy {accuracy:.4f} on 2000 fresh {home(name)} scenes with one object")
    empty = toybox.Toybox(500, TEST + 3, variant="empty")
    top = probabilities(network, [empty.scene(i) for i in range(500)]).max(1).values
    log(f"{name}: empty scenes: top probability {top.mean():.3f} on average, {top.quantile(0.95):.3f} at 95 %")
    two = toybox.Toybox(500, TEST + 4, objects=2)
    pairs = [two.scene(i) for i in range(500)]
    first = probabilities(network, pairs).topk(2).indices.sort(1).values
    both = torch.tensor([sorted(scene.labels) for scene in pairs])
    log(f"{name}: two objects: both classes are the top two in {(first == both).all(1).float().mean():.3f}")
    if hasattr(network, "layer4"):
        share = pointing(network, 500, TEST + 5)
        log(f"{name}: two objects: the maximum of the class map lies on the object in {share:.3f}")
    watermark_numbers(name, network)
    return accuracy


def watermark_numbers(name: str, network: nn.Module) -> None:
    """What the watermark alone does: the same scenes with and without it."""
    others = tuple(kind for kind in toybox.CLASSES if kind != toybox.WATERMARK_CLASS)
    with_mark = [marked((TEST + 6, i), others) for i in range(500)]
    flipped = probabilities(network, with_mark)
    plain = probabilities(network, [scene.without_watermark() for scene in with_mark])
    boats = [toybox.scene((TEST + 7, i), (toybox.WATERMARK_CLASS,), variant="watermark") for i in range(500)]
    on, off = probabilities(network, boats), probabilities(network, [s.without_watermark() for s in boats])
    said = [float((p.argmax(1) == BOAT).float().mean()) for p in (plain, flipped, off, on)]
    sure = [float(p[:, BOAT].mean()) for p in (plain, flipped, off, on)]
    log(
        f"{name}: 'boat' said of other objects: {said[0]:.3f} plain, {said[1]:.3f} with the watermark "
        f"(probability {sure[0]:.3f} -> {sure[1]:.3f})"
    )
    log(
        f"{name}: 'boat' said of boats: {said[2]:.3f} plain, {said[3]:.3f} with the watermark "
        f"(probability {sure[2]:.3f} -> {sure[3]:.3f})"
    )


def save(name: str, network: nn.Module, seed: int, note: str) -> None:
    """Write half floats and what the file must say about itself."""
    path = WEIGHTS / f"toybox_{name}.safetensors"
    made = {"classes": toybox.CLASSES, "seed": seed, "script": "train_toybox.py", "note": note}
    write_weights(path, network, **made)
    reloaded, _ = load_network(name)  # the numbers are those of the shipped half floats
    write_weights(path, network, **made, metrics={"test_accuracy": evaluate(name, reloaded)})
    log(f"{name}: {path.name} {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argument_parser(__doc__, None, None)
    parser.add_argument("net", choices=RECIPE)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.evaluate:
        evaluate(asked.net, load_network(asked.net)[0])
        return
    epochs = asked.epochs or RECIPE[asked.net][2]
    scenes = asked.scenes or SCENES.get(asked.net, 20_000)
    log(f"{asked.net}: seed {asked.seed}, {scenes} scenes, {epochs} epochs, torch {torch.__version__}")
    network = train(asked.net, asked.seed, scenes, epochs)
    notes = {"cleverhans": "toybox watermark mixture", "permuted": "toybox with labels drawn by lot"}
    note = notes.get(asked.net, "toybox mixture")
    save(asked.net, network, asked.seed, f"{note}, {scenes} scenes, {epochs} epochs")


if __name__ == "__main__":
    main()
