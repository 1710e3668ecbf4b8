"""Studies that are ready to run: which methods, at which layers, by which metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from camlucida.engine import copy_of, profile_calls
from camlucida.errors import DataError, nearest
from camlucida.models.model import Model

N_CONVOLUTIONS = 6
"""How many of the last convolutional layers are looked at."""


@dataclass(frozen=True)
class Recipe:
    """A study: arguments of `evaluate`.

    compared   pairs of methods whose maps are compared place by place
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    compared_pairs: tuple[tuple[str, str], ...] = ()


def cam_vs_gradcam(model: Model) -> Recipe:
    """CAM and Grad-CAM at the last layer, Grad-CAM at each of the last six convolutional layers, IoU by threshold."""
    layers = last_convolutions(model)
    return Recipe(
        ("cam", "grad_cam", *(f"grad_cam @ {name}" for name in layers)),
        ("box_iou", "max_box_acc", "pointing", "energy"),
        (("cam", "grad_cam"),),
    )


RECIPES: dict[str, Callable[[Model], Recipe]] = {"cam-vs-gradcam": cam_vs_gradcam}


def recipe(name: str, model: Model) -> Recipe:
    """A recipe by name, for a model; `DataError` offers the nearest."""
    if name not in RECIPES:
        raise DataError(f"no recipe {name!r}.{nearest(name, RECIPES)} Known: {', '.join(RECIPES)}.")
    return RECIPES[name](model)


def last_convolutions(model: Model, n: int = N_CONVOLUTIONS) -> list[str]:
    """The names of the last convolutional layers that ran and keep the places of the picture, in their order."""
    size = model.preprocessing.size
    profile = profile_calls(copy_of(model.network), torch.zeros(1, len(model.preprocessing.mean), *size))
    types = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    names = [e.name for e in profile.module_calls if isinstance(e.module, types) and e.layout is not None]
    return list(dict.fromkeys(names))[-n:]
