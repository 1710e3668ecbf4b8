"""Recipro-CAM: a reference implementation, position by position."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute

Make = Callable[..., nn.Module]


@pytest.mark.parametrize("gaussian", [True, False])
def test_reference(stacked: Make, images: Tensor, gaussian: bool) -> None:
    network = stacked()
    result = attribute(network, images, target=3, layer="features", method="recipro_cam", gaussian=gaussian)
    share = {0: 1 / 4, 1: 1 / 8, 2: 1 / 16} if gaussian else {0: 1.0, 1: 0.0, 2: 0.0}
    with torch.no_grad():
        for image, map_ in zip(images, result, strict=True):
            a = network.features(image[None])
            h, w = a.shape[-2:]
            expected = torch.zeros(h, w, dtype=torch.float64)
            for u, v in itertools.product(range(h), range(w)):
                mask = torch.zeros(h, w, dtype=torch.float64)
                for i, j in itertools.product(range(h), range(w)):
                    if max(abs(i - u), abs(j - v)) <= 1:
                        mask[i, j] = share[abs(i - u) + abs(j - v)]
                expected[u, v] = network.hidden(network.rest(a * mask))[0, 3]
            assert_close(map_, expected - expected.min())


def test_at_a_linear_end_it_is_cam(gap: Make, images: Tensor) -> None:
    """f(A at one position) = w A_uv / Z + bias: CAM up to scale and offset."""
    cam, result = (
        attribute(gap(), images, target=1, layer="features", method=m, signed=True, **o)
        for m, o in (("cam", {}), ("recipro_cam", {"gaussian": False}))
    )
    assert_close(result, (cam - cam.amin((1, 2), keepdim=True)) / cam[0].numel())
