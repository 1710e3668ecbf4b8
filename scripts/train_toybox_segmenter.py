"""Train the segmentation network that ships with Camlucida, on one core and without any download.

    python scripts/train_toybox_segmenter.py              # about 20 minutes
    python scripts/train_toybox_segmenter.py --evaluate   # the numbers again, from the shipped file

It learns from the exact masks of scenes with one object (40 %), two (50 %) and none (10 %).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from camlucida.data import toybox
from camlucida.models.toybox_segmenter import N_CLASSES, ToyUNet
from toybox_training import TEST, WEIGHTS, argument_parser, log, normalised, training_epochs, write_weights

NAME = "segmenter"
CLASSES = ("background", *toybox.CLASSES)
RATE, DECAY, BATCH = 4e-3, 0.02, 32


def ground_truth(drawing: toybox.Drawing, labels: tuple[int, ...]) -> np.ndarray:
    """Return the class of every pixel `(h, w)`: 0 for the background, else 1 + the index into `toybox.CLASSES`."""
    truth = np.zeros(drawing.masks.shape[1:] if len(labels) else (96, 96), np.uint8)
    for mask, label in zip(drawing.masks, labels, strict=True):
        truth[mask] = 1 + label
    return truth


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return images (n, 3, 96, 96), uint8, and classes of their pixels (n, 96, 96), uint8."""
    images, truths = [], []
    for i in range(count):
        part = (i * 0.618034) % 1.0
        scene = (
            toybox.scene((seed, i), variant="empty")
            if part < 0.1
            else toybox.scene((seed, i), objects=2 if part < 0.6 else 1)
        )
        drawing = scene.draw()
        images.append(np.asarray(drawing.image))
        truths.append(ground_truth(drawing, scene.labels))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(np.stack(truths))


def augmented(x: Tensor, truth: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a batch mirrored and recoloured at random; masks are mirrored with it."""
    if torch.rand((), generator=rng) < 0.5:
        x, truth = x.flip(3), truth.flip(2)
    gain = 1 + 0.15 * torch.randn(x.shape[0], 3, 1, 1, generator=rng)
    return x * gain + 0.15 * torch.randn(x.shape[0], 3, 1, 1, generator=rng), truth


def train(seed: int, count: int, epochs: int) -> nn.Module:
    """Return the trained network: AdamW, one cycle of the learning rate."""
    torch.manual_seed(seed)
    images, truths = scenes(count, seed)
    network = ToyUNet().to(memory_format=torch.channels_last).train()
    rng = torch.Generator().manual_seed(seed)

    def loss_of(rows: Tensor) -> Tensor:
        x, truth = augmented(normalised(images[rows]), truths[rows].long(), rng)
        return cross_entropy(network(x.contiguous(memory_format=torch.channels_last)), truth)

    parameters = list(network.parameters())
    for epoch, loss, seconds in training_epochs(
        parameters, loss_of, rng, n=count, batch=BATCH, epochs=epochs, rate=RATE, decay=DECAY
    ):
        miou = float(np.nanmean(iou(network, 100, TEST + 1)))
        network.train()
        log(f"{NAME}: epoch {epoch}/{epochs} loss {loss:.4f} mIoU {miou:.3f} {seconds:.0f} s")
        save(network, seed, f"toybox masks, {count} scenes, {epoch} of {epochs} epochs")
    return network.eval()


@torch.no_grad()
def iou(network: nn.Module, count: int, seed: int) -> np.ndarray:
    """Return the intersection over union of each class `(11,)` over all pixels of scenes never trained on."""
    network.eval()
    images, truths = scenes(count, seed)
    confusion = np.zeros((N_CLASSES, N_CLASSES))
    for x, truth in zip(images.split(50), truths.split(50), strict=True):
        predicted = network(normalised(x)).argmax(1)
        pairs = truth.long().flatten() * N_CLASSES + predicted.flatten()
        confusion += torch.bincount(pairs, minlength=N_CLASSES**2).reshape(N_CLASSES, N_CLASSES).numpy()
    both = np.diag(confusion)
    result: np.ndarray = both / (confusion.sum(0) + confusion.sum(1) - both)
    return result


def evaluate(network: nn.Module) -> float:
    """Log the numbers on 1000 new scenes; return the mIoU over the 11 classes."""
    values = iou(network, 1000, TEST + 2)
    named = ", ".join(f"{name} {value:.3f}" for name, value in zip(CLASSES, values, strict=True))
    log(f"{NAME}: mIoU {np.nanmean(values):.4f} on 1000 new scenes: {named}")
    return float(np.nanmean(values))


def save(network: nn.Module, seed: int, note: str, miou: float | None = None) -> None:
    """Write half-precision weights and the metadata."""
    write_weights(
        WEIGHTS / f"toybox_{NAME}.safetensors",
        network,
        classes=CLASSES,
        seed=seed,
        script="train_toybox_segmenter.py",
        note=note,
        metrics=None if miou is None else {"test_miou": miou},
    )


def main() -> None:
    asked = argument_parser(__doc__, scenes=5000, epochs=12).parse_args()
    torch.set_num_threads(1)
    from camlucida.models.toybox_weights import load_network

    if asked.evaluate:
        evaluate(load_network(NAME)[0])
        return
    log(f"{NAME}: seed {asked.seed}, {asked.scenes} scenes, {asked.epochs} epochs, torch {torch.__version__}")
    network = train(asked.seed, asked.scenes, asked.epochs)
    note = f"toybox masks, {asked.scenes} scenes, {asked.epochs} epochs"
    save(network, asked.seed, note)
    shipped, _ = load_network(NAME)  # the numbers are those of the shipped half-precision weights
    save(network, asked.seed, note, evaluate(shipped))


if __name__ == "__main__":
    main()
