"""train(): from a data set to a folder with a model that `load` opens; interrupted, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from camlucida.data.datasets import DataSet, Listed, check_dataset, spread, subset
from camlucida.data.sources import check_recorded, open_dataset
from camlucida.errors import DataError, ModelError
from camlucida.explaining import versions
from camlucida.models.heads import Head
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.runs import DESCRIPTION, TRUST, Description, described
from camlucida.models.small import NAME
from camlucida.options import Count, checked_arguments, shown
from camlucida.training.folder import Folder
from camlucida.training.loop import Job, TrainingCallback, learn
from camlucida.training.pictures import Pictures
from camlucida.training.settings import Settings, settings_of
from camlucida.training.splitting import Split, split
from camlucida.training.start import begun
from camlucida.training.state import Row, State
from camlucida.training.tensorboard import require_tensorboard

SCENES = 6000
"""How many scenes of toybox are drawn to learn from, unless asked otherwise."""

SCENES_SEED = 1_000_000
"""Added to the seed of toybox's scenes, so that `evaluate` and `explain` do not show those that were learned from."""

SAVE_EVERY = 60.0


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
        return load(self.path, trust_code=self.arch is not None and described(self.path).arch == self.arch)

    @property
    def rows(self) -> list[Row]:
        """A row of numbers an epoch."""
        return Folder(self.path).rows()

    @property
    def best(self) -> Row:
        """The row of the epoch whose weights are kept."""
        number = described(self.path).results["best_epoch"]
        return next(row for row in self.rows if row["epoch"] == number)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of the pictures that were not learned from."""
        return [(row["picture"], row["reason"]) for row in Folder(self.path).table("skipped.csv")]

    @property
    def finished(self) -> bool:
        return bool(described(self.path).results["finished"])


@checked_arguments(DataError)
def train(
    data: DataSet | str | Path,
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
    save_every: float = SAVE_EVERY,
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
    trained_before = weights is not None or (pretrained and arch != NAME)
    chosen = settings_of({"train": "head" if trained_before else "all", **settings})
    dataset, source = _opened(data, boxes, limit, chosen.seed)
    parts = split(dataset, chosen.val, chosen.seed)
    where = _device(device)
    with torch.random.fork_rng():
        model = begun(
            arch,
            dataset.classes,
            head=head,
            weights=weights,
            pretrained=pretrained,
            size=size,
            seed=chosen.seed,
            trust_code=trust_code,
        )
        folder = Folder(Path(out).expanduser())
        known = {"name": dataset.name, "hash": parts.data, "train": len(parts.train), "val": len(parts.val), **source}
        about = Description(
            arch,
            head,
            dataset.classes,
            model.preprocessing,
            known,
            {**chosen.record(), "begun_with": _beginning(arch, weights, trained_before)},
            versions=versions(),
        )
        with folder.alone():
            folder.begin(_plan(about, model))
            if not _finished(folder):
                _learn(
                    folder, model, about, dataset, parts, chosen, where, keep_epochs, tensorboard, save_every, progress
                )
    return Training(folder.path, parts.remarks, arch)


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


def held_out(path: str | Path, *, trust_code: bool = False) -> DataSet:
    """The validation pictures of a training: what it did not learn from.

    Args:
        path: The folder of the training.
        trust_code: Whether its record may name data on another machine.

    Raises:
        DataError: If there is no training, or its data are not there (any more).
    """
    folder = Folder(Path(path).expanduser())
    found = folder.read()
    data = described(folder.path).data
    if not data.get("spec"):
        raise DataError(f"{folder.path} was trained on a data set made in Python: name the data to evaluate on.")
    seed = _recorded_seed(found, data, folder.path)
    if not trust_code:
        for spec in (data["spec"], data.get("boxes")):
            check_recorded(spec, by=str(folder.path / DESCRIPTION), instead=TRUST)
    dataset, _ = _opened(data["spec"], data.get("boxes"), data.get("limit"), seed)
    names = {row["picture"] for row in folder.table("split.csv") if row["part"] == "val"}
    if not names:
        raise DataError(f"{folder.path} was trained without validation pictures: name the data to evaluate on.")
    items = [item for item in (dataset[i] for i in range(len(dataset))) if item.name in names]
    if len(items) < len(names):
        raise DataError(
            f"of the {len(names)} validation pictures of {folder.path}, {len(names) - len(items)} are no longer in "
            f"{data['spec']}."
        )
    exact = bool(getattr(dataset, "exact", False))
    return Listed(f"{dataset.name}, validation", items, dataset.classes, exact)


def _recorded_seed(found: Mapping[str, Any], data: Mapping[str, Any], path: Path) -> int:
    """Return the seed in a record whose fields have the types that they must have; `DataError` where they do not."""
    try:
        seed: Any = found["training"]["settings"]["seed"]
    except (KeyError, TypeError):
        seed = None
    limit, boxes = data.get("limit"), data.get("boxes")
    if not (isinstance(seed, int) and isinstance(data["spec"], str)):
        raise DataError(f"{path} does not say in a way that can be read what it was trained on: name the data.")
    if not (isinstance(limit, int | None) and isinstance(boxes, str | None)):
        raise DataError(f"{path} does not say in a way that can be read what it was trained on: name the data.")
    return seed


def _opened(
    data: DataSet | str | Path, boxes: str | Path | None, limit: int | None, seed: int
) -> tuple[DataSet, dict[str, Any]]:
    """The data set, and how to open it again."""
    if not isinstance(data, str | Path):
        check_dataset(data)
        return (data if limit is None else subset(data, spread(len(data), limit, seed))), {}
    spec = str(data)
    drawn = spec.partition(":")[0] == "toybox" and not Path(spec).exists()
    if drawn:
        dataset = open_dataset(spec, boxes=boxes, count=limit or SCENES, seed=SCENES_SEED + seed)
    else:
        dataset = open_dataset(data, boxes=boxes)
        if limit is not None and limit < len(dataset):
            dataset = subset(dataset, spread(len(dataset), limit, seed))
        spec = _whole(spec)
    return dataset, {"spec": spec, "boxes": None if boxes is None else str(Path(boxes).absolute()), "limit": limit}


def _whole(spec: str) -> str:
    """The same from any folder: stanford_dogs:dogs as stanford_dogs:/home/me/dogs."""
    kind, colon, rest = spec.partition(":")
    path = Path(spec).expanduser()
    if not path.exists() and colon and rest and Path(rest).expanduser().exists():
        return f"{kind}:{Path(rest).expanduser().absolute()}"
    return str(path.absolute()) if path.exists() else spec


def _plan(about: Description, model: Model) -> dict[str, Any]:
    """What decides the weights: whoever has the same gets the same."""
    return {
        "arch": about.arch,
        "head": about.head,
        "data": about.data["hash"],
        "start": model.weights_hash,
        "size": list(about.preprocessing.size),
        "settings": {key: value for key, value in about.training.items() if key != "begun_with"},
    }


def _beginning(arch: str, weights: str | Path | None, trained: bool) -> str:
    if weights is not None:
        return Path(weights).name
    return f"the weights of {arch}" if trained else "random weights"


def _finished(folder: Folder) -> bool:
    try:
        return bool(described(folder.path).results.get("finished"))
    except ModelError:  # not one epoch is over yet
        return False


def _learn(
    folder: Folder,
    model: Model,
    about: Description,
    dataset: DataSet,
    parts: Split,
    settings: Settings,
    device: torch.device,
    keep_epochs: bool,
    tensorboard: bool,
    save_every: float,
    progress: TrainingCallback | None,
) -> None:
    pictures = Pictures(dataset, parts.labels, model.preprocessing)
    job = Job(
        model.network,
        pictures,
        parts,
        len(dataset.classes),
        settings,
        device,
        folder.checkpoint,
        save_every,
    )
    folder.write_table("split.csv", ("picture", "part"), parts.rows())
    if keep_epochs and not folder.checkpoint.exists():
        folder.keep_epoch(model.network, 0)

    def after_epoch(state: State) -> None:
        folder.write_table("skipped.csv", ("picture", "reason"), [*parts.skipped, *sorted(pictures.broken.items())])
        folder.write_numbers(state, f"{about.arch} on {dataset.name}")
        if tensorboard:
            folder.write_events(state)
        if keep_epochs:
            folder.keep_epoch(model.network, state.epoch + 1)
        folder.keep(model.network, state)
        _describe(folder, about, state, finished=False)

    state = learn(job, after_epoch, progress)
    _describe(folder, about, state, finished=True)
    folder.checkpoint.unlink(missing_ok=True)


def _describe(folder: Folder, about: Description, state: State, finished: bool) -> None:
    best: Mapping[str, Any] = state.best or {}
    results = {
        "finished": finished,
        "epochs": len(state.rows),
        "best_epoch": best.get("epoch"),
        **{key: best.get(key) for key in ("loss", "accuracy", "val_loss", "val_accuracy", "val_top5")},
    }
    Description(
        about.arch,
        about.head,
        about.classes,
        about.preprocessing,
        about.data,
        about.training,
        results,
        about.versions,
    ).write(folder.path)
