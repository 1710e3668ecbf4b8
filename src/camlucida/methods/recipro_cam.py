"""Recipro-CAM: the score when only one position of the layer is visible."""

from __future__ import annotations

import math
from functools import reduce

import torch
import torch.nn.functional as F

from camlucida.methods.registry import method
from camlucida.types import Features, Map, ScoreActivations


@method(
    paper="Byun & Lee, 2022 (arXiv 2209.14074): L_uv = (f(A * M_uv) - min) / (max - min), M_uv a mask around uv",
    deviation="not divided by max - min, so that it keeps the score's units; the authors' score is the probability",
    relu=False,
)
def recipro_cam(activations: Features, score_activations: ScoreActivations, *, gaussian: bool = True) -> Map:
    """Compute the score with all but one position of the layer masked; uses no gradients.

    Only the suffix of the network runs, once per position.

    activations        (b, c, h, w)        activations of the layer
    score_activations  variants -> (n, b)  scores for other activations; runs the suffix of the network only
    gaussian           whether the neighbours are partly visible: weights 1/4 (position), 1/8 and 1/16 (neighbours)
    returns            (b, h, w)           non-negative, in units of the score: minus the minimum over the positions
    """
    grid = activations.shape[2:]
    n_positions = math.prod(grid)
    alone, soft = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.25, 0.5, 0.25])
    profiles = [soft if gaussian else alone for _ in grid]
    if len(grid) == 3 and grid[0] == 1:  # a single slice has no neighbours: the weights are those of an image
        profiles[0] = alone
    kernel = reduce(torch.multiply, torch.meshgrid(*profiles, indexing="ij")).to(activations)[None, None]
    convolve = F.conv3d if len(grid) == 3 else F.conv2d

    def keep_position(indices: torch.Tensor) -> torch.Tensor:
        mask = F.one_hot(indices, n_positions).to(activations).view(-1, 1, *grid)
        return activations * convolve(mask, kernel, padding=1)[:, None]

    scores = score_activations(keep_position, n_positions, shared=("recipro_cam", gaussian))
    return (scores - scores.amin(0)).T.reshape(-1, *grid).to(activations.dtype)
