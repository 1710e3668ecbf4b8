"""The reader of a model's class scores, which is decided once per network, and what is read with it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.read_scores import OutputReader
from camlucida.attribution.recognise_output import ReaderBuilder
from camlucida.engine import NetworkCopy, copy_of
from camlucida.engine.batch_axes import n_images
from camlucida.engine.named_inputs import call_network
from camlucida.errors import ModelError
from camlucida.models.model import Model, Output
from camlucida.tasks import OutputActivation


def output_reader(model: Model, copy: NetworkCopy, inputs: Any) -> OutputReader:
    """Return the reader of a model's class scores, which the copy of its network keeps.

    Args:
        model: The model.
        copy: The copy of its network.
        inputs: Network inputs, on the network's device. The first image is run, unless the profile has just run it.

    Raises:
        TargetError: As of `class_scores`; or the model's task or `probabilities` contradict the output.
    """
    selector = model.output
    named = selector if selector is None or isinstance(selector, str | int) else id(selector)
    key = ("score reader", type(selector), named, model.task, model.probabilities, len(model.labels))
    cached: tuple[_Selected, OutputReader] | None = copy.notes.get(key)
    if cached is None or cached[0]() is not selector:
        reader = ReaderBuilder(model, copy, inputs).build()
        _forget_unused(copy)
        cached = copy.notes[key] = _weakly(selector), replace(reader, selector=None)
    return replace(cached[1], selector=selector)


def _forget_unused(copy: NetworkCopy) -> None:
    """Remove the readers of callables that exist no longer: every box of every image has one of its own."""
    for key, value in list(copy.notes.items()):
        if key[0] == "score reader" and isinstance(key[2], int) and key[1] is not int and value[0]() is None:
            copy.notes.pop(key, None)


_Selected: TypeAlias = Callable[[], Output]


def _weakly(selector: Output) -> _Selected:
    """Return a function that returns the selector while it lives: a callable may refer to the network, which must not
    be kept alive by its copy.
    """
    if selector is None or isinstance(selector, str | int):
        return lambda: selector
    try:
        return weakref.ref(selector)
    except TypeError:
        return lambda: None


def predict(model: Model, inputs: Any) -> tuple[Tensor, OutputActivation]:
    """Run a model's network on inputs, without gradients.

    Args:
        model: The model.
        inputs: Network inputs `(b, c, H, W)`, on any device.

    Returns:
        The class scores `(b, k)`, and how they become probabilities.

    Raises:
        TargetError: The output holds no class scores.
    """
    with torch.inference_mode(False), torch.no_grad():
        copy, moved = copy_of(model.network), model_inputs(model, inputs)
        reader = output_reader(model, copy, moved)
        reader.activation.check_classes()
        return reader(call_network(copy.module, moved), n_images(moved)), reader.activation


def output_activation(model: Model) -> OutputActivation:
    """Return how the class scores of a model become probabilities.

    The network runs once on a noise image, unless a run has decided it already.

    Raises:
        TargetError: The output holds no class scores.
    """
    with torch.inference_mode(False), torch.no_grad():
        blank = model_inputs(model, torch.zeros(1, *input_shape(model)))
        return output_reader(model, copy_of(model.network), blank).activation


def input_shape(model: Model) -> tuple[int, ...]:
    """Return the shape of a network input: `(c, H, W)`, or `(c, D, H, W)` for a model of volumes.

    Raises:
        ModelError: The model takes volumes of any size.
    """
    if model.volume is None:
        return len(model.preprocessing.mean), *model.preprocessing.size
    if model.volume.size is None:
        raise ModelError(
            "the model takes volumes of any size, and here one size is needed: wrap(network, "
            "volume=VolumePreprocessing(size=(depth, height, width)))."
        )
    return model.volume.n_channels, *model.volume.size
