"""Ablation-CAM: a channel weighs as much as the score falls without it."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Ablate, Features, Map, Scores

MIN_ABS_SCORE = 1e-8
"""Stands in for a score of zero, which the paper would divide by."""


@method(
    paper="Desai & Ramaswamy, WACV 2020: w_k = (y - y_k) / y with A^k set to 0; L = ReLU(sum_k w_k A^k)",
    deviation="divided by |y|, so that a negative logit does not turn the map round; equal for y > 0",
    relu=True,
)
def ablation_cam(activations: Features, score: Scores, ablate: Ablate, *, infill: float = 0.0) -> Map:
    """Each channel weighted by how far the score falls without it: no gradients, so nothing saturates.

    activations  (b, c, h, w)    what the layer gave out
    score        (b,)            the target on the untouched images
    ablate       infill -> (c, b)  the score with each channel in turn set to `infill`
    infill       what stands in for the channel, in units of the activations
    returns      (b, h, w)       signed; the paper shows the positive part
    """
    drop = score - ablate(infill)
    weights = drop / score.abs().clamp_min(MIN_ABS_SCORE)
    return (weights.T[:, :, None, None] * activations).sum(1)
