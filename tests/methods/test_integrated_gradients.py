"""Are integrated gradients the paper's, do they add up, and is it told by how much they do not?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import MethodError
from camlucida.methods import find
from camlucida.methods.common.perturbations import gauss_legendre
from camlucida.models.model import Model

Make = Callable[..., nn.Module]


class Cubic(nn.Module):
    """Scores that are polynomials of the pixels: the integrals are known."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.stack([(flat**3).sum(1), flat[:, 0] * flat[:, 1] ** 2, flat.sum(1) + 5], dim=1)


def run_method(network: nn.Module, images: Tensor, **options: object) -> tuple[Tensor, dict[str, Tensor]]:
    method = find("integrated_gradients")
    run = attributions(
        Model(network),
        images,
        AttributionRequest(targets=[2], layers=[None], methods=[(method, method.with_options(options))]),
    )
    return run.maps[0][0][0], dict(run.notes[0][0][0])


def reference(network: nn.Module, image: Tensor, baseline: Tensor, k: int, steps: int) -> Tensor:
    """The paper's Riemann sum, from midpoints: sum over channels of (x - x') / m sum_i dF/dx."""
    total = torch.zeros_like(image)
    for i in range(steps):
        point = (baseline + (i + 0.5) / steps * (image - baseline))[None].requires_grad_()
        network(point)[0, k].backward()
        total += point.grad[0]  # type: ignore[index]
    return ((image - baseline) * total / steps).sum(0)


def test_equals_the_reference(stacked: Make, images: Tensor) -> None:
    """Both are sums for the same integral: of a piecewise constant gradient, so fine steps on both sides."""
    network = stacked()
    result = attribute(network, images, target=2, method="integrated_gradients", steps=1000)
    for b, image in enumerate(images):
        expected = reference(network, image, torch.zeros_like(image), 2, 4000)
        assert_close(result[b], expected, rtol=0, atol=2e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("steps", [2, 3, 50])
def test_of_polynomials_it_is_exact(steps: int) -> None:
    x = torch.tensor([[[[2.0, -3.0]]]], dtype=torch.float64)
    result = attribute(Cubic(), x, target=[0, 1, 2], method="integrated_gradients", steps=steps)
    assert_close(result[0, 0], x[0, 0] ** 3)
    assert_close(result[0, 1], torch.tensor([[6.0, 12.0]], dtype=torch.float64))  # a b^2 / 3 and 2 a b^2 / 3 of 18
    assert_close(result[0, 2], x[0, 0])


@pytest.mark.parametrize("baseline", ["mean", "noise"])
def test_adds_up_and_reports_the_gap(stacked: Make, images: Tensor, baseline: str) -> None:
    network = stacked()
    start = torch.zeros_like(images)
    if baseline == "noise":
        start = torch.randn(3, 6, 10, generator=torch.Generator().manual_seed(7)).double().expand_as(images)
    with torch.no_grad():
        difference = (network(images) - network(start))[:, 2]
        scores = network(start)[:, 2]
    gaps = []
    for steps in (1, 8, 500):
        result, notes = run_method(network, images, steps=steps, baseline=baseline, seed=7)
        assert_close(notes["baseline_score"], scores)
        assert_close(notes["completeness_gap"], result.sum((1, 2)) - difference)
        gaps.append(float(notes["completeness_gap"].abs().max()))
    assert gaps[2] < 2e-3 * float(difference.abs().max()) < gaps[0]


def test_the_completeness_gap_is_independent_of_the_channel_reduction(stacked: Make, images: Tensor) -> None:
    assert_close(run_method(stacked(), images, reduce="max")[1], run_method(stacked(), images)[1])


def test_each_method_has_its_own_notes(stacked: Make, images: Tensor) -> None:
    ig, gradient = find("integrated_gradients"), find("gradient")
    two = [(ig, ig.with_options({})), (gradient, {}), (ig, ig.with_options({"steps": 2}))]
    run = attributions(Model(stacked()), images, AttributionRequest(targets=[0, 1], layers=[None], methods=two))
    gaps = [[notes.get("completeness_gap") for notes in of_method[0]] for of_method in run.notes]
    assert gaps[1] == [None, None]
    many, few = torch.stack(gaps[0]), torch.stack(gaps[2])  # type: ignore[arg-type]
    assert many.shape == few.shape == (2, 2)
    assert (many - few).abs().min() > 0


class Threshold(nn.Module):
    """A score that begins at a fraction of the contrast: the gradient on the path is a step, the integral is known."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start = start

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1).mean(1, keepdim=True) - self.start).relu()


def test_the_default_steps_leave_a_gap_below_5_percent() -> None:
    """Steps at 40 to 60 % of the path, among them those between two nodes, where the sum is furthest from the integral.

    32 nodes leave up to 6 % there.
    """
    image = torch.ones(1, 3, 4, 4)
    gaps = {
        steps: max(
            abs(
                float(attribute(Threshold(start), image, target=0, method="integrated_gradients", **options).sum())
                / (1 - start)
                - 1
            )
            for start in torch.linspace(0.4, 0.6, 41).tolist()
        )
        for steps, options in {"default": {}, "32": {"steps": 32}}.items()
    }
    assert gaps["default"] < 0.05 < gaps["32"]


def test_gauss_legendre_by_hand() -> None:
    nodes, weights = gauss_legendre(2)
    assert_close(nodes, 0.5 + torch.tensor([-0.5, 0.5], dtype=torch.float64) / 3**0.5)
    assert_close(weights, torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_what_there_is_not(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError, match=r"baseline is one of mean, noise .*, not 'black'"):
        attribute(stacked(), images, method="integrated_gradients", baseline="black")
    with pytest.raises(MethodError, match=r"steps is an integer from 1 .*, not 0"):
        attribute(stacked(), images, method="integrated_gradients", steps=0)
