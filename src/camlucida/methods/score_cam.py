"""Score-CAM: each channel is weighted by the score of the input masked with that channel."""

from __future__ import annotations

from camlucida.methods.common.score_cam_masks import ScoreBaseline, channel_masks, subtract_baseline, weighted_sum
from camlucida.methods.registry import method
from camlucida.types import Features, Images, Map, ScoreInputs


@method(
    paper="Wang et al., CVPR workshop 2020, alg. 1: alpha = softmax_k f(X * s(Up(A^k))); L = ReLU(sum_k alpha_k A^k)",
    deviation="a constant channel, where s is 0/0, has a mask of 0; softmax=False is the paper's"
    " eq. of the increase of confidence, alpha_k = f(X * H_k) - f(X_b), without the softmax of algorithm 1",
    relu=True,
)
def score_cam(
    activations: Features,
    inputs: Images,
    score_inputs: ScoreInputs,
    *,
    softmax: bool = True,
    baseline: ScoreBaseline = "black",
) -> Map:
    """Weight each channel by the score of the input masked with it: no gradients, one evaluation each.

    Channels that are proportional to each other, and dead channels, share one evaluation; the result is exact.
    Called `ScoreCAM` in pytorch-grad-cam.

    activations   (b, c, h, w)        activations of the layer
    inputs        (b, c, H, W)        network inputs
    score_inputs  variants -> (n, b)  scores of other network inputs
    softmax       whether the weights are a softmax over the channels (algorithm 1), else the scores themselves
    baseline      score that is subtracted: "black", the score of an input of zeros (the mean colour, if inputs are
                  normalised), or "none"; makes no difference under a softmax
    returns       (b, h, w)           signed; the paper shows its positive part
    """
    masks = channel_masks(activations, inputs.shape[2:])
    scores = score_inputs(lambda which: inputs * masks(which)[:, :, None], masks.n_masks, shared="score_cam").double()
    channel_scores = masks.per_channel(subtract_baseline(scores, baseline, scores[0]))
    return weighted_sum(activations, channel_scores, softmax=softmax)
