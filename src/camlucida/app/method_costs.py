"""Which methods run on a model, and about how long a map takes, so that the page can say so before one is selected.

What can be measured in a few runs is measured: methods that need attention, ReLUs or a linear head are run once on the
example image of the model, and the forward pass is timed. The time of slow methods is then the number of network runs
that their options determine, times that of one run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from camlucida.app.model_entry import Served
from camlucida.app.request_limits import runs_of
from camlucida.attribution.attribute import attribute
from camlucida.attribution.method_choice import applicable
from camlucida.attribution.output_reader import predict
from camlucida.engine import copy_of, profile_calls
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT
from camlucida.errors import CamlucidaError
from camlucida.methods import Method, methods
from camlucida.methods.registry import ATTENTION_INPUTS, RELU_INPUTS
from camlucida.types import ProgressCallback

CONDITIONAL_INPUTS = ATTENTION_INPUTS | RELU_INPUTS | {"head_weights"}
"""Method inputs that some networks with layers do not have."""
GRADIENT_INPUTS = frozenset({"input_gradients", "layer_at", "multipliers"})
N_TIMED = 4
"""Number of images in the batch that is timed."""


@dataclass(frozen=True)
class MethodCost:
    """A method with a model.

    Attributes:
        name: The method.
        reason: Why it does not run on the model; "" if it does.
        seconds: About how long one map takes; None if the method does not run.
    """

    name: str
    reason: str
    seconds: float | None


def method_costs(served: Served, progress: ProgressCallback) -> list[MethodCost]:
    """Return every method of the registry with a model, in the order of the registry."""
    names = applicable(served.model.network)
    tested = [name for name in names if CONDITIONAL_INPUTS & set(methods()[name].needs)]
    reasons = {}
    for done, name in enumerate(tested):
        progress(done, len(tested) + 1)
        reasons[name] = _reason(served, name)
    forward = _forward_seconds(served)
    progress(len(tested) + 1, len(tested) + 1)
    channels, positions = _layer_size(served)
    return [
        MethodCost(name, "", forward * n_forwards(method, max(served.model.preprocessing.size), channels, positions))
        if name in names and not reasons.get(name)
        else MethodCost(name, reasons.get(name) or "The layers of this model cannot be accessed.", None)
        for name, method in methods().items()
    ]


def n_forwards(method: Method, side: int, channels: int, positions: int) -> float:
    """Estimate the cost of one map in forward passes of one image.

    Args:
        method: The method.
        side: The longer side of the network input, in pixels.
        channels: The number of channels of the layer.
        positions: The number of positions of the layer.
    """
    return 1 + sum(_of_inputs(method, side, channels, positions))


def _of_inputs(method: Method, side: int, channels: int, positions: int) -> Iterator[float]:
    needs, runs = set(method.needs), runs_of(method.options, side)
    if needs & {"gradients", "attention_gradients", "guided", "deconvolved", "relevance", "bias_gradients", "hvp"}:
        yield FORWARDS_WITH_GRADIENT
    if needs & GRADIENT_INPUTS:
        yield FORWARDS_WITH_GRADIENT * runs
    elif "score_inputs" in needs:  # with activations, one mask per channel, as in Score-CAM
        yield runs * (channels if "activations" in needs else 1)
    if "ablate" in needs:
        yield channels
    if "score_activations" in needs:
        yield positions


def _reason(served: Served, name: str) -> str:
    """Return why a method does not run on the example image; "" if it does."""
    try:
        attribute(served.probed, served.example, method=name, target=0)
    except CamlucidaError as error:
        return str(error)
    return ""


def _forward_seconds(served: Served) -> float:
    """Return the duration of a forward pass of one image in a small batch."""
    example = served.example
    batch = torch.cat([example] * N_TIMED) if isinstance(example, torch.Tensor) else example
    n = N_TIMED if isinstance(example, torch.Tensor) else 1
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        predict(served.probed, batch)
        durations.append(time.perf_counter() - start)
    return min(durations) / n


def _layer_size(served: Served) -> tuple[int, int]:
    """Return the number of channels and positions of the default layer; of a network without layers, of none."""
    if not served.layers:
        return 1, 1
    layer = served.layers[-1]
    positions = math.prod(layer.grid or (1,))
    for call in profile_calls(copy_of(served.probed.network), served.example).module_calls:
        if call.module is layer.module and call.call == layer.call and call.shape is not None:
            return max(1, math.prod(call.shape[1:]) // positions), positions
    return 1, positions
