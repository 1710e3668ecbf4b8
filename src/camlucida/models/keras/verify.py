"""Compare the outputs of the module of a Keras model with those of the Keras model itself."""

from __future__ import annotations

import math
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.keras.build import graph_of_model
from camlucida.models.keras.graph import Graph, flatten
from camlucida.models.keras.tensorflow import from_tensorflow, to_tensorflow

TOLERANCE = 1e-4
"""Largest difference of the outputs of the module and of the Keras model, relative to the largest output."""

TOLERANCE_HALF = 3e-2
"""The same for models that compute in half precision."""

FREE_SIDES_PX = (96, 224)
"""Sides in pixels that are tried for the verification of a model without a fixed input size."""


def verify(
    keras: ModuleType, network: nn.Module, model: Any, graph: Graph, channels_last: tuple[bool, ...], backend: str
) -> None:
    """Compare the outputs of a network with those of its Keras model on random inputs.

    Args:
        keras: The package.
        network: The module of the Keras model.
        model: The Keras model.
        graph: Its graph.
        channels_last: Per input, whether its channels are last in the Keras model.
        backend: "torch" or "tensorflow".

    Raises:
        ModelError: If they differ.
    """
    error: Exception | None = None
    for side in FREE_SIDES_PX:
        generator = torch.Generator().manual_seed(0)
        shapes = [tuple(side if size is None else size for size in shape) for _, shape, _ in graph.inputs]
        inputs = [torch.rand((1, *shape), generator=generator, dtype=torch.float32) * 2 - 1 for shape in shapes]
        try:
            expected = _keras_output(keras, model, inputs, backend)
        except Exception as failed:  # a model without a fixed input size may need a larger one
            error = failed
            if all(None not in shape for _, shape, _ in graph.inputs):
                break
            continue
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        images = [
            value.to(device).movedim(-1, 1) if last else value.to(device)
            for value, last in zip(inputs, channels_last, strict=True)
        ]
        with torch.inference_mode(False), torch.no_grad():
            output = network(*images)
        _compare(model, flatten(output), expected)
        return
    raise ModelError(f"the Keras model {model.name!r} does not run on a random image: {error}")


def _keras_output(keras: ModuleType, model: Any, inputs: list[Tensor], backend: str) -> list[Tensor]:
    """Return the outputs of the Keras model itself, without side effects."""
    given: list[Any] = [value if backend == "torch" else to_tensorflow(value) for value in inputs]
    structure = getattr(model, "input", None) if graph_of_model(keras, model) is not None else None
    arguments: Any = dict(zip(sorted(structure), given, strict=True)) if isinstance(structure, dict) else given
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        keras.StatelessScope(initialize_variables=False),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # about a list of one input in place of the input
        output = model(given[0] if len(given) == 1 and arguments is given else arguments, training=False)
    return [value if backend == "torch" else from_tensorflow(value) for value in flatten(output)]


def _compare(model: Any, outputs: list[Any], expected: list[Tensor]) -> None:
    if len(outputs) != len(expected):
        raise ModelError(f"the Keras model {model.name!r} has {len(expected)} outputs, and its copy {len(outputs)}.")
    for ours, theirs in zip(outputs, expected, strict=True):
        wanted = theirs.detach().double()
        scale = float(wanted.abs().max()) if wanted.numel() else 0.0
        tolerance = TOLERANCE_HALF if theirs.dtype in (torch.float16, torch.bfloat16) else TOLERANCE
        found = ours.detach().double()
        difference = float((found - wanted).abs().max()) if found.shape == wanted.shape else math.inf
        if not difference <= tolerance * scale + 1e-9:
            raise ModelError(
                f"the Keras model {model.name!r} cannot be explained: run layer by layer, its output differs from its "
                f"own by {difference:.2g} (largest output {scale:.2g}). Please report this model."
            )
