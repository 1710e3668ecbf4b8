"""The built-in captioner: a small convolutional encoder, and a transformer decoder that attends to its grid.

Captions name the objects of a toybox scene from left to right: "a cat and a dog". The network input is
`(b, 3, 96, 96)`, normalised, with the tokens so far, and the output the logits of every next token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from camlucida.models.captions.captioner import Captioner
from camlucida.models.toybox_networks import BasicBlock, Mlp

SPECIAL = ("<pad>", "<start>", "<end>")
START, END = 1, 2
MAX_TOKENS = 8
"""Length of the longest sequence of tokens: <start>, five words of two objects, and <end>."""


def vocabulary(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the tokens of the captioner: special ones, "a", "and", and one per class."""
    return (*SPECIAL, "a", "and", *classes)


def caption_ids(names: Sequence[str], words: Sequence[str]) -> list[int]:
    """Return the tokens of the caption of objects, from <start> to <end>.

    Args:
        names: Class names, from left to right.
        words: As of `vocabulary`.
    """
    text = " and ".join(f"a {name}" for name in names)
    return [START, *(words.index(word) for word in text.split()), END]


class CrossAttention(nn.Module):
    """Multi-head attention of queries to other tokens, with an explicit softmax module."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.softmax = nn.Softmax(dim=-1)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return `(b, q, dim)` for queries `(b, q, dim)` and tokens `(b, t, dim)`; `mask` is added to the logits."""
        b, q, dim = x.shape
        query, key, value = (
            tokens.reshape(b, -1, self.heads, dim // self.heads).transpose(1, 2)
            for tokens in (self.query(x), self.key(keys), self.value(values))
        )
        logits = query @ key.transpose(-2, -1) * self.scale
        weights = self.softmax(logits if mask is None else logits + mask)
        out: Tensor = self.proj((weights @ value).transpose(1, 2).reshape(b, q, dim))
        return out


class DecoderBlock(nn.Module):
    """Pre-norm transformer block: causal self-attention, attention to the image, and an MLP."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.self_attention = CrossAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, heads)
        self.norm3 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 2 * dim)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return `(b, t, dim)` for tokens `(b, t, dim)`, and the keys and values of the image `(b, n, dim)`."""
        causal = torch.full((x.shape[1], x.shape[1]), -torch.inf, device=x.device, dtype=x.dtype).triu(1)
        normed = self.norm1(x)
        x = x + self.self_attention(normed, normed, normed, causal)
        x = x + self.cross_attention(self.norm2(x), keys, values)
        out: Tensor = x + self.mlp(self.norm3(x))
        return out


class ToyEncoder(nn.Module):
    """The convolutions of the residual network, with a narrower last stage; layer4 returns `(b, 64, 12, 12)`."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        width1, width2, width3, width4 = widths
        self.conv1 = nn.Conv2d(3, width1, 4, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width1)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(BasicBlock(width1, width1, 1))
        self.layer2 = nn.Sequential(BasicBlock(width1, width2, 2))
        self.layer3 = nn.Sequential(BasicBlock(width2, width3, 1))
        self.layer4 = nn.Sequential(BasicBlock(width3, width4, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of layer3 and of layer4 `(b, c, h / 8, w / 8)` for network inputs `(b, 3, h, w)`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        layer3 = self.layer3(self.layer2(self.layer1(x)))
        return layer3, self.layer4(layer3)


class ToyCaptioner(Captioner):
    """Image to text: `ToyEncoder`, then one decoder block.

    Where the decoder attends follows from layer3 and the position, and what it reads there from layer4. The gradient of
    a word at layer4 is then that of what is read, weighted by the attention.
    """

    def __init__(
        self,
        words: int = 15,
        widths: tuple[int, int, int, int] = (24, 48, 72, 64),
        dim: int = 64,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.encoder = ToyEncoder(widths)
        self.project_keys = nn.Linear(widths[-2], dim)
        self.project = nn.Linear(widths[-1], dim)
        self.image_position = nn.Parameter(torch.randn(1, 12 * 12, dim) * 0.02)
        self.token_embedding = nn.Embedding(words, dim)
        self.token_position = nn.Parameter(torch.randn(1, MAX_TOKENS, dim) * 0.02)
        self.decoder = DecoderBlock(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, words)

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits of every next token `(b, t, words)` for images `(b, 3, 96, 96)` and tokens `(b, t)`."""
        return self.decode(self.encode(pixel_values), input_ids)

    def encode(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and the values of the tokens of images, `(b, n, dim)` each."""
        return self.read(*self.encoder(pixel_values))

    def read(self, layer3: Tensor, layer4: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and the values `(b, n, dim)` for the features of the encoder."""
        keys = self.project_keys(layer3.flatten(2).transpose(1, 2)) + self.image_position
        return keys, self.project(layer4.flatten(2).transpose(1, 2))

    def decode(self, features: tuple[Tensor, Tensor], input_ids: Tensor) -> Tensor:
        """Return the logits `(b, t, words)` for the keys and values of the image and the tokens of a text."""
        x = self.token_embedding(input_ids) + self.token_position[:, : input_ids.shape[1]]
        out: Tensor = self.head(self.norm(self.decoder(x, *features)))
        return out
