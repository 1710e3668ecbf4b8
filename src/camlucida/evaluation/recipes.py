"""Recipes: predefined studies with methods, layers and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from camlucida.attribution.network_inputs import model_inputs
from camlucida.engine import copy_of, profile_calls
from camlucida.errors import DataError, nearest
from camlucida.foreign import is_convolution
from camlucida.models.model import Model

N_CONVOLUTIONS = 6
"""Number of the last convolutional layers that are evaluated."""


@dataclass(frozen=True)
class Recipe:
    """A study, as arguments of `evaluate`.

    Attributes:
        methods: Names of the methods.
        metrics: Names of the metrics.
        compared_pairs: Pairs of methods whose maps are compared with each other.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    compared_pairs: tuple[tuple[str, str], ...] = ()


def cam_vs_gradcam(model: Model) -> Recipe:
    """Compare CAM and Grad-CAM at the last layer, and Grad-CAM at each of the last six convolutional layers."""
    layers = last_convolutions(model)
    return Recipe(
        ("cam", "grad_cam", *(f"grad_cam @ {name}" for name in layers)),
        ("box_iou", "max_box_acc", "pointing", "energy"),
        (("cam", "grad_cam"),),
    )


RECIPES: dict[str, Callable[[Model], Recipe]] = {"cam-vs-gradcam": cam_vs_gradcam}


def recipe(name: str, model: Model) -> Recipe:
    """Return a recipe by name, for a model.

    Raises:
        DataError: For an unknown name; the message suggests the nearest one.
    """
    if name not in RECIPES:
        raise DataError(f"no recipe {name!r}.{nearest(name, RECIPES)} Known: {', '.join(RECIPES)}.")
    return RECIPES[name](model)


def last_convolutions(model: Model, n: int = N_CONVOLUTIONS) -> list[str]:
    """Return the names of the last convolutional layers that ran and preserve spatial positions, in execution order."""
    size = model.preprocessing.size
    profile = profile_calls(
        copy_of(model.network), model_inputs(model, torch.zeros(1, len(model.preprocessing.mean), *size))
    )
    names = [e.name for e in profile.module_calls if is_convolution(e.module) and e.layout is not None]
    return list(dict.fromkeys(names))[-n:]
