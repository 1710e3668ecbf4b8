"""Whether the map puts the object's parts in the order of what they really do to the score."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from camlucida.maps import spearman
from camlucida.metrics.registry import MetricOutput, Score, metric


@metric(
    paper="Hesse et al. (FunnyBirds), ICCV 2023, sec. 4.2, single deletion: Spearman's correlation of the drops of the "
    "score and the part's shares of the map",
    deviation="parts are not widened by 5 pixels; parts that are hidden are left out",
    outputs=MetricOutput("high", worst=-1.0),
)
def part_effect(shown: Tensor, parts: Mapping[str, Tensor], part_score_drops: Tensor) -> Score:
    """Whether the map puts the parts in the order of what leaving each out, drawn again, does to the score.

    shown    (height, width)  the map on the original picture, at least 0
    parts    name -> (height, width)  bool: each part
    effects  (parts,)  how far the score falls without it
    returns  -1 to 1, chance level 0; fewer than two parts, or a map without anything on them, cannot be judged
    """
    if len(parts) < 2:
        return Score(float("nan"))
    on_parts = torch.stack([shown.double()[mask.to(shown.device)].sum() for mask in parts.values()])
    return Score(float(spearman(on_parts[None].cpu(), part_score_drops[None].cpu())))
