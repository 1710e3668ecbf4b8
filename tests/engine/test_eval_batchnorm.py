"""Batch norm that keeps nothing: the same numbers forwards, autograd's backwards, and no input in the graph."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from camlucida.engine.eval_batchnorm import eval_batchnorm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm1d, (4, 5, 7)), (nn.BatchNorm2d, (3, 5, 6, 4))])
def test_equals_batch_norm(kind: type[nn.Module], shape: tuple[int, ...], affine: bool) -> None:
    norm = _randomized_norm(kind(5, affine=affine).double().eval())
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    seed = torch.randn(shape, dtype=torch.float64)
    plain, ours = norm(x), eval_batchnorm(norm, norm.forward)(y)
    assert torch.equal(plain, ours)
    plain.backward(seed)
    ours.backward(seed)
    assert_close(y.grad, x.grad, rtol=1e-12, atol=0)


def test_keeps_no_input() -> None:
    """What autograd saves is as long as the channels, not as large as the image."""
    norm, saved = _randomized_norm(nn.BatchNorm2d(5).eval()), []
    x = torch.randn(2, 5, 16, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        eval_batchnorm(norm, norm.forward)(x)
    assert saved
    assert max(saved) == 5


def test_leaves_the_others_alone() -> None:
    class Own(nn.BatchNorm2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 1

    training, own, without = nn.BatchNorm2d(3), Own(3).eval(), nn.BatchNorm2d(3, track_running_stats=False).eval()
    for module in (training, own, without, nn.LayerNorm(3)):
        forward = module.forward
        assert eval_batchnorm(module, forward) is forward


def _randomized_norm(norm: nn.Module) -> nn.Module:
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if norm.weight is not None:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm
