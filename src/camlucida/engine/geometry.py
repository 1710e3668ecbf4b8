"""Geometry: whether the positions of an inferred layout lie where they are assumed to, verified by moving the input.

The shape of an output does not say what its axes are. (b, heads, tokens, dims) looks like channels and an image; tokens
may be kept by window, by mask unit or between the tokens of a text; a detection head returns as many rows as a small
image has cells. So a patch of noise is put at eight positions of a noise image, one at a time, and the response of each
cell of the layout is measured: its squared change relative to its mean over the eight patches. In the layout of an
image, the centroid of the fourth power of this response follows the patch.

On random weights the centroid of ViT, Swin, ConvNeXt, XCiT, Twins, CoaT and MaxViT errs by 0.01 to 0.08 of the image's
side, with a spread of 0.08 to 0.19. Hiera's tokens, read row by row, give an error of 0.22 to 0.30 with a spread of
0.37, per-head tensors 0.22 and 0.30, and attention that averages over all tokens 0.28 to 0.36 and 0.40.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.engine.image_axes import image_axes, image_size
from camlucida.engine.layer_checks import LayoutCheck
from camlucida.engine.layout import Layout, alternatives, infer_layout, span_layout
from camlucida.engine.module_calls import CallProfile, ModuleCall, first_image, main_tensor
from camlucida.engine.moving_patch import CENTRES, PATCH_FRACTION, NoiseImage
from camlucida.engine.named_inputs import NamedInputs
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.stored_checks import load_checks, save_checks

MAX_ERROR = 0.14
"""Largest mean error of the centroid, in fractions of the image's sides, of a layout that counts as verified."""

MAX_SPREAD = 0.26
"""Largest spread of the response, in the same unit, of a layout that counts as verified."""

MIN_CORRELATION = 0.9
"""Smallest correlation of the centroid with the patch, on each axis, of a layout that counts as verified."""

MAX_LOCAL_FRACTION = 0.3
"""Largest fraction of cells that share in a response (participation ratio) that counts as local."""

N_CHANNELS = 16
"""Number of channels that are compared, evenly spaced: the response is a sum over them."""

MAX_GRID_SIDE = 64
"""Largest side of the grids, in cells, on which the response is measured."""

MAX_OFFSETS = 4096
"""Largest number of offsets in a sequence that are tried for the tokens of the image."""

Responses: TypeAlias = dict[str, Tensor]
"""The squared change of an output for every patch, summed over the axis "last" or "second" that holds the channels."""


def check_layouts(copy: NetworkCopy, inputs: Any, profile: CallProfile, positions: Collection[int]) -> None:
    """Verify the layouts of calls and store the results in the profile.

    A layout that is contradicted is removed from its `ModuleCall`, and another reading that is verified replaces the
    inferred one. A layout whose response is not local says nothing about its order: it is kept if the grid was returned
    by a convolution or another layer with a grid, or if the tokens are exactly such a grid halved,
    once or several times.

    Args:
        copy: The network copy.
        inputs: Network inputs, which give the size of the image.
        profile: The profile of the network on inputs of this shape.
        positions: Positions of the calls; those that need no check, or have been checked, are passed over.
    """
    open_positions = [p for p in positions if profile.module_calls[p].needs_check and p not in profile.checks]
    if not open_positions:
        return
    image = image_size(copy, inputs)
    for position, check in load_checks(copy, profile, image).items():
        if position not in profile.checks:
            _store(profile, profile.module_calls[position], check)
    open_positions = [p for p in open_positions if p not in profile.checks]
    known = _known_checks(copy)
    unknown = []
    for position in open_positions:
        module_call = profile.module_calls[position]
        earlier = known.get((module_call.module, module_call.call))
        if earlier is not None and module_call.layout is not None and _same_reading(earlier, module_call.layout):
            _store(profile, module_call, replace(earlier, layout=module_call.layout))
        else:
            unknown.append(position)
    if not unknown:
        return
    is_mixed = isinstance(inputs, NamedInputs) and bool(inputs.other_tensors)
    if is_mixed:  # text may stand before the image: the earliest of as many tokens shows where it is
        first = {_first_of_tokens(profile, p) for p in unknown}
        unknown = sorted({*unknown, *(p for p in first if p is not None and p not in profile.checks)})
    patches, responses = _measure(copy, first_image(inputs), [profile.module_calls[p] for p in unknown])
    for position in unknown:
        module_call = profile.module_calls[position]
        check = (
            _check(module_call, responses[position], patches, profile.grids)
            if position in responses
            else LayoutCheck("not local", float("nan"), float("nan"), float("nan"), None)
        )
        if is_mixed:
            check = _in_mixed_sequence(profile, position, check)
        known[module_call.module, module_call.call] = check
        _store(profile, module_call, check)
    save_checks(copy, profile, image, {position: profile.checks[position] for position in unknown})


