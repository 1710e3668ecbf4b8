"""Influence: whether the class scores depend on what a call returned, at positions of the image grid.

The last norm of a vision transformer has no such influence, since only its class token is read. Neither has the
feature map that a backbone returns beside the pooled one that is used: only what is computed from an output after the
call counts. Influence is tested by the gradient of a random mixture of the class scores and of the input of the Linear
that returned them (whose weights may be zero). An output that is the class scores already, as one map per class, has
influence but explains nothing: it is recognised by the channels on which the score of each class depends.

A backward pass needs every tensor that the operations on its path saved. Here nothing is saved before the first call
that is tested, and callers test the last calls of a network first (`groups`), so the memory stays near that of a
forward pass. Where all calls must be tested and their graph would be large, the test runs on a smaller image.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.call_profile import CallProfile, ModuleCall, main_tensor
from camlucida.engine.class_maps import find_class_maps
from camlucida.engine.image_axes import is_image
from camlucida.engine.layer_checks import Influence, ScoreReader
from camlucida.engine.module_calls import first_image, noise_image, profile_calls
from camlucida.engine.network_copy import NetworkCopy
from camlucida.errors import CamlucidaError, LayerError

if TYPE_CHECKING:
    from camlucida.engine.layers import Layer

MAX_GRAPH_BYTES = 64 * 2**20
"""A test of calls whose outputs take more bytes than this runs on a smaller image, if the network allows it."""

SIDE_STEP_PX = 32
"""The sides of the smaller image are multiples of this, the total stride of common networks."""


def groups(profile: CallProfile, module_calls: Sequence[ModuleCall]) -> Iterator[list[ModuleCall]]:
    """Yield the calls from the last to the first, in groups that a backward pass reaches with little memory.

    The first group extends to where the outputs after it take half of the largest output of the network, and every
    further group by as much again. With copies and gradients this is less than the two largest outputs that a forward
    pass holds at once.

    Args:
        profile: The profile of the network.
        module_calls: The calls to group, in the order in which they finished.
    """
    step_bytes = max((module_call.nbytes for module_call in profile.module_calls), default=0) // 2
    bytes_after = _bytes_after(profile)
    limit_bytes = step_bytes
    group: list[ModuleCall] = []
    for module_call in reversed(module_calls):
        needed_bytes = bytes_after[module_call.position] + (0 if module_call.is_leaf else module_call.nbytes)
        if group and needed_bytes > limit_bytes:
            yield group
            group = []
            limit_bytes = needed_bytes + step_bytes
        group.append(module_call)
    if group:
        yield group


def _bytes_after(profile: CallProfile) -> list[int]:
    """Return, for every position, the total output bytes of the leaf modules from there on."""
    total, after = 0, []
    for module_call in reversed(profile.module_calls):
        total += module_call.nbytes if module_call.is_leaf else 0
        after.append(total)
    return after[::-1]


def find_influence(
    copy: NetworkCopy,
    inputs: Any,
    profile: CallProfile,
    positions: Collection[int],
    read: ScoreReader | None = None,
) -> None:
    """Test the calls at `positions` and store the results in `profile.influences_on(read)`.

    Args:
        copy: The network copy.
        inputs: Network inputs; only the first image is run.
        profile: The profile of the network on inputs of this shape.
        positions: Positions of the calls.
        read: Reads the class scores from the network's output; None, or a reader that raises a CamlucidaError, for the
            influence on any part of the output.
    """
    if positions:
        profile.influences_on(read).update(_test_influence(copy, first_image(inputs), profile, positions, read))


def find_influences(
    copy: NetworkCopy,
    inputs: Any,
    profile: CallProfile,
    positions: Collection[int],
    read: ScoreReader | None = None,
) -> None:
    """Test any number of calls as `find_influence` does, on a smaller image where their graph would be large."""
    if not positions:
        return
    total = _bytes_after(profile)[min(positions)]
    if total > MAX_GRAPH_BYTES and (resized := _resized_image(copy, inputs, profile, total)) is not None:
        profile.influences_on(read).update(_test_influence(copy, resized, profile, positions, read))
    else:
        find_influence(copy, inputs, profile, positions, read)


def require_influence(copy: NetworkCopy, inputs: Any, layer: Layer, read: ScoreReader | None = None) -> None:
    """Refuse a layer on whose positions the class scores do not depend, for this image and for noise.

    Args:
        copy: The network copy.
        inputs: Network inputs.
        layer: The layer.
        read: Reads the class scores from the network's output.

    Raises:
        LayerError: If every map of a class at this layer is zero, whatever the image is.
    """
    profile = profile_calls(copy, inputs)
    module_call = profile.find_call(layer.module, layer.call)
    if layer.key is not None or module_call is None or module_call.layout is None:
        return
    position, name = module_call.position, type(copy.module).__name__
    for images in (first_image(inputs), noise_image(first_image(inputs))):
        influence = _test_influence(copy, images, profile, [position], read)[position]
        if influence in (Influence.POSITIONS, Influence.CLASS_MAP):
            return
    if influence is Influence.PREFIX:
        raise LayerError(
            f"the class scores of {name} do not depend on the positions of {layer.name!r}: from there on only the "
            f"{module_call.layout.prefix or 'other'} tokens without a position, such as the class token, are read. "
            "Choose an earlier layer, such as the norm before the last attention; `camlucida layers` lists them."
        )
    raise LayerError(
        f"the class scores of {name} do not depend on what {layer.name!r} returns: its map is zero for every class and "
        "image. Choose another layer; `camlucida layers` lists them."
    )


def _resized_image(copy: NetworkCopy, inputs: Any, profile: CallProfile, total: int) -> Any | None:
    """Return the first image at a smaller size, or None where the network then runs other calls."""
    scale = math.sqrt(MAX_GRAPH_BYTES / total)

    def resized(_: nested.Path, tensor: Tensor) -> Tensor:
        if not is_image(tensor) or not tensor.is_floating_point():
            return tensor
        sides = [max(1, math.ceil(side * scale / SIDE_STEP_PX)) * SIDE_STEP_PX for side in tensor.shape[-2:]]
        if sides[0] >= tensor.shape[-2] or sides[1] >= tensor.shape[-1]:
            return tensor
        return F.interpolate(tensor, (*tensor.shape[2:-2], sides[0], sides[1]), mode="nearest")

    with torch.inference_mode(False), torch.no_grad():
        image = nested.transform(first_image(inputs), resized)
        try:
            other_profile = profile_calls(copy, image)
        except Exception:  # networks of a fixed input size raise errors of any type; they are tested at that size
            return None
    is_same = len(other_profile.module_calls) == len(profile.module_calls) and all(
        map(_is_same_call, other_profile.module_calls, profile.module_calls)
    )
    return image if is_same else None


def _is_same_call(first: ModuleCall, second: ModuleCall) -> bool:
    """Return whether two calls, recorded at different image sizes, are the same call with the same layout."""
    if (first.module, first.call, first.is_leaf, first.same_output_as) != (
        second.module,
        second.call,
        second.is_leaf,
        second.same_output_as,
    ):
        return False
    if first.layout is None or second.layout is None:
        return first.layout is second.layout
    return (first.layout.kind, first.layout.prefix) == (second.layout.kind, second.layout.prefix)


def _test_influence(
    copy: NetworkCopy, inputs: Any, profile: CallProfile, positions: Collection[int], read: ScoreReader | None
) -> dict[int, Influence]:
    """Return the influence of each of the calls at `positions`, from one forward and one backward pass."""
    wanted = {(profile.module_calls[p].module, profile.module_calls[p].call): p for p in positions}
    last_linear = next((c for c in reversed(profile.module_calls) if isinstance(c.module, nn.Linear)), None)
    saving = _SavedTensors()
    run = _InfluenceRun(wanted, saving, None if last_linear is None else (last_linear.module, last_linear.call))
    hooks = torch.autograd.graph.saved_tensors_hooks(saving.pack, _unpack)
    with torch.inference_mode(False), torch.enable_grad(), hooks:
        leaves = nested.transform(inputs, lambda _, t: t.requires_grad_().clone() if t.is_floating_point() else t)
        output = copy.run(run, leaves)
        returned = {p: t for p, t in run.kept.items() if t.requires_grad}
        gradients, class_maps = _gradients(run, output, returned, read)
    influences = dict.fromkeys(positions, Influence.NONE)
    for position, gradient in gradients.items():
        if position in class_maps:
            influences[position] = Influence.CLASS_MAP
        elif gradient is not None:
            influences[position] = _influence(copy, inputs, profile, position, gradient)
    return influences


def _gradients(
    run: _InfluenceRun, output: Any, returned: dict[int, Tensor], read: ScoreReader | None
) -> tuple[dict[int, Tensor | None], set[int]]:
    """Return the gradients of a random mixture of the class scores, and the positions of class maps.

    The input of the last Linear is part of the mixture if its output is the class scores: a head that was initialised
    with zeros lets no gradient through. Without class scores, any output and the input of the last Linear count.
    """
    scores = _read_scores(output, read)
    targets = [scores] if scores is not None else [t for _, t in nested.tensors(output) if t.is_floating_point()]
    if run.last_linear is not None and (scores is None or _are_equal(run.last_linear[1], scores)):
        targets.append(run.last_linear[0])
    targets = [t for t in targets if t.requires_grad]
    if not targets or not returned:
        return {}, set()
    generator = torch.Generator().manual_seed(0)
    mixture = torch.stack(
        [(t * torch.randn(t.shape, generator=generator, dtype=torch.float32).to(t)).sum() for t in targets]
    ).sum()
    tensors = list(returned.values())
    try:
        gradients = torch.autograd.grad(mixture, tensors, retain_graph=True, allow_unused=True)
        of_positions: dict[int, Tensor | None] = dict(zip(returned, gradients, strict=True))
        if scores is None and read is None:
            scores = next((t for t in targets if t.ndim == 2), None)
        return of_positions, set() if scores is None else find_class_maps(scores, returned, of_positions)
    except RuntimeError:  # a network that overwrites tensors which the backward pass needs
        return {p: torch.ones_like(t) for p, t in returned.items()}, set()


def _read_scores(output: Any, read: ScoreReader | None) -> Tensor | None:
    """Return the class scores (b, k), or None where the output holds none."""
    if read is None:
        return None
    try:
        scores = read(output)
    except CamlucidaError:
        return None
    return scores if scores.requires_grad else None


def _are_equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first.detach().to(second), second.detach())


def _influence(copy: NetworkCopy, inputs: Any, profile: CallProfile, position: int, gradient: Tensor) -> Influence:
    """Return whether a gradient is nonzero at a position of the grid, or only at class or register tokens."""
    module_call = profile.module_calls[position]
    if module_call.shape != tuple(gradient.shape):  # tested on a smaller image, where the layout differs
        module_call = profile_calls(copy, inputs).module_calls[position]
    if module_call.layout is not None and bool(module_call.layout.to_grid(gradient).any()):
        return Influence.POSITIONS
    return Influence.PREFIX if bool(gradient.any()) else Influence.NONE


def _unpack(saved: Tensor | None) -> Tensor:
    assert saved is not None, "the backward pass went beyond the first call that is tested"
    return saved


@dataclass
class _SavedTensors:
    """Decides what operations save for a backward pass: nothing before the first wanted call has returned.

    The graph holds this object, so this object must not hold a tensor of the graph: the reference cycle would never be
    freed. For the same reason a tensor is saved detached from the graph.
    """

    live: bool = False

    def pack(self, tensor: Tensor) -> Tensor | None:
        """Return what is saved of a tensor: None before the first wanted call has returned."""
        return tensor.detach() if self.live else None


@dataclass
class _InfluenceRun:
    """A call observer that keeps what the `wanted` calls returned, and the graph from the first of them on."""

    wanted: dict[tuple[nn.Module, int], int]
    saving: _SavedTensors
    last_linear_call: tuple[nn.Module, int] | None
    kept: dict[int, Tensor] = field(default_factory=dict)
    last_linear: tuple[Tensor, Tensor] | None = None
    _calls: Counter[nn.Module] = field(default_factory=Counter)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        self._calls[module] += 1
        call = module, self._calls[module]
        if call == self.last_linear_call and args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            self.last_linear = args[0], output.detach()
        tensor = returned = main_tensor(output)
        if tensor is None or returned is None:
            return output
        inside_no_grad = not torch.is_grad_enabled()  # the network's own `no_grad`, unrelated to influence
        if inside_no_grad:
            torch.set_grad_enabled(True)
            tensor = tensor.detach().requires_grad_()
        position = self.wanted.get(call)
        self.saving.live |= position is not None
        if self.saving.live or inside_no_grad:  # the next operation may overwrite its input
            tensor = tensor.clone()
        if position is not None:
            self.kept[position] = tensor
        return nested.replace_tensor(output, returned, tensor)
