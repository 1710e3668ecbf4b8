"""Attention relevance: attention counts as far as the score would rise with it, block after block."""

from __future__ import annotations

from camlucida.methods.common.attention_maps import identity_attention, to_image_map
from camlucida.methods.registry import method
from camlucida.types import Attention, AttentionGradients, Map


@method(
    paper="Chefer et al., ICCV 2021, eq. 5-6: A_ = E_heads((dy/dA * A)+); R = R + A_ R, from R = identity",
    deviation="where no class token is read, the mean of the rows of the tokens that are, without their own identity",
    relu=False,
    map_size="picture",
)
def attention_relevance(attention: Attention, attention_gradients: AttentionGradients) -> Map:
    """Which patches flowed into the answer for this class, through all blocks of a transformer's attention.

    attention            weights a block (b, heads, t, t)    what the tokens looked at
    attention_gradients  a block (b, heads, t, t)            d score / d weights
    returns              (b, H, W)                           at least 0
    """
    eye = relevance = identity_attention(attention)
    for weights, gradients in zip(attention.weights, attention_gradients, strict=True):
        relevance = relevance + (gradients * weights).relu().mean(1) @ relevance
    return to_image_map(relevance - eye, attention)
