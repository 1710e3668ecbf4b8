"""The built-in segmentation network: a small U-Net that labels every pixel of toybox scenes.

Network inputs are `(b, 3, 96, 96)`, normalised; outputs are logits `(b, 11, 96, 96)` of the background and the ten
classes. It is trained by scripts/train_toybox_segmenter.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

N_CLASSES = 11


class DoubleConv(nn.Module):
    """Two convolutions, each with batch normalisation and ReLU, as in the U-Net (Ronneberger et al., 2015)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(b, out_channels, h, w)` for `(b, in_channels, h, w)`."""
        out: Tensor = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return out


class ToyUNet(nn.Module):
    """A U-Net of four resolutions, 48 to 6 pixels, whose logits are resampled to the size of the network input."""

    def __init__(self, classes: int = N_CLASSES, widths: tuple[int, int, int, int] = (20, 36, 56, 68)) -> None:
        super().__init__()
        width1, width2, width3, width4 = widths
        self.stem = nn.Sequential(nn.Conv2d(3, width1, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(width1))
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.down1 = DoubleConv(width1, width2)
        self.down2 = DoubleConv(width2, width3)
        self.bottleneck = DoubleConv(width3, width4)
        self.up2 = DoubleConv(width4 + width3, width3)
        self.up1 = DoubleConv(width3 + width2, width2)
        self.up0 = nn.Sequential(
            nn.Conv2d(width2 + width1, width1, 3, padding=1, bias=False), nn.BatchNorm2d(width1), nn.ReLU(inplace=True)
        )
        self.head = nn.Conv2d(width1, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(b, k, h, w)` of network inputs `(b, 3, h, w)`."""
        fine = self.relu(self.stem(x))
        middle = self.down1(self.pool(fine))
        coarse = self.down2(self.pool(middle))
        y = self.bottleneck(self.pool(coarse))
        y = self.up2(torch.cat([_double(y), coarse], 1))
        y = self.up1(torch.cat([_double(y), middle], 1))
        y = self.head(self.up0(torch.cat([_double(y), fine], 1)))
        return _double(y)


def _double(x: Tensor) -> Tensor:
    """Return a grid at twice its resolution, by bilinear interpolation."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
