"""train(): from a data set to a folder with a model that `load` opens; interrupted, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from camlucida.attribution.explain import versions
from camlucida.data.datasets import Dataset, ListDataset, check_dataset, sample_indices, subset
from camlucida.data.open import check_recorded_spec, open_dataset
from camlucida.errors import DataError, ModelError
from camlucida.models.heads import Head
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.small_cnn import NAME
from camlucida.models.trained_run import MODEL_CARD_FILE, TRUST_HINT, ModelCard, read_model_card
from camlucida.options import Count, checked_arguments, shown
from camlucida.training.data_loading import BatchLoader
from camlucida.training.initial_model import build_initial
from camlucida.training.loop import TrainingCallback, TrainingJob, run_training
from camlucida.training.run_folder import RunFolder
from camlucida.training.settings import Settings, settings_of
from camlucida.training.split import DatasetSplit, split_dataset
from camlucida.training.state import EpochRow, TrainingState
from camlucida.training.tensorboard import require_tensorboard

N_TOYBOX_SCENES = 6000
"""How many scenes of toybox are drawn to learn from, unless asked otherwise."""

TOYBOX_SEED_OFFSET = 1_000_000
"""Added to the seed of toybox's scenes, so that `evaluate` and `explain` do not show those that were learned from."""

SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class Training:
    """A folder that was trained in.

    path     load(path) opens the model
    remarks  sentences about what is odd with the data
    arch     what the caller of `train` named; a record that names another one is not trusted
    """

    path: Path
    remarks: tuple[str, ...] = ()
    arch: str | None = None

    @property
    def model(self) -> Model:
        """With the best weights."""
        return load(self.path, trust_code=self.arch is not None and read_model_card(self.path).arch == self.arch)

    @property
    def rows(self) -> list[EpochRow]:
        """A row of numbers an epoch."""
        return RunFolder(self.path).read_metrics()

    @property
    def best(self) -> EpochRow:
        """The row of the epoch whose weights are kept."""
        number = read_model_card(self.path).results["best_epoch"]
        return next(row for row in self.rows if row["epoch"] == number)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of the pictures that were not learned from."""
        return [(row["picture"], row["reason"]) for row in RunFolder(self.path).read_table("skipped.csv")]

    @property
    def finished(self) -> bool:
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
    size: Count | None = None,
    boxes: str | Path | None = None,
    limit: Count | None = None,
    keep_epochs: bool = False,
    tensorboard: bool = False,
    device: str | None = None,
    trust_code: bool = False,
    save_every: float = SAVE_EVERY_S,
    progress: TrainingCallback | None = None,
    **settings: Any,
) -> Training:
    """Train a network to tell the classes of a data set apart.

    data        a data set, or what `open_dataset` understands
    arch        small, a network to train from nothing; or a backbone: resnet50, timm:…, toybox:vgg, python:…
    out         the folder to write to; a training that lies there is gone on with, if it is the same
    head        linear: a new last layer; gap: global average and a linear layer behind the grid, so that CAM applies
    weights     a file with the backbone's weights; otherwise those of its name
    pretrained  False to begin with random weights
    size        side of the square input; that of the weights if not given
    boxes       for a folder: a CSV file, as of `open_dataset`
    limit       how many pictures, drawn at random; all if not given (6000 scenes of toybox)
    keep_epochs also keep the weights after every epoch, as epochs/001.safetensors, and those before the first
    tensorboard also write the numbers of each epoch for TensorBoard, to tensorboard/ (extra `tensorboard`)
    device      cuda, cpu; the GPU if there is one
    trust_code  of `load`: where `arch` is a run that you trust
    save_every  seconds after which a checkpoint is written within an epoch, too
    progress    told epoch, batch, batches and loss after each step
    settings    as of `Settings`: train, epochs, batch_size, lr, optimizer, …; `train` is "head" if not given where the
                backbone is pretrained, else "all"

    The best weights by validation are model.safetensors, the last ones last.safetensors. On a CPU the same call gives
    the same weights, bit for bit, also when it was killed and called again. The caller's random generators stay as
    they are. Pictures that cannot be read are listed in skipped.csv. Raises `DataError`, `ModelError`,
    `MissingExtra`.
    """
    if tensorboard:
        require_tensorboard()
    is_pretrained = weights is not None or (pretrained and arch != NAME)
    training_settings = settings_of({"train": "head" if is_pretrained else "all", **settings})
    dataset, source = _open_data(data, boxes, limit, training_settings.seed)
    data_split = split_dataset(dataset, training_settings.val, training_settings.seed)
    torch_device = _device(device)
    with torch.random.fork_rng():
        model = build_initial(
            arch,
            dataset.classes,
            head=head,
            weights=weights,
            pretrained=pretrained,
            size=size,
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
            {**training_settings.as_json(), "begun_with": _describe_start(arch, weights, is_pretrained)},
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


def _device(name: str | None) -> torch.device:
    """The device of that name, or the GPU if there is one. Raises `ModelError` where nothing can be put on it."""
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if name is None else name
    try:
        device = torch.device(chosen)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"no device {shown(chosen)} to train on: {' '.join(str(error).split())[:120]}. Take cpu, or leave it out."
        ) from None
    return device


def validation_data(path: str | Path, *, trust_code: bool = False) -> Dataset:
    """The validation pictures of a training: what it did not learn from.

    Args:
        path: The folder of the training.
        trust_code: Whether its record may name data on another machine.

    Raises:
        DataError: If there is no training, or its data are not there (any more).
    """
    folder = RunFolder(Path(path).expanduser())
    record = folder.read()
    data = read_model_card(folder.path).data
    if not data.get("spec"):
        raise DataError(f"{folder.path} was trained on a data set made in Python: name the data to evaluate on.")
    seed = _recorded_seed(record, data, folder.path)
    if not trust_code:
        for spec in (data["spec"], data.get("boxes")):
            check_recorded_spec(spec, by=str(folder.path / MODEL_CARD_FILE), instead=TRUST_HINT)
    dataset, _ = _open_data(data["spec"], data.get("boxes"), data.get("limit"), seed)
    names = {row["picture"] for row in folder.read_table("split.csv") if row["part"] == "val"}
    if not names:
        raise DataError(f"{folder.path} was trained without validation pictures: name the data to evaluate on.")
    items = [item for item in (dataset[i] for i in range(len(dataset))) if item.name in names]
    if len(items) < len(names):
        raise DataError(
            f"of the {len(names)} validation pictures of {folder.path}, {len(names) - len(items)} are no longer in "
            f"{data['spec']}."
        )
    exact = bool(getattr(dataset, "exact", False))
    return ListDataset(f"{dataset.name}, validation", items, dataset.classes, exact)


def _recorded_seed(record: Mapping[str, Any], data: Mapping[str, Any], path: Path) -> int:
    """Return the seed in a record whose fields have the types that they must have; `DataError` where they do not."""
    try:
        seed: Any = record["training"]["settings"]["seed"]
    except (KeyError, TypeError):
        seed = None
    limit, boxes = data.get("limit"), data.get("boxes")
    if not (isinstance(seed, int) and isinstance(data["spec"], str)):
        raise DataError(f"{path} does not say in a way that can be read what it was trained on: name the data.")
    if not (isinstance(limit, int | None) and isinstance(boxes, str | None)):
        raise DataError(f"{path} does not say in a way that can be read what it was trained on: name the data.")
    return seed


def _open_data(
    data: Dataset | str | Path, boxes: str | Path | None, limit: int | None, seed: int
) -> tuple[Dataset, dict[str, Any]]:
    """The data set, and how to open it again."""
    if not isinstance(data, str | Path):
        check_dataset(data)
        return (data if limit is None else subset(data, sample_indices(len(data), limit, seed))), {}
    spec = str(data)
    is_toybox = spec.partition(":")[0] == "toybox" and not Path(spec).exists()
    if is_toybox:
        dataset = open_dataset(spec, boxes=boxes, count=limit or N_TOYBOX_SCENES, seed=TOYBOX_SEED_OFFSET + seed)
    else:
        dataset = open_dataset(data, boxes=boxes)
        if limit is not None and limit < len(dataset):
            dataset = subset(dataset, sample_indices(len(dataset), limit, seed))
        spec = _absolute_spec(spec)
    return dataset, {"spec": spec, "boxes": None if boxes is None else str(Path(boxes).absolute()), "limit": limit}


def _absolute_spec(spec: str) -> str:
    """The same from any folder: stanford_dogs:dogs as stanford_dogs:/home/me/dogs."""
    kind, colon, rest = spec.partition(":")
    path = Path(spec).expanduser()
    if not path.exists() and colon and rest and Path(rest).expanduser().exists():
        return f"{kind}:{Path(rest).expanduser().absolute()}"
    return str(path.absolute()) if path.exists() else spec


def _plan(card: ModelCard, model: Model) -> dict[str, Any]:
    """What decides the weights: whoever has the same gets the same."""
    return {
        "arch": card.arch,
        "head": card.head,
        "data": card.data["hash"],
        "start": model.weights_hash,
        "size": list(card.preprocessing.size),
        "settings": {key: value for key, value in card.training.items() if key != "begun_with"},
    }


def _describe_start(arch: str, weights: str | Path | None, pretrained: bool) -> str:
    if weights is not None:
        return Path(weights).name
    return f"the weights of {arch}" if pretrained else "random weights"


def _is_finished(folder: RunFolder) -> bool:
    try:
        return bool(read_model_card(folder.path).results.get("finished"))
    except ModelError:  # not one epoch is over yet
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
    folder.write_table("split.csv", ("picture", "part"), data_split.rows())
    if keep_epochs and not folder.checkpoint.exists():
        folder.save_epoch_weights(model.network, 0)

    def after_epoch(state: TrainingState) -> None:
        folder.write_table("skipped.csv", ("picture", "reason"), [*data_split.skipped, *sorted(images.broken.items())])
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
    ModelCard(
        card.arch,
        card.head,
        card.classes,
        card.preprocessing,
        card.data,
        card.training,
        results,
        card.versions,
    ).write(folder.path)
