"""Attention rollout: the attention matrices of all blocks multiplied, with the residual connections added."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from camlucida.errors import MethodError
from camlucida.methods.common.attention_maps import identity_attention, to_image_map
from camlucida.methods.registry import method
from camlucida.options import Between, OneOf
from camlucida.types import Attention, Map

HEAD_FUSIONS = {"mean": lambda w: w.mean(1), "max": lambda w: w.amax(1), "min": lambda w: w.amin(1)}


@method(
    paper="Abnar & Zuidema, ACL 2020, eq. 1 and sec. 3: A = 0.5 W + 0.5 I, rows adding up to 1; R_l = A_l R_(l-1)",
    deviation="where no class token is read, the mean of the rows of the tokens that are",
    relu=False,
    map_size="input",
)
def attention_rollout(
    attention: Attention,
    *,
    fuse: Annotated[str, OneOf(HEAD_FUSIONS)] = "mean",
    discard: Annotated[float, Between(0, 1, below=True)] = 0.0,
) -> Map:
    """Multiply the attention matrices of all blocks, with residual connections; class-independent.

    attention  per block (b, heads, t, t)  attention weights between the t tokens; those of an attention pooling last
    fuse       reduction over the heads: mean (the paper's), max or min
    discard    fraction of the smallest weights of each block that is set to 0, in [0, 1); 0 in the paper
    returns    (b, H, W)                   non-negative; sums to 1 before upsampling, special tokens included
    """
    if attention.decoder or attention.sampled is not None:
        raise MethodError(
            "attention rollout is defined for the tokens of an encoder, and this network has a decoder whose queries "
            "read them. Use attention_relevance, or grad_cam at the last stage of the backbone."
        )
    eye = rollout = identity_attention(attention)
    for weights in attention.weights:
        with_residual = _discard_smallest(HEAD_FUSIONS[fuse](weights), discard) + eye
        rollout = with_residual / with_residual.sum(-1, keepdim=True) @ rollout
    if attention.pooling is not None:  # its queries are learned and no tokens of the image, so nothing bypasses it
        pooling = _discard_smallest(HEAD_FUSIONS[fuse](attention.pooling), discard)
        rollout = pooling / pooling.sum(-1, keepdim=True) @ rollout
    return to_image_map(rollout, attention)


def _discard_smallest(weights: Tensor, fraction: float) -> Tensor:
    """Return weights `(b, q, t)` with the smallest `fraction` of each image set to 0."""
    flat = weights.flatten(1)
    smallest = flat.topk(int(fraction * flat.shape[1]), largest=False).indices
    return flat.scatter(1, smallest, 0).view_as(weights)