def _first_of_tokens(profile: CallProfile, position: int) -> int | None:
    """Return the position of the earliest call that returned as many tokens as this one; None for other layouts."""
    module_call = profile.module_calls[position]
    if module_call.layout is None or module_call.layout.kind != "tokens" or module_call.shape is None:
        return None
    n_tokens = module_call.shape[1]
    return next(
        (
            earlier.position
            for earlier in profile.module_calls[:position]
            if earlier.layout is not None
            and earlier.needs_check
            and earlier.layout.kind == "tokens"
            and earlier.shape is not None
            and earlier.shape[1] == n_tokens
        ),
        None,
    )


def _in_mixed_sequence(profile: CallProfile, position: int, check: LayoutCheck) -> LayoutCheck:
    """Return the check of a call in a network that also takes text, whose tokens may stand before those of the image.

    A response that is not local says nothing about where the tokens of the image begin, so the layout is that of the
    earliest output with as many tokens, if it was verified there; else there is none.
    """
    module_call = profile.module_calls[position]
    layout, shape = check.layout, module_call.shape
    if check.outcome != "not local" or layout is None or layout.kind != "tokens" or shape is None:
        return check
    if shape[1] == math.prod(layout.grid):
        return check
    first = _first_of_tokens(profile, position)
    seen = None if first is None else profile.checks.get(first)
    if seen is None or seen.outcome != "verified" or seen.layout is None:
        return replace(check, layout=None, is_seen=False)
    return replace(check, layout=seen.layout, is_seen=True)


def add_within_memory(profile: CallProfile, needed: Collection[int], others: Iterable[int]) -> list[int]:
    """Return the positions that are needed, and of the others the first ones that may be checked in the same runs.

    What is kept of the others' outputs takes at most half of the largest output of the network, so that the check
    needs little more memory than a forward pass.

    Args:
        profile: The profile of the network.
        needed: Positions of calls that have to be checked.
        others: Positions of further calls, in order of preference.
    """
    budget_bytes = max(module_call.nbytes for module_call in profile.module_calls) // 2
    positions = list(needed)
    for position in others:
        budget_bytes -= _measured_bytes(profile.module_calls[position].shape or ())
        if budget_bytes < 0:
            break
        positions.append(position)
    return positions


