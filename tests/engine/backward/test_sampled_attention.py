"""Are sampled points found with their weights, and attention refused whose weights do not belong to them?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlucida.engine import copy_of, trace_attention
from camlucida.engine.backward.attention_weights import AttentionWeights
from camlucida.errors import MethodError

GRIDS = ((8, 8), (4, 4))
HEADS, POINTS, QUERIES = 2, 3, 5


class Deformable(nn.Module):
    """A decoder of one block, whose queries attend to each other and to sampled points of two grids."""

    def __init__(self, weight: Callable[[Tensor], Tensor] = lambda weights: weights, transposed: bool = False) -> None:
        super().__init__()
        self.weight, self.transposed = weight, transposed
        self.stem, self.pool = nn.Conv2d(3, 8, 4, stride=4), nn.AvgPool2d(2)
        self.queries = nn.Parameter(torch.zeros(1, QUERIES, 8))
        self.qkv, self.offsets = nn.Linear(8, 24), nn.Linear(8, HEADS * 2 * POINTS * 2)
        self.weights, self.head = nn.Linear(8, HEADS * 2 * POINTS), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stem(x)
        grids = [fine, self.pool(fine)]
        if self.transposed:
            grids = [grid.mT for grid in grids]
        b = len(x)
        queries = self.queries.expand(b, -1, -1)
        q, k, v = (part.unflatten(2, (HEADS, 4)).transpose(1, 2) for part in self.qkv(queries).chunk(3, -1))
        queries = queries + ((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
        offsets = self.offsets(queries).view(b, QUERIES, HEADS, 2, POINTS, 2).tanh()
        weights = self.weights(queries).view(b, QUERIES, HEADS, 2 * POINTS).softmax(-1)
        samples = [
            F.grid_sample(
                grid.reshape(b * HEADS, 4, *grid.shape[2:]),
                offsets[:, :, :, level].transpose(1, 2).flatten(0, 1),
                align_corners=False,
            )
            for level, grid in enumerate(grids)
        ]
        weights = self.weight(weights).transpose(1, 2).flatten(0, 1)[:, None]
        read = (torch.cat(samples, -1) * weights).sum(-1).unflatten(0, (b, HEADS)).flatten(1, 2).mT
        scores: Tensor = self.head(queries + read)
        return scores[:, 2]


def drawn(network: nn.Module) -> nn.Module:
    network, generator = network.double().eval(), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_points_are_found_with_their_weights() -> None:
    network = drawn(Deformable())
    trace = trace_attention(copy_of(network), IMAGES, lambda output: output)
    sampled = trace.attention.sampled
    assert sampled is not None
    assert (sampled.grids, sampled.encoder) == (GRIDS, ())
    assert trace.attention.token_contributions.tolist() == [0, 0, 1, 0, 0]
    ((own, crossing),) = sampled.decoder
    assert own.shape == (2, HEADS, QUERIES, QUERIES)
    assert crossing.weights.shape == (2, HEADS, QUERIES, 2 * POINTS)
    assert [tuple(points.shape) for points in crossing.points] == [(2, HEADS, QUERIES, POINTS, 2)] * 2
    torch.testing.assert_close(crossing.weights.sum(-1), torch.ones(2, HEADS, QUERIES, dtype=torch.float64))
    gradients = trace.gradients(lambda output: output[:, 1])
    assert [g.shape for g in gradients] == [own.shape, crossing.weights.shape]


@pytest.mark.parametrize(
    "weight",
    [lambda w: w.flip(-1), lambda w: w.flip(2), lambda w: w.square()],
    ids=["points exchanged", "heads exchanged", "another function of them"],
)
def test_weights_of_other_points_are_refused(weight: Callable[[Tensor], Tensor]) -> None:
    trace = trace_attention(copy_of(drawn(Deformable(weight))), IMAGES, lambda output: output)
    with pytest.raises(MethodError, match=r"are not weighted by the softmax before them\. Use grad_cam"):
        trace.gradients(lambda output: output[:, 1])


def test_grids_that_are_transposed_are_refused() -> None:
    with pytest.raises(MethodError, match="its 8×8 sampled tokens are not positions of the image, row by row"):
        trace_attention(copy_of(drawn(Deformable(transposed=True))), IMAGES, lambda output: output)


@pytest.mark.parametrize(
    "options",
    [
        {"align_corners": True},
        {"align_corners": False, "padding_mode": "border"},
        {"align_corners": False, "mode": "nearest"},
    ],
    ids=str,
)
def test_samples_of_another_kind_are_not_recorded(options: dict[str, object]) -> None:
    values, points = torch.randn(4, 3, 5, 6), torch.rand(4, 7, 3, 2)
    with AttentionWeights() as mode:
        torch.randn(2, 7, 2, 3).softmax(-1)
        F.grid_sample(values, points, **options)  # type: ignore[arg-type]
        assert mode.sampled() == {}
        F.grid_sample(values, points, align_corners=False)
    assert list(mode.sampled()) == [0]


def test_a_grid_sample_elsewhere_changes_nothing() -> None:
    """As of a spatial transformer: its points are not those of the attention before it."""
    with AttentionWeights() as mode:
        torch.randn(2, 4, 5, 5).softmax(-1)
        F.grid_sample(torch.randn(2, 3, 5, 6), torch.rand(2, 7, 3, 2), align_corners=False)
    assert mode.sampled() == {}
