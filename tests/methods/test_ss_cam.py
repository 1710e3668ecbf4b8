"""SS-CAM: a reference implementation, one noisy mask after the other."""

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
def test_reference(stacked: Make, images: Tensor, softmax: bool) -> None:
    network, n, noise = stacked(), 3, 0.7
    result = attribute(
        network,
        images,
        target=1,
        layer="features",
        method="ss_cam",
        signed=True,
        n=n,
        noise=noise,
        seed=4,
        softmax=softmax,
    )
    drawn = torch.randn((n, 1, 6, 10), generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        for image, map_ in zip(images, result, strict=True):
            activations = network.features(image[None])[0].clone()
            black = network(image[None] * 0)[0, 1]
            weights = []
            for a in activations:
                mask = F.interpolate(a[None, None], size=(6, 10), mode="bilinear", align_corners=False)[0, 0]
                spread = mask.max() - mask.min()
                mask = (mask - mask.min()) / spread if spread > 0 else mask * 0
                gains = [network((image * (mask + noise * d))[None])[0, 1] - black for d in drawn]
                weights.append(sum(gains) / n)
            w = torch.stack(weights)
            assert_close(map_, torch.einsum("c,chw->hw", w.softmax(0) if softmax else w, activations))


def test_without_noise_it_is_score_cam(stacked: Make, images: Tensor) -> None:
    plain = attribute(stacked(), images, layer="features", method="score_cam")
    assert_close(attribute(stacked(), images, layer="features", method="ss_cam", noise=0.0, n=2), plain)


def test_seeds_differ(stacked: Make, images: Tensor) -> None:
    one, other = (attribute(stacked(), images, layer="features", method="ss_cam", n=2, seed=s) for s in (0, 1))
    assert not torch.equal(one, other)


def test_refuses_no_copies(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match="ss_cam: n is an integer from 1"):
        attribute(stacked(), images, layer="features", method="ss_cam", n=0)
