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
INPUT_PX = 96
"""Of the pictures it learns from, unless asked otherwise; any multiple of 8 will do."""
WIDTHS = (24, 48, 96, 128)


class SmallCNN(nn.Module):
    """0.3 million parameters; `features` gives (b, 128, h / 8, w / 8)."""

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        width1, width2, width3, width4 = widths
        self.features = nn.Sequential(
            *_convolution(3, width1, kernel=4, stride=2),
            nn.MaxPool2d(2),
            *_convolution(width1, width2),
            *_convolution(width2, width2),
            nn.MaxPool2d(2),
            *_convolution(width2, width3),
            *_convolution(width3, width4),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width4, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, k) logits."""
        out: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return out


def _convolution(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1, bias=False)
    return layer, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)


def load(pretrained: bool, classes: int = 10) -> Model:
    """With random weights: there are no others."""
    if pretrained:
        raise ModelError(
            f"{NAME!r} is an architecture to train, without weights of its own: camlucida train DATA --arch {NAME}."
        )
    preprocess = Preprocessing((INPUT_PX, INPUT_PX), None, "crop", (0.5,) * 3, (0.25,) * 3)
    return Model(SmallCNN(classes).eval(), preprocess)
