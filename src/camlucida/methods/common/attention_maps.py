"""Convert relevance between tokens to a saliency map of the network input."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from camlucida.maps import upsample
from camlucida.types import Attention, Map


def identity_attention(attention: Attention) -> Tensor:
    """Return the identity `(t, t)`: the relevance of the tokens to themselves before the first block."""
    tokens = attention.weights[0].shape[-1]
    return torch.eye(tokens).to(attention.weights[0])


def to_image_map(relevance: Tensor, attention: Attention) -> Map:
    """Convert token relevance to a map of the network input.

    Args:
        relevance: Relevance `(b, t, t)` of each token (column) for each token (row), or `(b, q, t)` for each query of
            an attention pooling.
        attention: The attention, with the contributions of the tokens to the output.

    Returns:
        The relevance of the patches for the output, upsampled to `(b, H, W)`.
    """
    rows = torch.einsum("t,bts->bs", attention.token_contributions, relevance)
    n_patches = math.prod(attention.grid)
    patches = rows[:, attention.prefix : attention.prefix + n_patches]
    return upsample(patches.reshape(len(patches), *attention.grid), attention.image)
