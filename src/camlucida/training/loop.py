"""Training loop: batches, epochs and validation, determined by the seed and the `TrainingState`."""

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
from camlucida.training.data_loading import BatchLoader, LabelledBatch, split_into_batches
from camlucida.training.settings import Settings
from camlucida.training.split import DatasetSplit
from camlucida.training.state import EpochRow, TrainingState
from camlucida.training.unfreezing import unfreeze

TOP_K = 5
"""The k of top-k accuracy."""

TrainingCallback = Callable[[int, int, int, float], None]
"""Called after each step with the epoch (1, 2, ...), the batch, the number of batches, and the epoch's mean loss."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a training consists of.

    Attributes:
        network: The network, which is modified.
        images: Loads the images and their labels.
        split: Indices of the training and validation images.
        classes: Number of classes.
        settings: The hyperparameters.
        device: The device to train on.
        checkpoint: The file to resume from and to write to.
        save_every: Interval in seconds between checkpoints within an epoch.
    """

    network: nn.Module
    images: BatchLoader
    split: DatasetSplit
    classes: int
    settings: Settings
    device: torch.device
    checkpoint: Path
    save_every: float


def run_training(
    job: TrainingJob, after_epoch: Callable[[TrainingState], None], progress: TrainingCallback | None = None
) -> TrainingState:
    """Run the remaining epochs. `after_epoch` is called with the new row included, before the state is saved."""
    settings, network = job.settings, job.network
    network.to(device=job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, settings)
    state = states.restore(job.checkpoint, network, optimizer) or TrainingState()
    start_time = time.monotonic() - state.seconds
    while not state.is_over(settings.epochs, settings.patience):
        _run_epoch(job, state, optimizer, start_time, progress)
        state.rows.append({**_epoch_row(job, state), "seconds": round(time.monotonic() - start_time, 1)})
        if state.best is None or _is_better(state.rows[-1], state.best):
            state.best = state.rows[-1]
        after_epoch(state)
        state.next_epoch()
        state.seconds = time.monotonic() - start_time
        states.save(job.checkpoint, state, network, optimizer)
    return state


def make_optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Return an optimizer of all parameters; parameters without a gradient are not updated."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    return torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay)


def _run_epoch(
    job: TrainingJob,
    state: TrainingState,
    optimizer: torch.optim.Optimizer,
    start_time: float,
    progress: TrainingCallback | None,
) -> None:
    """Run the remaining batches of one epoch."""
    settings = job.settings
    rng = np.random.default_rng([settings.seed, state.epoch])
    chunks = split_into_batches(rng.permutation(job.split.train).tolist(), settings.batch_size)
    steps, warmup = settings.epochs * len(chunks), round(settings.warmup * len(chunks))
    weight = class_weights(job)
    unfreeze(job.network, settings.train, state.epoch, settings.epochs)
    last_save = time.monotonic()
    key = (settings.seed, state.epoch)
    for batch in job.images.batches(chunks[state.batch :], settings.augment, key):
        lr = learning_rate(state.epoch * len(chunks) + state.batch, steps, settings.lr, settings.schedule, warmup)
        for group in optimizer.param_groups:
            group["lr"] = lr
        if batch is not None and (len(batch.labels) > 1 or settings.batch_size == 1):
            _train_step(job, state, optimizer, batch, weight)
        state.batch += 1
        if progress:
            progress(state.epoch + 1, state.batch, len(chunks), state.loss / max(state.n_images, 1))
        if time.monotonic() - last_save >= job.save_every:
            state.seconds = time.monotonic() - start_time
            states.save(job.checkpoint, state, job.network, optimizer)
            last_save = time.monotonic()
    if not state.n_images:
        first_broken = next(iter(job.images.broken.items()), None)
        reason = f": {first_broken[0]}: {first_broken[1]}" if first_broken else ""
        raise DataError(f"none of the {len(job.split.train)} training images could be read{reason}")


