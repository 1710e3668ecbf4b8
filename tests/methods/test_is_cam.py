"""IS-CAM: a reference implementation along both ways."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError

Make = Callable[..., nn.Module]


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("way", ["printed", "straight"])
def test_reference(stacked: Make, images: Tensor, softmax: bool, way: str) -> None:
    network, n = stacked(), 4
    result = attribute(
        network, images, target=1, layer="features", method="is_cam", signed=True, n=n, way=way, softmax=softmax
    )
    with torch.no_grad():
        for image, map_ in zip(images, result, strict=True):
            activations = network.features(image[None])[0].clone()
            black = network(image[None] * 0)[0, 1]
            weights = []
            for a in activations:
                mask = F.interpolate(a[None, None], size=(6, 10), mode="bilinear", align_corners=False)[0, 0]
                spread = mask.max() - mask.min()
                mask = (mask - mask.min()) / spread if spread > 0 else mask * 0
                total = torch.zeros((), dtype=torch.float64)
                for i in range(1, n + 1):
                    strength = sum(j / n for j in range(i)) if way == "printed" else i / n
                    total += network((strength * mask * image)[None])[0, 1] - black
                weights.append(total / n)
            w = torch.stack(weights)
            assert_close(map_, torch.einsum("c,chw->hw", w.softmax(0) if softmax else w, activations))


def test_one_straight_step_is_score_cam(stacked: Make, images: Tensor) -> None:
    plain = attribute(stacked(), images, layer="features", method="score_cam")
    assert_close(attribute(stacked(), images, layer="features", method="is_cam", n=1, way="straight"), plain)


def test_refuses_another_way(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match=r"way is one of printed, straight .*, not 'round'"):
        attribute(stacked(), images, layer="features", method="is_cam", way="round")
