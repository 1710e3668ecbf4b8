"""The base class of networks that write words about an image."""

from __future__ import annotations

from torch import nn


class Captioner(nn.Module):
    """A network that maps an image and the tokens so far to scores of the next token, at every position.

    Its forward pass takes network inputs `(b, c, H, W)` and token ids `(b, t)`, and returns logits `(b, t, V)` over the
    vocabulary. Where words are written by attention to positions of the image, the gradient of one word is local.
    """