def _train_step(
    job: TrainingJob,
    state: TrainingState,
    optimizer: torch.optim.Optimizer,
    batch: LabelledBatch,
    weight: Tensor | None,
) -> None:
    """Update the weights with one batch and add its loss to the state. Raises `ModelError` for a non-finite loss."""
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
    state.n_images += len(labels)


def _logits(job: TrainingJob, inputs: Tensor) -> Tensor:
    """Return the logits `(b, k)` of network inputs `(b, c, h, w)` in float32."""
    x = inputs.to(job.device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(job.device.type, torch.bfloat16, enabled=job.settings.precision == "bf16"):
        out: Tensor = job.network(x)
    return out.float()


def class_weights(job: TrainingJob) -> Tensor | None:
    """Return weights inverse to the class frequencies, with mean 1 over the images; None without class weights."""
    if job.settings.class_weights == "none":
        return None
    labels = torch.tensor([job.split.labels[i] for i in job.split.train])
    counts = torch.bincount(labels, minlength=job.classes)
    present = int((counts > 0).sum())
    return (len(labels) / (present * counts.clamp(min=1))).float().to(job.device)


def _epoch_row(job: TrainingJob, state: TrainingState) -> EpochRow:
    """Return the metrics of the epoch that has ended."""
    row: EpochRow = {
        "epoch": state.epoch + 1,
        "loss": state.loss / state.n_images,
        "accuracy": state.correct / state.n_images,
        "n_images": state.n_images,
    }
    return {**row, **validate(job, job.split.val)}


@torch.no_grad()
def validate(job: TrainingJob, indices: Sequence[int]) -> dict[str, float | None]:
    """Return cross-entropy, accuracy and, for more than five classes, top-5 accuracy.

    The cross-entropy is without label smoothing and class weights. The metrics are None if there are no images.
    """
    job.network.eval()
    chunks = [list(indices[i : i + job.settings.batch_size]) for i in range(0, len(indices), job.settings.batch_size)]
    loss, n_correct, n_top_k, n_images = 0.0, 0, 0, 0
    for batch in job.images.batches(chunks):
        if batch is None:
            continue
        labels = batch.labels.to(job.device)
        logits = _logits(job, batch.inputs)
        loss += float(cross_entropy(logits, labels, reduction="sum"))
        n_correct += int((logits.argmax(1) == labels).sum())
        n_top_k += int((logits.topk(min(TOP_K, job.classes), 1).indices == labels[:, None]).any(1).sum())
        n_images += len(labels)
    if not n_images:
        return {"val_loss": None, "val_accuracy": None, "val_top5": None, "n_val_images": 0}
    return {
        "val_loss": loss / n_images,
        "val_accuracy": n_correct / n_images,
        "val_top5": n_top_k / n_images if job.classes > TOP_K else None,
        "n_val_images": n_images,
    }


def _is_better(row: EpochRow, best: EpochRow) -> bool:
    """Compare by validation accuracy, then by validation loss; without validation, the latest epoch is the best."""
    if row["val_accuracy"] is None or best["val_accuracy"] is None:
        return True
    return bool((row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"]))


def learning_rate(step: int, steps: int, max_lr: float, schedule: str, warmup: int = 0) -> float:
    """Return the learning rate at a step.

    Args:
        step: The step: 0, 1, …, steps - 1.
        steps: The number of steps.
        max_lr: The highest learning rate.
        schedule: "constant", "cosine" (from `max_lr` to zero) or "step" (divided by 10 after each third).
        warmup: Number of steps in which the rate grows linearly from zero; the schedule applies to the remaining steps.
    """
    if step < warmup:
        return max_lr * (step + 1) / warmup
    progress = (step - warmup) / max(steps - warmup, 1)
    if schedule == "constant":
        return max_lr
    if schedule == "cosine":
        return max_lr * (1 + math.cos(math.pi * progress)) / 2
    if schedule == "step":
        return float(max_lr * 0.1 ** min(int(3 * progress + 1e-9), 2))
    raise DataError(f"unknown schedule {schedule!r}.")
