"""Recipro-CAM: what the network says when it sees one place of the layer only."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from camlucida.methods.registry import method
from camlucida.types import Features, Map, ScoreActivations


@method(
    paper="Byun & Lee, 2022 (arXiv 2209.14074): L_uv = (f(A * M_uv) - min) / (max - min), M_uv a mask round uv",
    deviation="not divided by max - min, so that it keeps the score's units; the authors' score is the probability",
    relu=False,
)
def recipro_cam(activations: Features, score_activations: ScoreActivations, *, gaussian: bool = True) -> Map:
    """How high the score is with all but one place of the layer hidden: no gradients, one short run a place.

    activations  (b, c, h, w)        what the layer gave out
    score_activations        variants -> scores  of the rest of the network, for other activations
    gaussian     whether a place's neighbours are seen a little, too: 1/4 of itself, 1/8 and 1/16 of them
    returns      (b, h, w)           at least 0, in units of the score: above that of the least telling place
    """
    b, _, h, w = activations.shape
    profile = torch.tensor([0.25, 0.5, 0.25]) if gaussian else torch.tensor([0.0, 1.0, 0.0])
    kernel = torch.outer(profile, profile).to(activations)[None, None]

    def keep_position(indices: torch.Tensor) -> torch.Tensor:
        mask = F.one_hot(indices, h * w).to(activations).view(-1, 1, h, w)
        return activations * F.conv2d(mask, kernel, padding=1)[:, None]

    scores = score_activations(keep_position, h * w, shared=("recipro_cam", gaussian))
    return (scores - scores.amin(0)).T.reshape(b, h, w).to(activations.dtype)
