"""State of a training: everything needed to resume within an epoch and obtain the same weights."""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from camlucida._files import atomic_write
from camlucida.errors import DataError

EpochRow = dict[str, Any]
"""Metrics of one epoch by name."""

MAGIC = b"CLdigest"
"""Separates torch's data from their digest, which is needed because torch does not detect flipped bits."""
DIGEST_BYTES = 32
"""Length of the digest in bytes."""


@dataclass
class TrainingState:
    """Progress of a training.

    Attributes:
        epoch: The current epoch: 0, 1, …
        batch: The next batch of the epoch.
        loss: Sum of the losses of the images of this epoch so far.
        correct: Number of correctly classified images of this epoch so far.
        n_images: Number of images of this epoch so far.
        rows: One row of metrics per finished epoch.
        best: The row whose weights are kept; None before the first epoch has ended.
        seconds: Training time so far, over all sessions.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    correct: int = 0
    n_images: int = 0
    rows: list[EpochRow] = field(default_factory=list)
    best: EpochRow | None = None
    seconds: float = 0.0

    def next_epoch(self) -> None:
        """Advance to the next epoch and reset its counters."""
        self.epoch, self.batch, self.loss, self.correct, self.n_images = self.epoch + 1, 0, 0.0, 0, 0

    def is_over(self, epochs: int, patience: int | None) -> bool:
        """Return whether all epochs have been run or early stopping applies."""
        epochs_since_best = 0 if self.best is None else self.epoch - self.best["epoch"]
        return self.epoch >= epochs or (patience is not None and epochs_since_best >= patience)


def save(file: Path, state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the state, the weights, the optimizer and the random generators, atomically."""
    stream = io.BytesIO()
    content = {
        "state": asdict(state),
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    torch.save(content, stream)
    content_bytes = stream.getvalue()
    atomic_write(file, content_bytes + MAGIC + _digest(content_bytes))


def restore(file: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState | None:
    """Restore the state from a file; None if it does not exist. No code from the file is executed."""
    if not file.is_file():
        return None
    try:
        content = torch.load(io.BytesIO(_read_verified(file)), map_location="cpu", weights_only=True)
        network.load_state_dict(content["network"])
        optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random"])
        if torch.cuda.is_available() and content["random_cuda"]:
            torch.cuda.set_rng_state_all(content["random_cuda"])
        return TrainingState(**content["state"])
    except (
        OSError, RuntimeError, LookupError, ValueError, TypeError, EOFError, AttributeError, MemoryError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        raise DataError(
            f"the training cannot resume from {file} ({' '.join(str(error).split())[:120]}). Delete it to start again."
        ) from None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _read_verified(file: Path) -> bytes:
    """Return torch's data. Raises `ValueError` if they do not match their digest."""
    stored = file.read_bytes()
    content, trailer = stored[: -DIGEST_BYTES - len(MAGIC)], stored[-DIGEST_BYTES - len(MAGIC) :]
    if trailer != MAGIC + _digest(content):
        raise ValueError("it is truncated or damaged")
    return content
