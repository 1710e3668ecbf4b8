"""Training of a model on a dataset, written to a folder that `load` opens; an interrupted training resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from camlucida.attribution.reproduction import versions
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError, ModelError
from camlucida.models.devices import AUTO, resolve_device
from camlucida.models.heads import Head
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.preprocessing import Fit
from camlucida.models.small_cnn import NAME
from camlucida.models.trained_run import ModelCard, read_model_card
from camlucida.options import Count, checked_arguments
from camlucida.training.data_loading import BatchLoader
from camlucida.training.initial_model import build_initial
from camlucida.training.loop import TrainingCallback, TrainingJob, run_training
from camlucida.training.run_folder import RunFolder
from camlucida.training.settings import Settings, settings_of
from camlucida.training.split import DatasetSplit, split_dataset
from camlucida.training.state import EpochRow, TrainingState
from camlucida.training.tensorboard import require_tensorboard
from camlucida.training.training_data import open_training_data

SAVE_EVERY_S = 60.0
"""Default interval in seconds between checkpoints within an epoch."""


@dataclass(frozen=True)
class Training:
    """A finished training in its folder.

    Attributes:
        path: The folder; `load(path)` returns the model.
        remarks: Irregularities of the data, one sentence each.
        arch: The architecture passed to `train`; a folder whose record names another one is not trusted.
    """

    path: Path
    remarks: tuple[str, ...] = ()
    arch: str | None = None

    @property
    def model(self) -> Model:
        """Return the model with the best weights."""
        return load(self.path, trust_code=self.arch is not None and read_model_card(self.path).arch == self.arch)

    @property
    def rows(self) -> list[EpochRow]:
        """Return one row of metrics per epoch."""
        return RunFolder(self.path).read_metrics()

    @property
    def best(self) -> EpochRow:
        """Return the row of the epoch whose weights are kept."""
        number = read_model_card(self.path).results["best_epoch"]
        return next(row for row in self.rows if row["epoch"] == number)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Return (name, reason) of the images that were not used."""
        return [(row["image"], row["reason"]) for row in RunFolder(self.path).read_table("skipped.csv")]

    @property
    def finished(self) -> bool:
        """Return whether all epochs have been run."""
        return bool(read_model_card(self.path).results["finished"])


@checked_arguments(DataError)
def train(
    data: Dataset | str | Path,
    *,
    arch: str = NAME,
    out: str | Path,
    head: Head = "linear",
    weights: str | Path | None = None,
    pretrained: bool = True,
    size: int | tuple[int, int] | None = None,
    fit: Fit | None = None,
    boxes: str | Path | None = None,
    limit: Count | None = None,
    keep_epochs: bool = False,
    tensorboard: bool = False,
    device: str | torch.device = AUTO,
    trust_code: bool = False,
    save_every: float = SAVE_EVERY_S,
    progress: TrainingCallback | None = None,
    **settings: Any,
) -> Training:
    """Train an image classifier on a dataset.

    The weights with the best validation result are written to model.safetensors, the latest ones to last.safetensors.
    On a CPU, the same call gives bit-identical weights, even if it was killed and called again. The random generators
    of the caller are unmodified. Unreadable images are listed in skipped.csv.

    Args:
        data: A dataset, or a specification for `open_dataset`.
        arch: "small", a network to train from scratch, or a backbone: resnet50, timm:…, toybox:vgg, python:…
        out: The folder to write to. If it contains the same training, that training is resumed.
        head: "linear" for a new last layer; "gap" for global average pooling and a linear layer after the feature grid,
            so that CAM applies.
        weights: A file with the weights of the backbone; by default the pretrained ones.
        pretrained: Whether to start from pretrained instead of random weights.
        size: Side of the square network input in pixels, or `(height, width)`; by default that of the weights.
        fit: How an image is fitted to the network input: "crop", "squash" or "letterbox", see `Preprocessing`; by
            default as for the weights. It is written into model.json, so that the trained model uses it, too.
        boxes: For a folder: a CSV file with bounding boxes, as for `open_dataset`.
        limit: Number of images, drawn at random; by default all (6000 scenes of the toybox).
        keep_epochs: Whether to keep the weights after every epoch, as epochs/001.safetensors, and those before the
            first.
        tensorboard: Whether to write the metrics for TensorBoard to tensorboard/ (extra `tensorboard`).
        device: As of `load`; by default the GPU if there is one.
        trust_code: Whether `arch` may be a run that names any architecture; see `load`.
        save_every: Interval in seconds between checkpoints within an epoch.
        progress: Called with epoch, batch, number of batches and loss after each step.
        **settings: Fields of `Settings`: train, epochs, batch_size, lr, optimizer, … The default of `train` is
            "head" for a pretrained backbone, otherwise "all".

    Returns:
        The training, with its model, metrics and skipped images.

    Raises:
        DataError: If the data cannot be trained on, or the folder contains something else.
        ModelError: If the model cannot be built, or the loss is not finite.
        MissingExtra: If an optional dependency is not installed.
    """
    if tensorboard:
        require_tensorboard()
    is_pretrained = weights is not None or (pretrained and arch != NAME)
    training_settings = settings_of({"train": "head" if is_pretrained else "all", **settings})
    dataset, source = open_training_data(data, boxes, limit, training_settings.seed)
    data_split = split_dataset(dataset, training_settings.val, training_settings.seed)
    torch_device = resolve_device(device)
    with torch.random.fork_rng():
        model = build_initial(
            arch,
            dataset.classes,
            head=head,
            weights=weights,
            pretrained=pretrained,
            size=size,
            fit=fit,
            seed=training_settings.seed,
            trust_code=trust_code,
        )
        folder = RunFolder(Path(out).expanduser())
        data_record = {
            "name": dataset.name,
            "hash": data_split.data,
            "train": len(data_split.train),
            "val": len(data_split.val),
            **source,
        }
        card = ModelCard(
            arch,
            head,
            dataset.classes,
            model.preprocessing,
            data_record,
            {**training_settings.as_json(), "initial_weights": _describe_start(arch, weights, is_pretrained)},
            versions=versions(),
        )
        with folder.lock():
            folder.begin(_plan(card, model))
            if not _is_finished(folder):
                _run(
                    folder,
                    model,
                    card,
                    dataset,
                    data_split,
                    training_settings,
                    torch_device,
                    keep_epochs,
                    tensorboard,
                    save_every,
                    progress,
                )
    return Training(folder.path, data_split.remarks, arch)


