"""Attention relevance: attention weighted by its gradient, accumulated over the blocks of a transformer."""

from __future__ import annotations

from camlucida.methods.common.attention_maps import identity_attention, to_image_map
from camlucida.methods.common.decoder_relevance import relevance_for_queries
from camlucida.methods.common.sampled_relevance import sampled_relevance_map
from camlucida.methods.registry import method
from camlucida.types import Attention, AttentionGradients, Map


@method(
    paper="Chefer et al., ICCV 2021, eq. 5-10: A_ = E_heads((dy/dA * A)+); R = R + A_ R, from R = identity",
    deviation="where no class token is read, the mean of the rows of the tokens that are, without their own identity",
    relu=False,
    map_size="input",
)
def attention_relevance(attention: Attention, attention_gradients: AttentionGradients) -> Map:
    """Accumulate the positive gradient-weighted attention over all blocks of a transformer.

    The map depends on the class. Known as generic attention explainability or Transformer-MM explainability. In a
    detector with a decoder (DETR), it is the relevance of the image for the query that found the box. Where queries
    sample points of several grids (deformable DETR, RT-DETR), A_ has the bilinear coefficients of the points, and the
    upsampled maps of all grids are added.

    attention            per block (b, heads, t, t)  attention weights between the t tokens
    attention_gradients  per block (b, heads, t, t)  d score / d attention weights
    returns              (b, H, W)                   non-negative
    """
    if attention.sampled is not None:
        return sampled_relevance_map(attention, attention_gradients)
    eye = relevance = identity_attention(attention)
    blocks = len(attention.weights)
    for weights, gradients in zip(attention.weights, attention_gradients[:blocks], strict=True):
        relevance = relevance + (gradients * weights).relu().mean(1) @ relevance
    if attention.decoder:
        of_queries = relevance_for_queries(attention.decoder, attention_gradients[blocks:], relevance)
        return to_image_map(of_queries, attention)
    if attention.pooling is not None:  # eq. 10 for queries that attend to nothing else
        pooled = (attention_gradients[blocks] * attention.pooling).relu().mean(1)
        return to_image_map(pooled @ relevance, attention)
    return to_image_map(relevance - eye, attention)
