"""The built-in object detector: convolutional, without anchors, on one grid (as FCOS, Tian et al., ICCV 2019).

Every cell of a 12 x 12 grid predicts, for the object around it, a logit per class and the distances to the four edges
of its box. The class probability is trained to be the intersection over union of the predicted box with the true one
(generalised focal loss, Li et al., NeurIPS 2020), so that it orders the candidates for suppression.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camlucida.models.detection.candidates import Detector
from camlucida.models.toybox_networks import N_CLASSES, BasicBlock

STRIDE_PX = 8
"""Pixels of the network input per cell of the grid."""


class ToyDetector(Detector):
    """A residual network with a head of one convolution; inputs are `(b, 3, 96, 96)`, layer4 returns `(b, 80, 12, 12)`.

    Args:
        classes: Number of classes.
        widths: Channels of the four stages.
    """

    fixed_order = True

    def __init__(self, classes: int = N_CLASSES, widths: tuple[int, int, int, int] = (16, 40, 64, 80)) -> None:
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
        self.head = nn.Sequential(
            nn.Conv2d(width4, width4, 3, padding=1, bias=False), nn.BatchNorm2d(width4), nn.ReLU(inplace=True)
        )
        self.class_scores = nn.Conv2d(width4, classes, 1)
        self.distances = nn.Conv2d(width4, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the candidates of all cells, in the format of `detection.candidates`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.head(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        scores, distances = self.class_scores(x), self.distances(x)
        rows, columns = scores.shape[2:]
        centres = cell_centres(rows, columns).to(distances)
        to_edges = STRIDE_PX * nn.functional.softplus(distances.flatten(2).transpose(1, 2))
        boxes = torch.cat([centres - to_edges[..., :2], centres + to_edges[..., 2:]], -1)
        return {"boxes": boxes, "scores": scores.flatten(2).transpose(1, 2)}


def cell_centres(rows: int, columns: int) -> Tensor:
    """Return the centres `(rows * columns, 2)` of the cells as (x, y) in pixels of the network input."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return (torch.stack([x, y], -1).flatten(0, 1) + 0.5) * STRIDE_PX
