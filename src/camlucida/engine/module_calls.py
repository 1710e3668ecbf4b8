"""A profile of the module calls in one forward pass, with the shape and layout of what each call returned.

No tensor outlives the call after the one that returned it, so a profile needs as much memory as a forward pass.
Dependence of the scores on an output is not computed here but, for the few calls where it matters, in `influence`.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.batch_axes import select_image
from camlucida.engine.final_activation import ActivationRecorder
from camlucida.engine.image_axes import MAX_CHANGE, ImageAxes, find_image, image_axes, image_size, is_image
from camlucida.engine.image_dependence import independent_calls
from camlucida.engine.layer_checks import Influence, LayoutCheck, ScoreReader
from camlucida.engine.layout import Layout, infer_frames, infer_layout, infer_windows, span_layout
from camlucida.engine.named_inputs import NamedInputs, held_values
from camlucida.engine.network_copy import CallObserver, NetworkCopy
from camlucida.engine.recording import get_tensor, tensor_path
from camlucida.errors import LayerError
from camlucida.foreign import is_channels_last, is_grid_layer
from camlucida.opaque_networks import has_layers

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


N_VALUES = 1024
"""Number of values of a row that are compared when one frame of a video is replaced."""

MAX_KEPT_OUTPUT_BYTES = 16 * 2**20
"""An output of at most this size is kept from the profile's run until the class scores are looked for in it."""


@dataclass(frozen=True)
class ModuleCall:
    """One finished call of a module.

    Attributes:
        position: Index among all calls of the run, in the order in which they finished.
        name: Name of the module.
        call: Which call of the module this was, counted from 1.
        module: The module.
        shape: Shape of the output's main tensor; None if it holds none.
        layout: How that tensor maps to a spatial grid; None if it has none.
        same_output_as: Position of the call whose output this one returns unchanged (the last child of a Sequential).
        is_leaf: Whether no other module was called inside this call.
        nbytes: Size of the output's main tensor in bytes.
        needs_check: Whether the layout was inferred from the shape, so that `geometry` has to verify it before use.
            False where a chain of convolutions and pooling layers from the network input made the grid.
        depends_on_image: Whether the output depends on the image that is explained, where a network takes several
            inputs; if not, `layout` is None.
    """

    position: int
    name: str
    call: int
    module: nn.Module
    shape: tuple[int, ...] | None
    layout: Layout | None
    same_output_as: int | None
    is_leaf: bool
    nbytes: int
    needs_check: bool = False
    depends_on_image: bool = True

    @cached_property
    def n_parameters(self) -> int:
        """Return the number of parameters of the module, including its children."""
        return sum(p.numel() for p in self.module.parameters())


@dataclass(frozen=True)
class CallProfile:
    """All module calls of one run.

    Attributes:
        module_calls: The calls, in the order in which they finished. `geometry` replaces the layouts that it verified.
        grids: The grids (h, w) or (d, h, w) that the network's layers returned, in the order of their calls, without
            duplicates.
        n_outputs: Width of the network's output, usually the number of classes.
        influences: What is known of the influence of calls on the class scores, by the reader of the scores and the
            position of the call; filled by `influence.find_influence` for the calls that it tested.
        checks: Results of `geometry.check_layouts`, by the position of the call.
    """

    module_calls: list[ModuleCall]
    grids: tuple[tuple[int, ...], ...]
    n_outputs: int | None
    influences: dict[ScoreReader | None, dict[int, Influence]] = field(default_factory=dict, compare=False, repr=False)
    checks: dict[int, LayoutCheck] = field(default_factory=dict, compare=False, repr=False)

    def influences_on(self, read: ScoreReader | None) -> dict[int, Influence]:
        """Return the known influences on the class scores that `read` reads, by position."""
        return self.influences.setdefault(read, {})

    def last_call(self, module: nn.Module) -> ModuleCall | None:
        """Return the last call of a module that depends on the explained image, or None if there is none."""
        calls = reversed(self.module_calls)
        return next((e for e in calls if e.module is module and e.depends_on_image), None)

    def n_calls(self, module: nn.Module) -> int:
        """Return how often a module was called."""
        return sum(e.module is module for e in self.module_calls)

    def find_call(self, module: nn.Module, call: int) -> ModuleCall | None:
        """Return the call of a module with the given number, counted from 1, or None."""
        return next((e for e in self.module_calls if e.module is module and e.call == call), None)


