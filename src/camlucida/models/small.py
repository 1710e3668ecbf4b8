"""A small network to train from nothing: convolutions, a global average and one linear layer, so that CAM applies.

Strided convolutions have even kernels, so that cell (i, j) of the grid is centred on the square of the picture that it
stands for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

NAME = "small"
SIDE = 96
"""Of the pictures it learns from, unless asked otherwise; any multiple of 8 will do."""
WIDTHS = (24, 48, 96, 128)


class Small(nn.Module):
    """0.3 million parameters; `features` gives (b, 128, h / 8, w / 8)."""

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        one, two, three, four = widths
        self.features = nn.Sequential(
            *_convolution(3, one, kernel=4, stride=2),
            nn.MaxPool2d(2),
            *_convolution(one, two),
            *_convolution(two, two),
            nn.MaxPool2d(2),
            *_convolution(two, three),
            *_convolution(three, four),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(four, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, k) logits."""
        out: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return out


def _convolution(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    layer = nn.Conv2d(inside, outside, kernel, stride, padding=1, bias=False)
    return layer, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)


def load(pretrained: bool, classes: int = 10) -> Model:
    """With random weights: there are no others."""
    if pretrained:
        raise ModelError(
            f"{NAME!r} is an architecture to train, without weights of its own: camlucida train DATA --arch {NAME}."
        )
    how = Preprocessing((SIDE, SIDE), None, "crop", (0.5,) * 3, (0.25,) * 3)
    return Model(Small(classes).eval(), how)