def _measured_bytes(shape: tuple[int, ...]) -> int:
    """Return how many bytes `_measure` keeps of an output: the samples, and one response per patch."""
    samples = list(channel_samples(torch.empty(shape, device="meta")))
    n_patches = len(CENTRES) ** 2 - 1
    return sum(part.nbytes + n_patches * part.nbytes // part.shape[axis] for _, axis, part in samples)


def _known_checks(copy: NetworkCopy) -> dict[tuple[nn.Module, int], LayoutCheck]:
    """Return the checks at other image sizes: a network that keeps the order of its tokens is not measured again."""
    checks: dict[tuple[nn.Module, int], LayoutCheck] = copy.notes.setdefault("layout checks", {})
    return checks


def _same_reading(check: LayoutCheck, layout: Layout) -> bool:
    """Return whether a check at another image size verified the layout that is inferred at this one."""
    return (
        check.outcome == "verified"
        and check.layout is not None
        and (check.layout.kind, check.layout.prefix) == (layout.kind, layout.prefix)
    )


def _store(profile: CallProfile, module_call: ModuleCall, check: LayoutCheck) -> None:
    profile.checks[module_call.position] = check
    if check.layout != module_call.layout:  # the influence was tested at other positions
        for influences in profile.influences.values():
            influences.pop(module_call.position, None)
    profile.module_calls[module_call.position] = replace(module_call, layout=check.layout)


def _check(
    module_call: ModuleCall, responses: Responses, patches: Tensor, known_grids: Sequence[tuple[int, ...]]
) -> LayoutCheck:
    """Return the check of a call: of its inferred layout, and of other readings where that one fails."""
    layout, shape = module_call.layout, module_call.shape
    assert layout is not None
    assert shape is not None
    inferred = compare_responses(layout, responses, patches)
    others = alternatives(layout, shape, known_grids)[:MAX_OFFSETS]
    if inferred.outcome == "verified":  # only the offset of the tokens is in question
        others = [other for other in others if other.kind == layout.kind and other.grid == layout.grid]
    best = min((compare_responses(other, responses, patches) for other in others), key=_rank, default=inferred)
    # Neighbouring offsets of the tokens differ little: another one must fit clearly better.
    if best.outcome == "verified" and (inferred.outcome != "verified" or best.error < 0.5 * inferred.error):
        return best
    if inferred.outcome == "not local":
        is_seen = layout.grid in known_grids
        is_whole = _n_tokens(layout, shape) == math.prod(layout.grid)
        if is_seen or (is_whole and any(_is_halved(layout.grid, grid) for grid in known_grids)):
            return replace(inferred, is_seen=is_seen)
    return inferred if inferred.outcome == "verified" else replace(inferred, layout=None)


def _is_halved(grid: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    """Return whether a grid is a larger one, halved once or several times and rounded up."""
    if len(grid) != len(larger):
        return False
    while all(n > m for n, m in zip(larger, grid, strict=True)):
        larger = tuple(-(-n // 2) for n in larger)
    return larger == grid


def _n_tokens(layout: Layout, shape: tuple[int, ...]) -> int:
    """Return the number of tokens of a sequence, 0 for other layouts."""
    return {"tokens": shape[1], "tokens_first": shape[0]}.get(layout.kind, 0)


def _rank(check: LayoutCheck) -> tuple[bool, float]:
    return check.outcome != "verified", check.error


def compare_responses(layout: Layout, responses: Responses, patches: Tensor) -> LayoutCheck:
    """Compare the responses, read with a layout, with the positions of the patches (n, 2)."""
    response = responses["second" if layout.kind == "nchw" else "last"]
    change = torch.cat([layout.to_grid(of_patch) for of_patch in response])[:, 0].double()
    if layout.frames:  # the patch lies in every frame
        change = change.mean(1)
    grid = change.shape[1:]
    mean = change.mean(0)
    relative = torch.where(mean > 0, change / mean.clamp_min(torch.finfo(change.dtype).tiny), 0)
    weights = relative.pow(4)
    totals = weights.flatten(1).sum(1)
    if not bool((totals > 0).all()):
        return LayoutCheck("not local", float("nan"), float("nan"), float("nan"), layout)
    weights = weights.flatten(1) / totals[:, None]
    sides = [(torch.arange(n, dtype=change.dtype) + 0.5) / n for n in grid]
    positions = torch.stack(torch.meshgrid(*sides, indexing="ij")).flatten(1)  # (axes, cells)
    centroids = weights @ positions.T
    # An axis of one cell has no position, so that only the others are compared.
    axes = [axis for axis, n in enumerate(grid) if n > 1]
    expected = torch.stack([_cell_position(patches[:, axis], n) for axis, n in enumerate(grid)], 1)
    error = float((centroids - expected).square().sum(1).sqrt().mean())
    squared = (positions - centroids[:, :, None]).square().sum(1)
    spread = float((weights * squared).sum(1).sqrt().mean())
    correlation = min(_correlation(centroids[:, axis], expected[:, axis]) for axis in axes)
    participation = relative.flatten(1).sum(1).square() / (grid.numel() * relative.flatten(1).square().sum(1))
    if error <= MAX_ERROR and spread <= MAX_SPREAD and correlation >= MIN_CORRELATION:
        return LayoutCheck("verified", correlation, error, spread, layout)
    is_local = float(participation.mean()) <= MAX_LOCAL_FRACTION
    return LayoutCheck("contradicted" if is_local else "not local", correlation, error, spread, layout)


def _cell_position(centres: Tensor, n_cells: int) -> Tensor:
    """Return the mean position of the cells that patches cover, along one axis: coarse grids see no finer position."""
    low = torch.arange(n_cells, dtype=centres.dtype) / n_cells
    high = low + 1 / n_cells
    first, last = (centres - PATCH_FRACTION / 2)[:, None], (centres + PATCH_FRACTION / 2)[:, None]
    overlap = (torch.minimum(high, last) - torch.maximum(low, first)).clamp_min(0)
    return (overlap * (low + high) / 2).sum(1) / overlap.sum(1)


def _correlation(first: Tensor, second: Tensor) -> float:
    """Return the Pearson correlation of two vectors, NaN where one of them is constant."""
    a, b = first - first.mean(), second - second.mean()
    norm = float(a.norm() * b.norm())
    return float((a * b).sum()) / norm if norm else float("nan")


def check_part(
    copy: NetworkCopy,
    inputs: Any,
    profile: CallProfile,
    module_call: ModuleCall,
    key: str | None,
    shape: tuple[int, ...],
) -> Layout | None:
    """Return the verified layout of one part of an output, for `name@key`; None if it has none.

    Args:
        copy: The network copy.
        inputs: Network inputs.
        profile: The profile of the network on inputs of this shape.
        module_call: The call that returned the output.
        key: The key of the part; None for the main tensor.
        shape: Shape of the part for one image.
    """
    layout = infer_layout(shape, batch_size=1, image=image_size(copy, inputs), known_grids=profile.grids)
    layout = layout or span_layout(shape, profile.grids)
    if layout is None or (layout.kind == "nchw" and (layout.grid in profile.grids or layout.grid == (1, 1))):
        return layout
    checks: dict[tuple[Any, ...], LayoutCheck] = copy.notes.setdefault("checks of parts", {})
    name = (module_call.module, module_call.call, key, shape, image_size(copy, inputs))
    if name not in checks:
        part = replace(module_call, shape=shape, layout=layout)
        patches, responses = _measure(copy, first_image(inputs), [part], key)
        if part.position not in responses:
            return None
        checks[name] = _check(part, responses[part.position], patches, profile.grids)
    return checks[name].layout


def _measure(
    copy: NetworkCopy, inputs: Any, module_calls: Sequence[ModuleCall], key: str | None = None
) -> tuple[Tensor, dict[int, Responses]]:
    """Run the network on a noise image and on eight with a patch of other noise.

    Returns:
        The centres of the patches (8, 2), as (y, x) in fractions of the image's sides, and the responses of the calls
        by position. Calls that return another shape for these images are missing.
    """
    noise = NoiseImage(inputs, image_axes(copy, inputs))
    samples: dict[int, dict[str, Tensor]] = {}
    changes: dict[int, list[Responses]] = {module_call.position: [] for module_call in module_calls}

    def keep(module_call: ModuleCall, tensor: Tensor) -> None:
        samples[module_call.position] = {name: part.clone() for name, _, part in channel_samples(tensor)}

    def compare(module_call: ModuleCall, tensor: Tensor) -> None:
        before = samples.get(module_call.position)
        if before is not None:
            changes[module_call.position].append(
                {
                    name: (part - before[name]).square().sum(axis, keepdim=True).cpu()
                    for name, axis, part in channel_samples(tensor)
                }
            )

    with torch.inference_mode(False), torch.no_grad():
        copy.run(_CallReader(module_calls, keep, key), noise.plain())
        for patch in noise.patches:
            copy.run(_CallReader(module_calls, compare, key), noise.with_patch(patch))
    responses = {
        position: {axis: torch.stack([response[axis] for response in of_patches]) for axis in of_patches[0]}
        for position, of_patches in changes.items()
        if len(of_patches) == len(noise.patches)
    }
    return torch.tensor([patch.centre for patch in noise.patches], dtype=torch.float64), responses


@dataclass
class _CallReader:
    """A call observer that calls `read(module_call, tensor)` for the main output, or the part `key`, of some calls."""

    module_calls: Sequence[ModuleCall]
    read: Callable[[ModuleCall, Tensor], None]
    key: str | None = None
    _counts: Counter[nn.Module] = field(default_factory=Counter)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        self._counts[module] += 1
        for module_call in self.module_calls:
            if module_call.module is module and module_call.call == self._counts[module]:
                tensor = main_tensor(output, self.key)
                if tensor is not None and tuple(tensor.shape) == module_call.shape:
                    self.read(module_call, tensor.detach())
        return output


def channel_samples(tensor: Tensor) -> Iterator[tuple[str, int, Tensor]]:
    """Yield (name, axis, part) for each axis that may hold the channels, with at most `N_CHANNELS` of them.

    The grids of outputs with four axes are thinned to at most `MAX_GRID_SIDE` cells on each side.
    """
    axes = {"last": tensor.ndim - 1} | ({"second": 1} if tensor.ndim >= 4 else {})
    for name, axis in axes.items():
        part = tensor.movedim(axis, 0)[:: -(-tensor.shape[axis] // N_CHANNELS)].movedim(0, axis)
        for side in set(range(1, tensor.ndim)) - {axis} if tensor.ndim >= 4 else ():
            step = -(-part.shape[side] // MAX_GRID_SIDE)
            part = part.movedim(side, 0)[step // 2 :: step].movedim(0, side)
        yield name, axis, part.float()
