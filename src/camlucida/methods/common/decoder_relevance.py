"""Relevance of the tokens of an image for the queries of a decoder: Chefer et al., ICCV 2021, equations 6 to 10."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def relevance_for_queries(
    decoder: Sequence[tuple[Tensor, Tensor]], gradients: Sequence[Tensor], of_tokens: Tensor
) -> Tensor:
    """Return the relevance `(b, q, t)` of the tokens of the image for the queries of a decoder.

    R_qq is that of the queries for each other, and R_qt that of the tokens for the queries, both after eq. 6 and 7 in
    the attention between queries; in the attention to the tokens, R_qt = R_qt + R_qq_^T A_ R_tt_ (eq. 10), where R_ is
    R with the rows of R - identity normalised to a sum of 1 (eq. 8 and 9).
    """
    of_tokens = normalised(of_tokens)
    between = torch.eye(decoder[0][0].shape[-1]).to(of_tokens)
    relevance = torch.zeros_like(decoder[0][1][:, 0])
    for (own, crossing), own_gradient, crossing_gradient in zip(decoder, gradients[::2], gradients[1::2], strict=True):
        attended = (own_gradient * own).relu().mean(1)
        between, relevance = between + attended @ between, relevance + attended @ relevance
        attended = (crossing_gradient * crossing).relu().mean(1)
        relevance = relevance + normalised(between).mT @ attended @ of_tokens
    return relevance


def normalised(relevance: Tensor) -> Tensor:
    """Return relevance with the rows of what was added to the identity normalised to a sum of 1; empty rows stay."""
    eye = torch.eye(relevance.shape[-1]).to(relevance)
    added = relevance - eye
    total = added.sum(-1, keepdim=True)
    return torch.where(total > 0, added / total.masked_fill(total <= 0, 1), 0) + eye