def _plan(card: ModelCard, model: Model) -> dict[str, Any]:
    """Return everything that determines the weights; equal plans give equal weights."""
    return {
        "arch": card.arch,
        "head": card.head,
        "data": card.data["hash"],
        "start": model.weights_hash,
        **card.preprocessing.record(),
        "settings": {key: value for key, value in card.training.items() if key != "initial_weights"},
    }


def _describe_start(arch: str, weights: str | Path | None, pretrained: bool) -> str:
    if weights is not None:
        return Path(weights).name
    return f"the weights of {arch}" if pretrained else "random weights"


def _is_finished(folder: RunFolder) -> bool:
    try:
        return bool(read_model_card(folder.path).results.get("finished"))
    except ModelError:  # no epoch has ended yet
        return False


def _run(
    folder: RunFolder,
    model: Model,
    card: ModelCard,
    dataset: Dataset,
    data_split: DatasetSplit,
    settings: Settings,
    device: torch.device,
    keep_epochs: bool,
    tensorboard: bool,
    save_every: float,
    progress: TrainingCallback | None,
) -> None:
    images = BatchLoader(dataset, data_split.labels, model.preprocessing)
    job = TrainingJob(
        model.network,
        images,
        data_split,
        len(dataset.classes),
        settings,
        device,
        folder.checkpoint,
        save_every,
    )
    folder.write_table("split.csv", ("image", "split"), data_split.rows())
    if keep_epochs and not folder.checkpoint.exists():
        folder.save_epoch_weights(model.network, 0)

    def after_epoch(state: TrainingState) -> None:
        folder.write_table("skipped.csv", ("image", "reason"), [*data_split.skipped, *sorted(images.broken.items())])
        folder.write_metrics(state, f"{card.arch} on {dataset.name}")
        if tensorboard:
            folder.write_events(state)
        if keep_epochs:
            folder.save_epoch_weights(model.network, state.epoch + 1)
        folder.save_weights(model.network, state)
        _write_card(folder, card, state, finished=False)

    state = run_training(job, after_epoch, progress)
    _write_card(folder, card, state, finished=True)
    folder.checkpoint.unlink(missing_ok=True)


def _write_card(folder: RunFolder, card: ModelCard, state: TrainingState, finished: bool) -> None:
    best: Mapping[str, Any] = state.best or {}
    results = {
        "finished": finished,
        "epochs": len(state.rows),
        "best_epoch": best.get("epoch"),
        **{key: best.get(key) for key in ("loss", "accuracy", "val_loss", "val_accuracy", "val_top5")},
    }
    replace(card, results=results).write(folder.path)
