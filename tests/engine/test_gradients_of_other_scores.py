"""Gradients of other scores than those asked about, from the graph of the same run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.competing_classes import competing_classes, own_class
from camlucida.engine import copy_of, resolve, trace
from camlucida.targets import Contrast, Counterfactual, Logit, LogProbability, Probability


class Writing(nn.Module):
    """The rest writes in place to what the layer returned."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.layer = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.relu(self.layer(self.stem(x))).square().mean((2, 3)))
        return result


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_gradients_of_other_scores_from_the_same_run(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = Writing().eval().to(dtype)
    inputs, copied = torch.randn(3, 3, 8, 9).to(dtype), copy_of(network)
    run = trace(copied, inputs, resolve(copied, inputs, ["layer"]), gradients=True)
    run.gradients(run.output[:, 1][None], keep=True)
    gradients = run.input_gradients(run.layers[0], run.output[:, [3, 0]].T)
    a = network.layer(network.stem(inputs)).detach().requires_grad_()
    output = network.head(network.relu(a.clone()).square().mean((2, 3)))
    expected = [torch.autograd.grad(output[:, k].sum(), a, retain_graph=True)[0] for k in (3, 0)]
    assert gradients.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    near = {} if dtype is torch.float64 else {"rtol": 0.05, "atol": 0.01}
    assert_close(gradients, torch.stack(expected).to(gradients), **near)
    assert not gradients.requires_grad
    assert all(p.grad is None for p in network.parameters())


def test_a_score_that_does_not_depend_on_the_layer_has_no_gradient() -> None:
    network = Writing().eval()
    inputs, copied = torch.randn(1, 3, 8, 9), copy_of(network)
    run = trace(copied, inputs, resolve(copied, inputs, ["layer"]), gradients=True)
    gradients = run.input_gradients(run.layers[0], torch.ones(2, 1))
    assert_close(gradients, torch.zeros(2, *run.layers[0].activations.shape))


ROWS = torch.tensor([[2.0, 5.0, 1.0, 4.0], [9.0, 1.0, 2.5, 3.0]])


@pytest.mark.parametrize(
    ("target", "own"),
    [
        (Logit(2), [2, 2]),
        (Logit(torch.tensor([3, 1])), [3, 1]),
        (Probability(1), [1, 1]),
        (LogProbability(0), [0, 0]),
        (Contrast(Logit(3), Logit(0)), [3, 3]),
        (Counterfactual(Logit(2)), [2, 2]),
    ],
)
def test_the_own_class_of_a_target(target: Logit, own: list[int]) -> None:
    assert own_class(target, ROWS).tolist() == own


def test_best_and_nearest() -> None:
    def chosen(order: str) -> list[list[int]]:
        return [t.index.tolist() for t in competing_classes(Logit(2), ROWS, 2, order)]  # type: ignore[arg-type, union-attr]

    assert chosen("best") == [[1, 0], [3, 3]]
    assert chosen("nearest") == [[0, 3], [3, 1]]
    assert all(isinstance(t, Probability) for t in competing_classes(Probability(2), ROWS, 2, "best"))
    assert all(isinstance(t, Logit) for t in competing_classes(Contrast(Logit(1), Logit(0)), ROWS, 9, "best"))
