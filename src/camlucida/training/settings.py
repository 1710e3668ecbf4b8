"""How a network learns: every number that decides what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from camlucida.errors import DataError, nearest
from camlucida.options import Seed, check_all, fields_of

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cosine", "step")
TRAINABLE_PARTS = ("head", "all", "gradual")
CLASS_WEIGHTS = ("none", "balanced")
PRECISIONS = ("exact", "bf16")
AUGMENTATIONS = ("flip", "crop", "colour")


@dataclass(frozen=True)
class Settings:
    """The defaults are the published study's: SGD without momentum at 0.01, batches of 16, 2 epochs, no augmentation.

    train            what changes: head, the new last layer; all; or gradual, the head first and then layer by layer
                     from the end
    epochs           passes over the training pictures
    batch_size       pictures a step
    lr               the learning rate, at its highest
    optimizer        sgd, or adamw
    momentum         of sgd
    weight_decay     of all weights
    schedule         constant; cosine, to zero; or step, a tenth after each third of the steps
    warmup           epochs in which the learning rate grows from nothing
    label_smoothing  share of the truth that is given to all classes alike, 0 to below 1
    class_weights    none; or balanced, by 1 / how many pictures a class has
    precision        exact, or bf16: bfloat16 where PyTorch's autocast thinks it safe
    patience         epochs without a better validation accuracy after which it ends early; None for never
    augment          flip, crop, colour: each picture a little different in each epoch
    val              share of the pictures to validate on, where the data set does not say which
    seed             of the new head, the order, the split and the augmentation
    """

    train: str = "all"
    epochs: int = 2
    batch_size: int = 16
    lr: float = 0.01
    optimizer: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    class_weights: str = "none"
    precision: str = "exact"
    patience: int | None = None
    augment: tuple[str, ...] = ()
    val: float = 0.2
    seed: Seed = 0

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            for choice in value if name == "augment" else (value,):
                if choice not in known:
                    raise DataError(f"{name} {choice!r} is none of {', '.join(known)}.{nearest(str(choice), known)}")
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise DataError(f"{name} is {_describe_range(low, high)}, not {getattr(self, name):g}.")
        if self.lr <= 0:
            raise DataError(f"lr is above 0, not {self.lr:g}.")
        if self.patience is not None and self.patience < 1:
            raise DataError(f"patience is 1 or more epochs, not {self.patience}.")
        if self.train == "gradual" and self.epochs < 2:
            raise DataError("gradual training begins with the head and needs 2 or more epochs to go on.")

    def as_json(self) -> dict[str, Any]:
        """As JSON gives it back."""
        return {**asdict(self), "augment": list(self.augment)}


_CHOICES = {
    "train": TRAINABLE_PARTS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "class_weights": CLASS_WEIGHTS,
    "precision": PRECISIONS,
    "augment": AUGMENTATIONS,
}
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, float("inf")),
    "batch_size": (1, float("inf")),
    "momentum": (0, 0.9999),
    "weight_decay": (0, float("inf")),
    "warmup": (0, float("inf")),
    "label_smoothing": (0, 0.9999),
    "val": (0, 0.9),
    "seed": (0, float("inf")),
}


def _describe_range(low: float, high: float) -> str:
    return f"{low:g} or more" if high == float("inf") else f"between {low:g} and {high:g}"


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the settings by name; raise `DataError` for a name that is none, or a value of the wrong type."""
    return Settings(**check_all("train", fields_of(Settings), given, error=DataError))
