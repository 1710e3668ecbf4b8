"""What the scripts that train the built-in networks share: images, training loop, log and file of weights."""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "src/camlucida/models/weights"
LOG = ROOT / "scripts/train_toybox.log"
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
SIZE_PX = 96
TEST = 990_000  # seeds from here on are never trained on


def log(text: str, file: Path = LOG) -> None:
    """Print a line and append it to the log."""
    print(text, flush=True)
    with file.open("a") as stream:
        stream.write(text + "\n")


def normalised(images: Tensor) -> Tensor:
    """Return uint8 images as network inputs."""
    return (images.float() / 255 - MEAN[0]) / STD[0]


def training_epochs(
    parameters: Sequence[nn.Parameter],
    loss_of: Callable[[Tensor], Tensor],
    rng: torch.Generator,
    *,
    n: int,
    batch: int,
    epochs: int,
    rate: float,
    decay: float,
    n_per_epoch: int | None = None,
    warm_up: float = 0.2,
    clip: float = 1.0,
) -> Iterator[tuple[int, float, float]]:
    """Train with AdamW and one cycle of the learning rate; yield after each epoch.

    Args:
        parameters: The parameters that are trained.
        loss_of: Returns the loss of the rows with these indices.
        rng: Generator of the order of the rows.
        n: Number of rows.
        batch: Number of rows in a batch.
        epochs: Number of epochs.
        rate: Largest learning rate.
        decay: Weight decay.
        n_per_epoch: Number of rows in an epoch, sampled at random; None for all.
        warm_up: Fraction of the steps in which the learning rate increases.
        clip: Largest norm of the gradient.

    Yields:
        The number of the epoch, from 1; its mean loss; the seconds since the start.
    """
    n_batches = (n if n_per_epoch is None else n_per_epoch) // batch
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * n_batches, pct_start=warm_up)
    start = time.time()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows in torch.randperm(n, generator=rng)[: n_batches * batch].split(batch):
            loss = loss_of(rows)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()
            schedule.step()
            total += loss.item()
        yield epoch, total / n_batches, time.time() - start


def write_weights(
    path: Path,
    network: nn.Module,
    *,
    classes: Sequence[str],
    seed: int,
    script: str,
    note: str,
    metrics: dict[str, float] | None = None,
) -> None:
    """Write the weights in half precision, with metadata.

    Args:
        path: The file.
        network: The network.
        classes: Names of its classes.
        seed: Seed of the training.
        script: Name of the script in scripts/.
        note: What the network was trained on.
        metrics: Names and values measured on new scenes.
    """
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    metadata = {
        "architecture": type(network).__name__,
        "classes": json.dumps(classes),
        "input_size": str(SIZE_PX),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "seed": str(seed),
        "script": f"scripts/{script}",
        "commit": commit.stdout.strip() or "unknown",
        "trained_on": note,
        **{name: f"{value:.4f}" for name, value in (metrics or {}).items()},
    }
    path.parent.mkdir(exist_ok=True)
    save_file(state, path, metadata)


def argument_parser(doc: str | None, scenes: int | None, epochs: int | None) -> argparse.ArgumentParser:
    """Return the parser of the options that all scripts have, with the default number of scenes and of epochs."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=scenes, help="number of scenes to train on")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--evaluate", action="store_true", help="only measure the weights of the package")
    return parser
