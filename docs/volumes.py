"""The images of docs/sources/volumes-and-bands.md: a synthetic scan, and a network whose weights are set by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import camlucida as cl
from camlucida.attribution.volume_explanation import VolumeExplanation
from camlucida.data.volumes import Volume

AFFINE = np.array([[2.0, 0, 0, -72], [0, 2.0, 0, -80], [0, 0, 5.0, -80], [0, 0, 0, 1]])
"""Voxels of 2 x 2 x 5 mm."""
LESIONS = (((24, 54, 20), (4, 8, 3)), ((48, 28, 11), (4, 4, 2)))
"""Centre and radii of the bright ellipsoids, in voxels (x, y, z)."""


class BrightSpots(nn.Module):
    """Counts voxels that are brighter than tissue (class 1) against voxels of tissue (class 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.AvgPool3d(2))
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.features[0].weight.fill_(1 / 27)
            self.features[0].bias.copy_(torch.tensor([-0.62, -0.3]))
            self.head.weight.copy_(torch.tensor([[0.0, 2.0], [9000.0, 0.0]]))
            self.head.bias.copy_(torch.tensor([0.0, -1.0]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x).mean((2, 3, 4)))
        return out


def scan() -> NDArray[np.float32]:
    """Return voxels (x, y, z) in RAS: noise, an ellipsoid of tissue, and two brighter ones in it."""
    voxels = np.random.default_rng(0).normal(150, 30, size=(72, 80, 32))
    for (x, y, z), radii in (((36, 40, 16), (32, 36, 14)), *LESIONS):
        i, j, k = np.ogrid[:72, :80, :32]
        inside = ((i - x) / radii[0]) ** 2 + ((j - y) / radii[1]) ** 2 + ((k - z) / radii[2]) ** 2 < 1
        voxels += (350 if radii[0] > 9 else 400) * inside
    return voxels.astype(np.float32)


def explanation() -> VolumeExplanation:
    """Return the Grad-CAM explanation of the scan."""
    volume = Volume(scan()[None], AFFINE, "RAS", AFFINE, "scan.nii.gz")
    preprocessing = cl.VolumePreprocessing(window=(0, 1000))
    model = cl.wrap(BrightSpots().eval(), labels=["no lesion", "lesion"], volume=preprocessing, name="BrightSpots")
    result = cl.explain(model, volume, target="lesion")
    assert isinstance(result, VolumeExplanation)
    return result


def save_images(folder: Path) -> None:
    """Render the images."""
    panel = explanation().panel(density=1.0)
    panel.save(folder / "volume.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    save_images(Path(__file__).parent / "images")
