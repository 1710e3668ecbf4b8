"""Score-CAM: a channel weighs what the network says when it sees the picture through that channel."""

from __future__ import annotations

from camlucida.methods.common.score_cam_masks import ScoreBaseline, channel_masks, subtract_baseline, weighted_sum
from camlucida.methods.registry import method
from camlucida.types import Features, Images, Map, ScoreInputs


@method(
    paper="Wang et al., CVPR workshop 2020, alg. 1: alpha = softmax_k f(X * s(Up(A^k))); L = ReLU(sum_k alpha_k A^k)",
    deviation="a channel that is the same everywhere, where s is 0/0, has a mask of 0; softmax=False is the paper's"
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
    """Each channel weighted by the score of the picture seen through it: no gradients, one run a channel.

    Channels that are equal up to scale, or dead, share a run; the result is exact.

    activations  (b, c, h, w)        what the layer gave out
    inputs       (b, c, H, W)        the pictures
    score_inputs      variants -> scores  of other pictures
    softmax      whether the weights are a softmax over the channels (algorithm 1), else the scores themselves
    baseline     what is taken off every score: "black", that of an input of zeros (the mean colour, where the network
                 wants normalised pictures), or "none"; under a softmax it makes no difference
    returns      (b, h, w)           signed; the paper shows the positive part
    """
    masks = channel_masks(activations, (inputs.shape[-2], inputs.shape[-1]))
    scores = score_inputs(lambda which: inputs * masks(which)[:, :, None], masks.n_masks, shared="score_cam").double()
    channel_scores = masks.per_channel(subtract_baseline(scores, baseline, scores[0]))
    return weighted_sum(activations, channel_scores, softmax=softmax)
