"""Ablation-CAM: each channel is weighted by the drop in the score when the channel is ablated."""

from __future__ import annotations

from camlucida.maps import per_channel
from camlucida.methods.registry import method
from camlucida.types import Ablate, Features, Map, Scores

MIN_ABS_SCORE = 1e-8
"""Lower bound of the absolute score, by which the paper divides."""


@method(
    paper="Desai & Ramaswamy, WACV 2020: w_k = (y - y_k) / y with A^k set to 0; L = ReLU(sum_k w_k A^k)",
    deviation="divided by |y|, so that a negative logit does not invert the map; equal for y > 0",
    relu=True,
)
def ablation_cam(activations: Features, score: Scores, ablate: Ablate, *, infill: float = 0.0) -> Map:
    """Weight each channel by the relative drop in the score when the channel is ablated.

    Needs no gradients, so saturation has no effect. Called `AblationCAM` in pytorch-grad-cam.

    activations  (b, c, h, w)      activations of the layer
    score        (b,)              score of the target on the unmodified inputs
    ablate       infill -> (c, b)  score with channel c set to `infill`
    infill       value that replaces the channel, in units of the activations
    returns      (b, h, w)         signed; the paper shows its positive part
    """
    drop = score - ablate(infill)
    weights = drop / score.abs().clamp_min(MIN_ABS_SCORE)
    return (per_channel(weights.T, activations) * activations).sum(1)
