"""Smooth Grad-CAM++: a reference implementation of the paper's alpha, and Grad-CAM++ where there is no noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError

Make = Callable[..., nn.Module]


@pytest.mark.parametrize("printed", [False, True])
def test_reference(stacked: Make, images: Tensor, seen: Callable[..., tuple[Tensor, ...]], printed: bool) -> None:
    network, n, noise = stacked(), 3, 0.2
    result = attribute(
        network, images, target=1, layer="features", method="smooth_grad_cam_plusplus", signed=True,
        n=n, noise=noise, seed=7, printed=printed,
    )  # fmt: skip
    drawn = torch.randn((n, *images.shape[1:]), generator=torch.Generator().manual_seed(7)).double()
    for image, map_ in zip(images, result, strict=True):
        activations = seen(network, image[None], lambda o: o[:, 1])[0][0]
        width = noise * (image.max() - image.min())
        gradients = [seen(network, (image + width * d)[None], lambda o: o[:, 1])[1][0] for d in drawn]
        c, h, w = activations.shape
        expected = torch.zeros(h, w, dtype=torch.float64)
        for k in range(c):
            weight = 0.0
            for i, j in itertools.product(range(h), range(w)):
                d1, d2, d3 = (sum(float(g[k, i, j]) ** p for g in gradients) / n for p in (1, 2, 3))
                below = 2 * d2 + float(activations[k].sum()) * d3
                if below:
                    weight += (d1 if printed else d2) / below * max(d1, 0.0)
            expected += weight * activations[k]
        assert_close(map_, expected)


def test_without_noise_it_is_grad_cam_plusplus(stacked: Make, images: Tensor) -> None:
    expected = attribute(stacked(), images, target=1, layer="features", method="grad_cam_plusplus", signed=True)
    result = attribute(
        stacked(), images, target=1, layer="features", method="smooth_grad_cam_plusplus", noise=0.0, signed=True
    )
    assert_close(result, expected)


def test_seeds_differ(stacked: Make, images: Tensor) -> None:
    one, other = (
        attribute(stacked(), images, layer="features", method="smooth_grad_cam_plusplus", noise=0.5, seed=s)
        for s in (0, 1)
    )
    assert not torch.equal(one, other)


def test_refuses_no_copies(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match="smooth_grad_cam_plusplus: n is an integer from 1"):
        attribute(stacked(), images, layer="features", method="smooth_grad_cam_plusplus", n=0)
