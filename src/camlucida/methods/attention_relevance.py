"""Attention relevance: attention weighted by its gradient, accumulated over the blocks of a transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from camlucida.methods.common.attention_maps import identity_attention, to_image_map
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
    detector with a decoder (DETR), it is the relevance of the image for the query that found the box.

    attention            per block (b, heads, t, t)  attention weights between the t tokens
    attention_gradients  per block (b, heads, t, t)  d score / d attention weights
    returns              (b, H, W)                   non-negative
    """
    eye = relevance = identity_attention(attention)
    blocks = len(attention.weights)
    for weights, gradients in zip(attention.weights, attention_gradients[:blocks], strict=True):
        relevance = relevance + (gradients * weights).relu().mean(1) @ relevance
    if attention.decoder:
        of_queries = _relevance_for_queries(attention.decoder, attention_gradients[blocks:], relevance)
        return to_image_map(of_queries, attention)
    if attention.pooling is not None:  # eq. 10 for queries that attend to nothing else
        pooled = (attention_gradients[blocks] * attention.pooling).relu().mean(1)
        return to_image_map(pooled @ relevance, attention)
    return to_image_map(relevance - eye, attention)


def _relevance_for_queries(
    decoder: Sequence[tuple[Tensor, Tensor]], gradients: Sequence[Tensor], of_tokens: Tensor
) -> Tensor:
    """Return the relevance `(b, q, t)` of the tokens of the image for the queries of a decoder.

    R_qq is that of the queries for each other, and R_qt that of the tokens for the queries, both after eq. 6 and 7 in
    the attention between queries; in the attention to the tokens, R_qt = R_qt + R_qq_^T A_ R_tt_ (eq. 10), where R_ is
    R with the rows of R - identity normalised to a sum of 1 (eq. 8 and 9).
    """
    of_tokens = _normalised(of_tokens)
    between = torch.eye(decoder[0][0].shape[-1]).to(of_tokens)
    relevance = torch.zeros_like(decoder[0][1][:, 0])
    for (own, crossing), own_gradient, crossing_gradient in zip(decoder, gradients[::2], gradients[1::2], strict=True):
        attended = (own_gradient * own).relu().mean(1)
        between, relevance = between + attended @ between, relevance + attended @ relevance
        attended = (crossing_gradient * crossing).relu().mean(1)
        relevance = relevance + _normalised(between).mT @ attended @ of_tokens
    return relevance


def _normalised(relevance: Tensor) -> Tensor:
    """Return relevance with the rows of what was added to the identity normalised to a sum of 1; empty rows stay."""
    eye = torch.eye(relevance.shape[-1]).to(relevance)
    added = relevance - eye
    total = added.sum(-1, keepdim=True)
    return torch.where(total > 0, added / total.masked_fill(total <= 0, 1), 0) + eye
