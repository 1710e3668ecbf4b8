"""Edits of network inputs: a region is removed, or replaced by that of another image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.metrics.common.imputation import impute

FEATHER_PX = 5
"""Width of the transition between a pasted patch and the image, which lies inside the patch."""


def remove(inputs: Tensor, masks: Tensor) -> Tensor:
    """Replace regions by what surrounds them: noiseless linear imputation, as in ROAD (Rong et al., 2022).

    Each missing pixel is the weighted mean of its eight neighbours, so that colours continue smoothly from the edge of
    the region and no edge is added. The system depends on the form of the region only: regions of one form are solved
    together for all images.

    Args:
        inputs: `(n, c, H, W)`.
        masks: Regions `(n, H, W)`, bool. An image that is masked everywhere becomes its mean colour.
    """
    edited = inputs.clone()
    groups: dict[bytes, list[tuple[int, slice, slice]]] = {}
    forms: dict[bytes, Tensor] = {}
    for i, mask in enumerate(masks):
        if not bool(mask.any()):
            continue
        if bool(mask.all()):
            edited[i] = inputs[i].mean((1, 2), keepdim=True)
            continue
        rows, columns = _window(mask.any(1)), _window(mask.any(0))
        form = mask[rows, columns]
        key = bytes(form.numpy().tobytes()) + bytes(str(tuple(form.shape)), "ascii")
        forms[key] = form
        groups.setdefault(key, []).append((i, rows, columns))
    for key, positions in groups.items():
        windows = torch.stack([inputs[i, :, rows, columns] for i, rows, columns in positions])
        filled = impute(windows.flatten(0, 1), forms[key][None])[0].view_as(windows)
        for (i, rows, columns), window in zip(positions, filled, strict=True):
            edited[i, :, rows, columns] = window
    return edited


def paste(recipients: Tensor, sources: Tensor, masks: Tensor) -> Tensor:
    """Paste a region of each source into a recipient, at the same position and with a soft edge.

    Args:
        recipients: `(n, c, H, W)`.
        sources: `(n, c, H, W)`.
        masks: Regions `(n, H, W)`, bool.
    """
    hard = masks[:, None].float()
    padded = F.pad(hard, (FEATHER_PX // 2,) * 4, mode="replicate")
    soft = (F.avg_pool2d(padded, FEATHER_PX, 1) * 2 - 1).clamp(0, 1) * hard
    soft = torch.maximum(soft, hard * 0.25)
    return recipients + (sources - recipients) * soft.to(recipients.dtype)


def _window(occupied: Tensor) -> slice:
    """Return the range of the occupied positions with one more on either side, where there is one."""
    where = occupied.nonzero().flatten()
    return slice(max(0, int(where[0]) - 1), min(len(occupied), int(where[-1]) + 2))
