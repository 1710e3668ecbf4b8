"""Part effect: whether the map ranks an object's parts by their true effect on the score."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from camlucida.maps import spearman
from camlucida.metrics.registry import MetricOutput, Score, metric


@metric(
    paper="Hesse et al. (FunnyBirds), ICCV 2023, sec. 4.2, single deletion: Spearman's correlation of the score drops "
    "with the sums of the map on the parts",
    deviation="parts are not dilated by 5 pixels; hidden parts are left out",
    outputs=MetricOutput("high", worst=-1.0),
)
def part_effect(display_map: Tensor, parts: Mapping[str, Tensor], part_score_drops: Tensor) -> Score:
    """Compute the rank correlation of the map's sum on each part with the score drop without the part.

    The image is rendered again without the part, so that no infill is needed.

    Args:
        display_map: `(height, width)` the map on the original image, non-negative.
        parts: Maps each part's name to its bool mask `(height, width)`.
        part_score_drops: `(parts,)` the drop of the score when each part is not rendered.

    Returns:
        Spearman's correlation, -1 to 1, chance level 0; NaN with fewer than two parts, or a map that is zero on all
        parts.
    """
    if len(parts) < 2:
        return Score(float("nan"))
    on_parts = torch.stack([display_map.double()[mask.to(display_map.device)].sum() for mask in parts.values()])
    return Score(float(spearman(on_parts[None].cpu(), part_score_drops[None].cpu())))
