"""Context of errors: add the model and the image to messages, and describe errors of the network."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from camlucida.attribution.load_input import LoadedInput
from camlucida.attribution.load_volume_input import Loaded
from camlucida.attribution.outputs import to_network
from camlucida.engine import copy_of
from camlucida.engine.unsupported import fixed_batch_message
from camlucida.errors import CamlucidaError, ModelError
from camlucida.models.model import Model

MAX_CAUSE_LETTERS = 200
"""Maximum number of characters of a network's own error message that are repeated."""


@contextmanager
def error_context(model: Model, image: Any) -> Iterator[None]:
    """Add the names of the model and the image to every error raised in the block.

    Raises:
        CamlucidaError: Of the same class as the original error, with both names added; a `ModelError` where the network
            itself raised. Errors of any other origin pass unchanged, since they are bugs of this package.
    """
    try:
        yield
    except CamlucidaError as error:
        context = f"{model.name}, {source_name(image)}"
        with_context = type(error)(f"{error} ({context})" if context not in str(error) else str(error))
        vars(with_context).update(vars(error))
        raise with_context from error.__cause__
    except Exception as error:
        if not raised_by_network(error):
            raise
        raise ModelError(f"{describe_network_error(error, model)} ({model.name}, {source_name(image)})") from error


def raised_by_network(error: BaseException) -> bool:
    """Return whether an exception was raised in a module's `forward`, so that the network does not accept its input."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(
        frame.f_code.co_name == "forward"
        and isinstance(frame.f_locals.get("".join(frame.f_code.co_varnames[:1])), nn.Module)
        for frame, _ in frames  # the first argument, which need not be called self
    )


def describe_network_error(error: BaseException, model: Model, size: tuple[int, int] | None = None) -> str:
    """Return a sentence about an error that a network raised, with advice.

    Args:
        error: The error that the network raised.
        model: The model of that network.
        size: (height, width) of the network input in pixels; None for the size of the model's preprocessing.
    """
    cause = f"it raised {type(error).__name__}: {' '.join(str(error).split())[:MAX_CAUSE_LETTERS]}"
    if model.image:
        return f"the network cannot run on these inputs; {cause}."
    if message := _fixed_batch(model, size or model.preprocessing.size):
        return message
    shape = "×".join(map(str, (len(model.preprocessing.mean), *(size or model.preprocessing.size))))
    return (
        f"the network cannot run on an input of {shape}; {cause}. "
        "Pass the input size and the normalisation that it requires with size=, mean= and std=."
    )


def _fixed_batch(model: Model, size: tuple[int, int]) -> str:
    """Return a sentence if the network runs on some batch sizes only, which is tried once per input size."""
    copy, key = copy_of(model.network), ("fixed batch", size)
    if key not in copy.notes:
        inputs = torch.zeros(1, len(model.preprocessing.mean), *size, dtype=torch.float32)
        copy.notes[key] = fixed_batch_message(copy, to_network(model.network, inputs))
    return str(copy.notes[key])


def source_name(image: Any) -> str:
    """Return the name of an image: its file name, or the name of its type where it has none."""
    if isinstance(image, str | os.PathLike):
        return Path(image).name
    if isinstance(image, Mapping):
        return f"inputs {', '.join(map(str, image))}"
    return str(getattr(image, "filename", "") or getattr(image, "name", "") or type(image).__name__)


@contextmanager
def input_context(loaded: Loaded) -> Iterator[None]:
    """Raise a `ModelError` with the shape of the input where the network does not accept a volume or a video."""
    try:
        yield
    except CamlucidaError:
        raise
    except Exception as error:
        if isinstance(loaded, LoadedInput) or not raised_by_network(error):
            raise
        shape = "×".join(map(str, loaded.inputs.shape))
        raise ModelError(
            f"the network cannot run on an input of {shape}; it raised {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}. Give the size that it requires: wrap(network, "
            "volume=VolumePreprocessing(size=(depth, height, width)))."
        ) from error
