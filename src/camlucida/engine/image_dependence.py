"""Dependence on the image: which calls of a network with several inputs see the image that is explained.

A siamese network calls the same encoder once per image, and a network of two streams has layers that only one of the
images reaches. A map of such a layer may be laid over no other image than the one that the call saw. So the network
runs on the explained image, on noise and on other noise in place of it, with all other inputs unchanged: a call whose
output is the same in all runs does not depend on that image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine.named_inputs import NamedInputs, with_images
from camlucida.engine.network_copy import NetworkCopy

N_COMPARED = 4096
"""Largest number of values of an output that are compared, evenly spaced; beside them the mean of all values is."""

MIN_RELATIVE_CHANGE = 1e-6
"""Change, relative to the largest value, from which on an output depends on the image: less is rounding."""


def independent_calls(copy: NetworkCopy, inputs: NamedInputs, read: Callable[[Any], Tensor | None]) -> set[int]:
    """Return the positions of the calls whose output does not depend on the explained image.

    Args:
        copy: The network copy.
        inputs: Network inputs of one image.
        read: Returns the main tensor of a call's output, or None.

    Returns:
        The positions, in the order in which the calls finish. From the first call at which the runs differ in their
        order of calls, every call counts as dependent.
    """
    runs = []
    for variant in variants_of_image(inputs):
        recorder = _Outputs(read)
        with torch.inference_mode(False), torch.no_grad():
            copy.run(recorder, variant)
        runs.append(recorder.outputs)
    positions: set[int] = set()
    for position, calls in enumerate(zip(*runs, strict=False)):
        modules, outputs = zip(*calls, strict=True)
        if any(module is not modules[0] for module in modules):
            break
        if all(output is not None for output in outputs) and not differ(outputs):
            positions.add(position)
    return positions


def variants_of_image(inputs: NamedInputs) -> Iterator[NamedInputs]:
    """Yield the inputs, and twice with different seeded noise in place of the explained image."""
    like, generator = inputs[inputs.image], torch.Generator().manual_seed(0)
    yield with_images(inputs, like.clone())
    for _ in range(2):
        yield with_images(inputs, torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like))


def differ(outputs: Sequence[Tensor]) -> bool:
    """Return whether outputs of the same call differ by more than rounding."""
    if any(output.shape != outputs[0].shape for output in outputs):
        return True
    stacked = torch.stack(list(outputs))
    change = stacked.amax(0) - stacked.amin(0)
    return bool(change.max() > MIN_RELATIVE_CHANGE * stacked.abs().max())


@dataclass
class _Outputs:
    """A call observer that keeps values of what every call returned, (n,), or None for an output without a tensor."""

    read: Callable[[Any], Tensor | None]
    outputs: list[tuple[nn.Module, Tensor | None]] = field(default_factory=list)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        tensor = self.read(output)
        self.outputs.append((module, None if tensor is None or not tensor.numel() else _sample(tensor)))
        return output


def _sample(tensor: Tensor) -> Tensor:
    values = tensor.detach().reshape(-1).double()
    return torch.cat([values[:: values.numel() // N_COMPARED + 1], values.mean()[None]])
