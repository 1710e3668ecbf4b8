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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine.call_profile import CallProfile, ModuleCall
from camlucida.engine.image_axes import image_size
from camlucida.engine.layer_checks import LayoutCheck
from camlucida.engine.layout import Layout, alternatives, infer_layout, span_layout
from camlucida.engine.module_calls import first_image
from camlucida.engine.moving_patch import CENTRES
from camlucida.engine.named_inputs import NamedInputs
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.patch_response import Responses, channel_samples, compare_responses, measure_responses
from camlucida.engine.stored_checks import load_checks, save_checks

MAX_OFFSETS = 4096
"""Largest number of offsets in a sequence that are tried for the tokens of the image."""


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
    patches, responses = measure_responses(copy, first_image(inputs), [profile.module_calls[p] for p in unknown])
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
    """Return how many bytes `measure_responses` keeps of an output: the samples, and one response per patch."""
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
        patches, responses = measure_responses(copy, first_image(inputs), [part], key)
        if part.position not in responses:
            return None
        checks[name] = _check(part, responses[part.position], patches, profile.grids)
    return checks[name].layout
