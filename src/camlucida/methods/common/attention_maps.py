"""From what tokens take from tokens to a map of the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from camlucida.maps import upsample
from camlucida.types import Attention, Map


def identity_attention(attention: Attention) -> Tensor:
    """(t, t): every token as it is before the first block."""
    tokens = attention.weights[0].shape[-1]
    return torch.eye(tokens).to(attention.weights[0])


def to_image_map(relevance: Tensor, attention: Attention) -> Map:
    """What the tokens that are read have of each patch, (b, t, t) over the picture: (b, H, W)."""
    rows = torch.einsum("t,bts->bs", attention.token_contributions, relevance)
    n_patches = attention.grid[0] * attention.grid[1]
    patches = rows[:, attention.prefix : attention.prefix + n_patches]
    return upsample(patches.reshape(len(patches), *attention.grid), attention.image)
