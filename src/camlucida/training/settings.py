"""Hyperparameters of a training."""

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
    """Hyperparameters of a training. The defaults are those of the published study of dog breeds.

    That study uses SGD without momentum at 0.01, batches of 16, 2 epochs and no augmentation.

    Attributes:
        train: Which layers are trained: "head", the new last layer; "all"; or "gradual", the head first and then
            successively more layers from the end.
        epochs: Number of passes over the training images.
        batch_size: Number of images per step.
        lr: The highest learning rate.
        optimizer: "sgd" or "adamw".
        momentum: Momentum of SGD.
        weight_decay: Weight decay of all parameters.
        schedule: "constant", "cosine" (to zero) or "step" (divided by 10 after each third of the steps).
        warmup: Number of epochs in which the learning rate grows linearly from zero.
        label_smoothing: Probability mass that is distributed over all classes, from 0 to below 1.
        class_weights: "none", or "balanced" for weights inverse to the class frequencies.
        precision: "exact", or "bf16" for bfloat16 where PyTorch's autocast uses it.
        patience: Number of epochs without a better validation accuracy after which training stops early; None for
            never.
        augment: Augmentations that are applied at random: "flip", "crop" and "colour".
        val: Fraction of the images used for validation if the dataset has no validation split.
        seed: Seed of the new head, the order of images, the split and the augmentation.
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
                    raise DataError(
                        f"{name} must be one of {', '.join(known)}, not {choice!r}.{nearest(str(choice), known)}"
                    )
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise DataError(f"{name} must be {_describe_range(low, high)}, not {getattr(self, name):g}.")
        if self.lr <= 0:
            raise DataError(f"lr must be greater than 0, not {self.lr:g}.")
        if self.patience is not None and self.patience < 1:
            raise DataError(f"patience must be 1 or more epochs, not {self.patience}.")
        if self.train == "gradual" and self.epochs < 2:
            raise DataError("train='gradual' starts with the head and needs 2 or more epochs.")

    def as_json(self) -> dict[str, Any]:
        """Return the settings with the types that JSON can represent."""
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


def settings_of(settings: Mapping[str, Any]) -> Settings:
    """Return the settings given by name. Raises `DataError` for an unknown name or a value of the wrong type."""
    return Settings(**check_all("train", fields_of(Settings), settings, error=DataError))
