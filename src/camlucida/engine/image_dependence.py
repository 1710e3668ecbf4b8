"""Dependence on the image: which calls of a network with several inputs see the image that is explained.

A siamese network calls the same encoder once per image, and a network of two streams has layers that only one of the
images reaches. A map of such a layer may be laid over no other image than the one that the call saw. So the network
runs twice, with noise and with other noise in place of the explained image and all other inputs unchanged: a call whose
output is the same in both runs does not depend on that image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        The positions, in the order in which the calls finish. From the first call at which the two runs differ in
        their order of calls, every call counts as dependent.
    """
    runs = []
    for variant in with_noise(inputs):
        recorder = _Outputs(read)
        with torch.inference_mode(False), torch.no_grad():
            copy.run(recorder, variant)
        runs.append(recorder.outputs)
    positions: set[int] = set()
    for position, ((module, first), (other, second)) in enumerate(zip(*runs, strict=False)):
        if module is not other:
            break
        if first is not None and second is not None and not differ(first, second):
            positions.add(position)
    return positions


def with_noise(inputs: NamedInputs) -> Iterator[NamedInputs]:
    """Yield the inputs twice, with seeded noise and with other noise in place of the explained image."""
    like, generator = inputs[inputs.image], torch.Generator().manual_seed(0)
    for _ in range(2):
        yield with_images(inputs, torch.randn(like.shape, generator=generator, dtype=torch.float32).to(like))


def differ(first: Tensor, second: Tensor) -> bool:
    """Return whether two outputs differ by more than rounding."""
    if first.shape != second.shape:
        return True
    largest = torch.maximum(first.abs().max(), second.abs().max())
    return bool((first - second).abs().max() > MIN_RELATIVE_CHANGE * largest)


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
