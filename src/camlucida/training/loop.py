"""The loop: batches, epochs, validation; what it does at each point follows from the seed and its `State`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from camlucida.errors import DataError, ModelError
from camlucida.training import state as states
from camlucida.training.pictures import Batch, Pictures, chunks_of
from camlucida.training.schedule import rate
from camlucida.training.settings import Settings
from camlucida.training.splitting import Split
from camlucida.training.state import Row, State
from camlucida.training.thawing import thaw

TOP = 5

TrainingCallback = Callable[[int, int, int, float], None]
"""Called after each step with the epoch (1, 2, ...), the batch, the number of batches, and the epoch's loss so far."""


@dataclass(frozen=True)
class Job:
    """What learns from what.

    network     is changed
    pictures    of `split`, with their labels
    classes     how many there are
    device      to run on
    checkpoint  the file to go on from, and to write to
    save_every  seconds after which that is written in the middle of an epoch, too
    """

    network: nn.Module
    pictures: Pictures
    split: Split
    classes: int
    settings: Settings
    device: torch.device
    checkpoint: Path
    save_every: float


def learn(job: Job, after_epoch: Callable[[State], None], told: TrainingCallback | None = None) -> State:
    """All epochs that are still to come. `after_epoch` is called with the new row in, before the state is saved."""
    settings, network = job.settings, job.network
    network.to(device=job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimizer_of(network, settings)
    state = states.restore(job.checkpoint, network, optimizer) or State()
    begun = time.monotonic() - state.seconds
    while not state.over(settings.epochs, settings.patience):
        _epoch(job, state, optimizer, begun, told)
        state.rows.append({**_row(job, state), "seconds": round(time.monotonic() - begun, 1)})
        if state.best is None or _better(state.rows[-1], state.best):
            state.best = state.rows[-1]
        after_epoch(state)
        state.next_epoch()
        state.seconds = time.monotonic() - begun
        states.save(job.checkpoint, state, network, optimizer)
    return state


def optimizer_of(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Over all parameters; it leaves those alone that have no gradient."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    return torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay)


def _epoch(
    job: Job, state: State, optimizer: torch.optim.Optimizer, begun: float, told: TrainingCallback | None
) -> None:
    """The batches of one epoch that are still to come."""
    settings = job.settings
    rng = np.random.default_rng([settings.seed, state.epoch])
    chunks = chunks_of(rng.permutation(job.split.train).tolist(), settings.batch_size)
    steps, warmup = settings.epochs * len(chunks), round(settings.warmup * len(chunks))
    weight = class_weights(job)
    thaw(job.network, settings.train, state.epoch, settings.epochs)
    saved = time.monotonic()
    key = (settings.seed, state.epoch)
    for batch in job.pictures.batches(chunks[state.batch :], settings.augment, key):
        lr = rate(state.epoch * len(chunks) + state.batch, steps, settings.lr, settings.schedule, warmup)
        for group in optimizer.param_groups:
            group["lr"] = lr
        if batch is not None and (len(batch.labels) > 1 or settings.batch_size == 1):
            _step(job, state, optimizer, batch, weight)
        state.batch += 1
        if told:
            told(state.epoch + 1, state.batch, len(chunks), state.loss / max(state.seen, 1))
        if time.monotonic() - saved >= job.save_every:
            state.seconds = time.monotonic() - begun
            states.save(job.checkpoint, state, job.network, optimizer)
            saved = time.monotonic()
    if not state.seen:
        reasons = next(iter(job.pictures.broken.items()), None)
        why = f": {reasons[0]}: {reasons[1]}" if reasons else ""
        raise DataError(f"not one of the {len(job.split.train)} pictures to learn from could be read{why}")


def _step(job: Job, state: State, optimizer: torch.optim.Optimizer, batch: Batch, weight: Tensor | None) -> None:
    labels = batch.labels.to(job.device)
    logits = _logits(job, batch.inputs)
    loss = cross_entropy(logits, labels, weight, label_smoothing=job.settings.label_smoothing)
    value = loss.item()
    if not math.isfinite(value):
        raise ModelError(
            f"the loss became {value} in epoch {state.epoch + 1}, batch {state.batch + 1}: with a lower learning rate "
            f"than {job.settings.lr:g}, or with a warm-up, it may not."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    state.loss += value * len(labels)
    state.correct += int((logits.argmax(1) == labels).sum())
    state.seen += len(labels)


def _logits(job: Job, inputs: Tensor) -> Tensor:
    x = inputs.to(job.device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(job.device.type, torch.bfloat16, enabled=job.settings.precision == "bf16"):
        out: Tensor = job.network(x)
    return out.float()


def class_weights(job: Job) -> Tensor | None:
    """1 / how many pictures a class has, scaled so that the mean over pictures is 1; None where all count alike."""
    if job.settings.class_weights == "none":
        return None
    labels = torch.tensor([job.split.labels[i] for i in job.split.train])
    counts = torch.bincount(labels, minlength=job.classes)
    present = int((counts > 0).sum())
    return (len(labels) / (present * counts.clamp(min=1))).float().to(job.device)


def _row(job: Job, state: State) -> Row:
    """The numbers of the epoch that is over."""
    row: Row = {
        "epoch": state.epoch + 1,
        "loss": state.loss / state.seen,
        "accuracy": state.correct / state.seen,
        "pictures": state.seen,
    }
    return {**row, **validate(job, job.split.val)}


@torch.no_grad()
def validate(job: Job, indices: Sequence[int]) -> dict[str, float | None]:
    """Cross-entropy without smoothing or weights, the share that is right, and, with more than five classes, the share
    where the truth is among the five first. None where there is no picture."""
    job.network.eval()
    chunks = [list(indices[i : i + job.settings.batch_size]) for i in range(0, len(indices), job.settings.batch_size)]
    loss, right, near, seen = 0.0, 0, 0, 0
    for batch in job.pictures.batches(chunks):
        if batch is None:
            continue
        labels = batch.labels.to(job.device)
        logits = _logits(job, batch.inputs)
        loss += float(cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(1) == labels).sum())
        near += int((logits.topk(min(TOP, job.classes), 1).indices == labels[:, None]).any(1).sum())
        seen += len(labels)
    if not seen:
        return {"val_loss": None, "val_accuracy": None, "val_top5": None, "val_pictures": 0}
    return {
        "val_loss": loss / seen,
        "val_accuracy": right / seen,
        "val_top5": near / seen if job.classes > TOP else None,
        "val_pictures": seen,
    }


def _better(row: Row, best: Row) -> bool:
    """By validation accuracy, then by validation loss; without validation the last one counts."""
    if row["val_accuracy"] is None or best["val_accuracy"] is None:
        return True
    return bool((row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"]))
