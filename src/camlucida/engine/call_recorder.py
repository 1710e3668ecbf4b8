"""Record the module calls of a forward pass, and infer the layout of each output from its shape."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.call_profile import ModuleCall, main_tensor
from camlucida.engine.layout import Layout, infer_frames, infer_layout, infer_windows, span_layout
from camlucida.engine.network_copy import NetworkCopy
from camlucida.foreign import is_channels_last, is_grid_layer

GRID_MODULES = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.FractionalMaxPool2d,
    nn.Upsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.Conv3d,
    nn.ConvTranspose3d,
    nn.MaxPool3d,
    nn.AvgPool3d,
    nn.LPPool3d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool3d,
    nn.FractionalMaxPool3d,
)
"""Modules whose output grid covers the image as their input grid does."""


@dataclass
class CallRecorder:
    """A call observer that records a `ModuleCall` per call.

    With `n_frames` the rows of outputs are the frames of one video, and `image` is the size of a frame.

    `_convolved` holds the grids that convolutions and pooling layers computed from the network input, or from another
    of these grids: there the position of a cell follows from the operation.
    """

    copy: NetworkCopy
    image: tuple[int, ...]
    n_frames: int = 0
    module_calls: list[ModuleCall] = field(default_factory=list)
    _returned: dict[int, tuple[weakref.ref[Tensor], int]] = field(default_factory=dict)
    _calls: Counter[nn.Module] = field(default_factory=Counter)
    grids: list[tuple[int, ...]] = field(default_factory=list)
    _channels_last: bool = False
    _convolved_last: bool = False
    _convolved: set[tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._convolved = {self.image}

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        n_before = len(self.module_calls)
        output = forward(*args, **kwargs)
        is_leaf = len(self.module_calls) == n_before
        self._calls[module] += 1
        if is_leaf and next(module.parameters(recurse=False), None) is not None:
            self._channels_last = (
                isinstance(module, nn.Linear | nn.LayerNorm)
                or "RMSNorm" in type(module).__name__
                or is_channels_last(module)
            )
        tensor = main_tensor(output)
        if isinstance(module, GRID_MODULES) and args and isinstance(args[0], Tensor):
            self._add_convolved(tuple(args[0].shape[2:]), None if tensor is None else tuple(tensor.shape[2:]))
        elif is_grid_layer(module) and args and isinstance(args[0], Tensor) and tensor is not None:
            self._convolved_last = True
            self._add_convolved(tuple(args[0].shape[1:-1]), tuple(tensor.shape[1:-1]))
        layout = self._layout(module, tensor)
        if layout and layout.kind in ("nchw", "nhwc"):
            self.grids.append(layout.grid)
        position = len(self.module_calls)
        self.module_calls.append(
            ModuleCall(
                position=position,
                name=self.copy.names[module],
                call=self._calls[module],
                module=module,
                shape=None if tensor is None else tuple(tensor.shape),
                layout=layout,
                same_output_as=self._position_of(tensor),
                is_leaf=is_leaf,
                nbytes=0 if tensor is None else tensor.nbytes,
                needs_check=layout is not None and not self._is_known(layout),
            )
        )
        if tensor is None:
            return output
        # The network continues with another tensor object on the same memory. This distinguishes a call that returns
        # the output of an earlier call from two calls that return the same object.
        alias = tensor.detach()
        self._returned[id(alias)] = (weakref.ref(alias), position)
        return nested.replace_tensor(output, tensor, alias)

    def _layout(self, module: nn.Module, tensor: Tensor | None) -> Layout | None:
        if tensor is None:
            return None
        shape = tuple(tensor.shape)
        if is_grid_layer(module) and len(shape) == 4:
            return Layout("nhwc", (shape[1], shape[2])) if math.prod(shape[1:3]) > 1 else None
        if self.n_frames:
            layout = infer_frames(
                shape,
                n_frames=self.n_frames,
                image=self.image,
                channels_last=self._channels_last,
                known_grids=self.grids,
            )
        else:
            layout = (
                infer_layout(
                    shape, batch_size=1, image=self.image, channels_last=self._channels_last, known_grids=self.grids
                )
                or (self._window_layout(module, shape) if len(self.image) == 2 else None)
                or span_layout(shape, self.grids)
            )
        return layout if layout and math.prod(layout.grid) > 1 else None

    def _add_convolved(self, before: tuple[int, ...], after: tuple[int, ...] | None) -> None:
        """Note the grid of a convolution or pooling layer whose input has a known grid, too."""
        if after is not None and len(after) == len(before) and before in self._convolved:
            self._convolved.add(tuple(int(side) for side in after))

    def _is_known(self, layout: Layout) -> bool:
        """Return whether convolutions and pooling layers from the network input on made the grid of a layout."""
        usual = layout.kind == ("nhwc" if self._convolved_last else "nchw")
        return usual and layout.grid in self._convolved

    def _window_layout(self, module: nn.Module, shape: tuple[int, ...]) -> Layout | None:
        """Return the layout of windows, which is known only where an enclosing block has a `shift_size`."""
        name = self.copy.names[module]
        while "." in name:
            name = name.rpartition(".")[0]
            shift = getattr(self.copy.named(name), "shift_size", None)
            if shift is not None:
                pair = (shift, shift) if isinstance(shift, int) else tuple(shift)
                return infer_windows(shape, batch_size=1, shift=(int(pair[0]), int(pair[1])), known_grids=self.grids)
        return None

    def _position_of(self, tensor: Tensor | None) -> int | None:
        """Return the position of the call whose output is this very object; ids alone may be reused."""
        reference, position = self._returned.get(id(tensor), (None, None))
        return position if tensor is not None and reference is not None and reference() is tensor else None
