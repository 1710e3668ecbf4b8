"""Whether several grids that a network reads at once lie over the image, verified by a moving patch of noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.image_axes import image_axes
from camlucida.engine.layout import Layout
from camlucida.engine.module_calls import first_image, profile_calls
from camlucida.engine.moving_patch import NoiseImage
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.patch_response import channel_samples, compare_responses


def check_grids(
    copy: NetworkCopy, inputs: Any, read: Callable[[Any], list[Tensor]], grids: Sequence[tuple[int, int]]
) -> str:
    """Return why grids are not positions of the image, row by row; empty if they are.

    A grid whose response is not local says nothing of its order: it is accepted if a layer returned it, as
    `geometry.check_layouts` does. The network runs nine times, once per network and number of grids.

    Args:
        copy: The network copy.
        inputs: Network inputs.
        read: Runs the network on inputs, and returns the activations `(b, c, h, w)` of each grid.
        grids: (h, w) of each grid.
    """
    known: dict[int, str] = copy.notes.setdefault("checks of sampled grids", {})
    if known.get(len(grids)) != "":  # at other image sizes, a network keeps the order of its tokens
        known[len(grids)] = _contradiction(copy, inputs, read, grids)
    return known[len(grids)]


def _contradiction(
    copy: NetworkCopy, inputs: Any, read: Callable[[Any], list[Tensor]], grids: Sequence[tuple[int, int]]
) -> str:
    noise = NoiseImage(first_image(inputs), image_axes(copy, inputs))
    with torch.inference_mode(False), torch.no_grad():
        before = [_channels(tensor) for tensor in read(noise.plain())]
        changes: list[list[Tensor]] = [[] for _ in grids]
        for patch in noise.patches:
            after = [_channels(tensor) for tensor in read(noise.with_patch(patch))]
            for change, one, other in zip(changes, before, after, strict=True):
                change.append((one - other).square().sum(1, keepdim=True).cpu())
    centres = torch.tensor([patch.centre for patch in noise.patches], dtype=torch.float64)
    returned = profile_calls(copy, inputs).grids
    for (h, w), change in zip(grids, changes, strict=True):
        if (h, w) == (1, 1):
            continue
        check = compare_responses(Layout("nchw", tuple(change[0].shape[2:])), {"second": torch.stack(change)}, centres)
        if check.outcome == "contradicted" or (check.outcome == "not local" and (h, w) not in returned):
            return f"its {h}×{w} sampled tokens are not positions of the image, row by row"
    return ""


def _channels(tensor: Tensor) -> Tensor:
    return next(part.clone() for name, _, part in channel_samples(tensor) if name == "second")