def profile_calls(copy: NetworkCopy, inputs: Any, *, refresh: bool = False) -> CallProfile:
    """Return the profile of the module calls on inputs of this shape.

    Args:
        copy: The network copy, which caches the profile.
        inputs: Network inputs; only the first image is run.
        refresh: Whether to run the network even if a profile for this shape is cached.

    Raises:
        LayerError: If the inputs hold no batch of images (b, c, h, w).
    """
    find_image(inputs)
    key = _profile_key(inputs)
    if refresh or key not in copy.notes:
        copy.notes[key], output = _record_calls(copy, first_image(inputs))
        if sum(t.nbytes for _, t in nested.tensors(output)) <= MAX_KEPT_OUTPUT_BYTES:
            copy.notes["profiled output"] = key, output
    profile: CallProfile = copy.notes[key]
    return profile


def profiled_output(copy: NetworkCopy, inputs: Any) -> Any:
    """Return the network's output for the first image, from the run of the profile if that was just made.

    The output carries the network's last activation, where it has one (`final_activation`).
    """
    try:
        profile_calls(copy, inputs)
    except LayerError:  # no image among the inputs, so there is no profile of layers
        return _run_recording_activation(copy, _Unobserved(), first_image(inputs))
    key, output = copy.notes.pop("profiled output", (None, None))
    if key == _profile_key(inputs):
        return output
    with torch.inference_mode(False), torch.no_grad():
        return copy.run(_Unobserved(), first_image(inputs))


def _profile_key(inputs: Any) -> Any:
    return "survey", held_values(inputs), tuple((t.shape[1:], t.dtype) for _, t in nested.tensors(inputs))


class _Unobserved:
    """A call observer that runs every module unmodified."""

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return forward(*args, **kwargs)


def _run_recording_activation(copy: NetworkCopy, observer: CallObserver, inputs: Any) -> Any:
    """Run the network, and note whether it returns the result of a softmax or sigmoid."""
    with torch.inference_mode(False), torch.no_grad():
        if not has_layers(copy.module):  # a function may compute with PyTorch, but only its scores are known
            return copy.run(observer, inputs)
        with ActivationRecorder() as recorder:
            output = copy.run(observer, inputs)
        copy.ends_in_activation |= recorder.attach(output)
    return output


def first_image(inputs: Any) -> Any:
    """Return the first image as a batch of one, detached from any graph and from inference mode."""
    with torch.inference_mode(False):
        return nested.transform(select_image(inputs, 0), lambda _, t: _noise_if_constant(t.detach().clone()))


def _noise_if_constant(image: Tensor) -> Tensor:
    """Return seeded noise in place of a constant image, else the image.

    On a constant image every unit may be inactive, so that no layer would appear to influence the scores.
    """
    if not is_image(image) or not image.is_floating_point() or bool((image != image[..., :1, :1]).any()):
        return image
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(image)


def noise_image(inputs: Any) -> Any:
    """Return the network's inputs with seeded noise in place of every image (b, c, h, w)."""
    generator = torch.Generator().manual_seed(0)

    def noise(_: nested.Path, tensor: Tensor) -> Tensor:
        if not is_image(tensor) or not tensor.is_floating_point():
            return tensor
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float32).to(tensor)

    return nested.transform(inputs, noise)


def _record_calls(copy: NetworkCopy, inputs: Any) -> tuple[CallProfile, Any]:
    """Return the profile of the calls for one image, and the network's output."""
    axes, image = image_axes(copy, inputs), image_size(copy, inputs)
    recorder = _CallRecorder(copy, image[1:], n_frames=image[0]) if axes.frames else _CallRecorder(copy, image)
    output = _run_recording_activation(copy, recorder, inputs)
    if isinstance(inputs, NamedInputs) and inputs.other_tensors:
        for position in independent_calls(copy, inputs, main_tensor):
            module_call = recorder.module_calls[position]
            recorder.module_calls[position] = replace(
                module_call, layout=None, needs_check=False, depends_on_image=False
            )
    if axes.frames:
        verify_frames(copy, inputs, axes, recorder.module_calls)
    n_outputs = next((int(t.shape[-1]) for _, t in nested.tensors(output) if t.ndim == 2), None)
    return CallProfile(recorder.module_calls, tuple(dict.fromkeys(recorder.grids)), n_outputs), output


@dataclass
class _CallRecorder:
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


def main_tensor(output: Any, key: str | None = None) -> Tensor | None:
    """Return the main tensor of a module's output, or its part `key`; None where there is no floating-point tensor."""
    try:
        return get_tensor(output, tensor_path(output, key))
    except LayerError:
        return None


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
