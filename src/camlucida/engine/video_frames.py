"""Verify which outputs keep the frames of a video apart, by replacing one frame at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.call_profile import ModuleCall, main_tensor
from camlucida.engine.image_axes import MAX_CHANGE, ImageAxes, find_image
from camlucida.engine.network_copy import NetworkCopy

N_VALUES = 1024
"""Number of values of a row that are compared when one frame of a video is replaced."""


def verify_frames(copy: NetworkCopy, inputs: Any, axes: ImageAxes, module_calls: list[ModuleCall]) -> None:
    """Remove the layouts of outputs whose rows are not the frames of the video, in their order.

    The network runs on noise and, twice, on the same noise with one frame replaced: only the row of this frame may
    change. A layer that mixes frames, or keeps them in another order, has no map of single frames.

    Args:
        copy: The network copy.
        inputs: Network inputs of one video.
        axes: The axes of the video.
        module_calls: The calls of the profile, whose layouts are removed in place.
    """
    path, video = find_image(inputs)
    generator = torch.Generator().manual_seed(0)
    noise, other = (torch.randn(video.shape, generator=generator, dtype=torch.float32).to(video) for _ in range(2))
    axis = 3 - axes.channels
    n_frames = int(video.shape[axis])
    calls = {module_call.position for module_call in module_calls if module_call.layout is not None}

    def rows(images: Tensor) -> dict[int, Tensor]:
        observer = _RowReader(calls)
        with torch.inference_mode(False), torch.no_grad():
            copy.run(observer, nested.transform(inputs, lambda at, t: images.clone() if at == path else t.clone()))
        return observer.rows

    before = rows(noise)
    for frame in {0, n_frames - 1}:
        images = noise.clone()
        images.narrow(axis, frame, 1).copy_(other.narrow(axis, frame, 1))
        after = rows(images)
        for position in calls:
            first, second = before.get(position), after.get(position)
            is_frame = torch.arange(n_frames) == frame
            if first is None or second is None or first.shape != second.shape or len(first) != n_frames:
                matches = False
            else:
                change = (first - second).abs().amax(1)
                matches = bool(change[is_frame] > 0) and bool((change[~is_frame] <= MAX_CHANGE * change.max()).all())
            if not matches:
                module_calls[position] = replace(module_calls[position], layout=None, needs_check=False)


@dataclass
class _RowReader:
    """A call observer that keeps evenly spaced values of every row of the outputs at some positions."""

    positions: set[int]
    rows: dict[int, Tensor] = field(default_factory=dict)
    _position: int = 0

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        tensor = main_tensor(output) if self._position in self.positions else None
        if tensor is not None:
            values = tensor.detach().flatten(1)
            self.rows[self._position] = values[:, :: values.shape[1] // N_VALUES + 1].double().cpu()
        self._position += 1
        return output
