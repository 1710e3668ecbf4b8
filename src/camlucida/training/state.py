"""Where a training is: all that is needed to go on in the middle of an epoch and come to the same weights."""

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

MAGIC = b"CLdigest"
"""Stands between what torch wrote and its digest: torch itself does not notice a bit that has flipped."""
DIGEST_BYTES = 32
"""Bytes of the digest."""


@dataclass
class TrainingState:
    """What has happened so far.

    epoch    that is being learned in: 0, 1, …
    batch    of it that comes next
    loss     summed over the pictures of this epoch so far; `correct` of `seen` were right
    rows     a row of numbers for each epoch that is over
    best     the row whose weights are kept; None before the first
    seconds  of training so far, in all sittings
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
        self.epoch, self.batch, self.loss, self.correct, self.n_images = self.epoch + 1, 0, 0.0, 0, 0

    def is_over(self, epochs: int, patience: int | None) -> bool:
        """Whether there is no epoch left, or no hope of a better one."""
        epochs_since_best = 0 if self.best is None else self.epoch - self.best["epoch"]
        return self.epoch >= epochs or (patience is not None and epochs_since_best >= patience)


def save(file: Path, state: TrainingState, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write everything, with the random generators, whole or not at all."""
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
    """Go back to what a file holds; None if there is none. Runs no code that the file brings."""
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
            f"the training cannot go on from {file} ({' '.join(str(error).split())[:120]}). Delete it to begin again."
        ) from None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _read_verified(file: Path) -> bytes:
    """Return what torch wrote; `ValueError` where it is not as it was written."""
    stored = file.read_bytes()
    content, trailer = stored[: -DIGEST_BYTES - len(MAGIC)], stored[-DIGEST_BYTES - len(MAGIC) :]
    if trailer != MAGIC + _digest(content):
        raise ValueError("it is cut off or damaged")
    return content
