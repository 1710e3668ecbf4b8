"""Finer-CAM: a reference implementation of the equation, Grad-CAM of the difference, and who counts as similar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError

Make = Callable[..., nn.Module]


def found(network: nn.Module, images: Tensor, **how: Any) -> Tensor:
    requested: dict[str, Any] = {"target": 1, "layer": "features", "method": "finer_cam", "signed": True} | how
    return attribute(network, images, **requested)


def similar(row: Tensor, own: int, n: int) -> list[int]:
    other_classes = [k for k in range(len(row)) if k != own]
    row = row.detach()
    return sorted(other_classes, key=lambda k: abs(float(row[k] - row[own])))[:n]


@pytest.mark.parametrize(("gamma", "n"), [(0.6, 3), (1.0, 1), (0.3, 2)])
def test_reference(stacked: Make, images: Tensor, gamma: float, n: int) -> None:
    """1/n sum_d mean_ij d(y_c - gamma y_d)/dA, one backward pass a class, one image after the other."""
    network, maps = stacked(), []
    for image in images:
        a = network.features(image[None]).detach().requires_grad_()
        scores = network.hidden(network.rest(a.clone()))[0]
        alpha = torch.zeros(a.shape[1], dtype=a.dtype)
        for d in similar(scores, 1, n):
            (gradient,) = torch.autograd.grad(scores[1] - gamma * scores[d], a, retain_graph=True)
            alpha += gradient.mean((2, 3))[0] / n
        maps.append(torch.einsum("c,chw->hw", alpha, a[0].detach()))
    assert_close(found(network, images, gamma=gamma, n=n), torch.stack(maps))


def test_softmax_weights_as_the_authors_write_them(stacked: Make, images: Tensor) -> None:
    """sum_d p_d (y_c - gamma y_d) / sum_d p_d, differentiated as a whole, weights and all."""
    network, gamma, maps = stacked(), 0.8, []
    for image in images:
        a = network.features(image[None]).detach().requires_grad_()
        scores = network.hidden(network.rest(a.clone()))[0]
        other_classes = similar(scores, 1, 2)
        p = scores.softmax(0)[other_classes]
        value = (p * (scores[1] - gamma * scores[other_classes])).sum() / p.sum()
        (gradient,) = torch.autograd.grad(value, a)
        maps.append(torch.einsum("c,chw->hw", gradient.mean((2, 3))[0], a[0].detach()))
    assert_close(found(network, images, gamma=gamma, n=2, weights="softmax"), torch.stack(maps))


def test_without_the_others_it_is_grad_cam(stacked: Make, images: Tensor) -> None:
    network = stacked()
    assert_close(found(network, images, gamma=0.0), found(network, images, method="grad_cam"))


def test_against_one_other_it_is_grad_cam_of_the_contrast(stacked: Make, images: Tensor) -> None:
    network = stacked()
    (other,) = similar(network(images[:1])[0], 2, 1)
    expected = found(network, images[:1], target=f"2 rather than {other}", method="grad_cam")
    assert_close(found(network, images[:1], target=2, gamma=1, n=1), expected)


def test_more_others_than_there_are(stacked: Make, images: Tensor) -> None:
    network = stacked()
    assert_close(found(network, images, n=99), found(network, images, n=3))


def test_each_image_has_its_own_others(stacked: Make, images: Tensor) -> None:
    network = stacked()
    batch = torch.cat([images, 3 * images.flip(-1), -2 * images])
    rows = network(batch)
    assert len({similar(row, 1, 1)[0] for row in rows}) > 1
    one_by_one = torch.cat([found(network, image[None], n=1) for image in batch])
    assert_close(found(network, batch, n=1), one_by_one)


@pytest.mark.parametrize("target", ["not 1", "1 rather than 0"])
def test_other_targets_have_an_own_class_too(gap: Make, images: Tensor, target: str) -> None:
    """After a linear end the map is known: the head's weights, own class 1."""
    network = gap()
    row, weight = network(images[:1])[0], network.head.weight
    (other,) = similar(row, 1, 1)
    own = -weight[1] if target == "not 1" else weight[1] - weight[0]
    a = network.features(images[:1])
    expected = torch.einsum("c,bchw->bhw", own - 0.6 * weight[other], a) / a[0, 0].numel()
    assert_close(found(network, images[:1], target=target, n=1), expected.detach())


def test_the_others_are_scored_as_the_target_is(gap: Make, images: Tensor) -> None:
    network = gap()
    a = network.features(images[:1]).detach().requires_grad_()
    p = network.head(a.mean((2, 3))).log_softmax(1)[0]
    (other,) = similar(p, 1, 1)
    (gradient,) = torch.autograd.grad(p[1] - 0.6 * p[other], a)
    expected = torch.einsum("bc,bchw->bhw", gradient.mean((2, 3)), a.detach())
    assert_close(found(network, images[:1], n=1, score="log_probability"), expected)


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).mean((1, 2, 3))[:, None]


def test_what_it_refuses(gap: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match=r"finer_cam: weights is one of mean, softmax .*, not 'max'"):
        found(gap(), images, weights="max")
    with pytest.raises(MethodError, match="finer_cam: n is an integer from 1"):
        found(gap(), images, n=0)
    with pytest.raises(MethodError, match="several classes, and this network has a single output"):
        found(One(), images.float(), target=0)
