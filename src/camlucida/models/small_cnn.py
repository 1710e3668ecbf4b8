"""A small network to train from scratch: convolutions, global average pooling, one linear layer (CAM applies).

Strided convolutions have even kernels, so that cell (i, j) of the feature grid is centred on the square of the image
that it corresponds to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

NAME = "small"
INPUT_PX = 96
"""Default side of the training images in pixels; any multiple of 8 is possible."""
WIDTHS = (24, 48, 96, 128)


class SmallCNN(nn.Module):
    """Network of 0.3 million parameters; `features` returns `(b, 128, h / 8, w / 8)`."""

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
        """Return the logits `(b, k)` of network inputs `(b, 3, h, w)`."""
        out: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return out


def _convolution(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1, bias=False)
    return layer, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)


def load(pretrained: bool, classes: int = 10) -> Model:
    """Return the network with random weights. Raises `ModelError` for `pretrained`: there are no trained weights."""
    if pretrained:
        raise ModelError(
            f"{NAME!r} is an architecture without pretrained weights. Train it: camlucida train DATA --arch {NAME}."
        )
    preprocess = Preprocessing((INPUT_PX, INPUT_PX), None, "crop", (0.5,) * 3, (0.25,) * 3)
    return Model(SmallCNN(classes).eval(), preprocess)
