"""Layouts are verified by moving a patch of noise: orders of tokens that a shape does not show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.engine import candidates, copy_of, default_layer, profile_calls
from camlucida.engine.layout import Layout
from camlucida.errors import LayerError

HEIGHT, WIDTH = 48, 80
GRID = (6, 10)
N_TOKENS = 60
IMAGES = torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))
RUNS: list[int] = []
"""Batch sizes of all runs of `Tokens`; not an attribute, which would be a change of the network."""


class Tokens(nn.Module):
    """Embeds 8 x 8 patches, brings the tokens in another order, applies a block and reads the mean of all.

    Args:
        arrange: Maps the tokens (b, 60, c), in rows, to the sequence in which the block sees them.
    """

    def __init__(self, arrange: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed = nn.Conv2d(3, 24, 8, 8)
        self.block = nn.Sequential(nn.Linear(24, 24), nn.LayerNorm(24))
        self.head = nn.Linear(24, 5)
        self.arrange = arrange

    def forward(self, x: Tensor) -> Tensor:
        RUNS.append(len(x))
        tokens = self.arrange(self.embed(x).flatten(2).transpose(1, 2))
        scores: Tensor = self.head(torch.tanh(self.block(tokens)).mean(1))
        return scores


ORDER = torch.randperm(N_TOKENS, generator=torch.Generator().manual_seed(0))


def in_rows(tokens: Tensor) -> Tensor:
    return tokens


def shuffled(tokens: Tensor) -> Tensor:
    return tokens[:, ORDER]


def in_columns(tokens: Tensor) -> Tensor:
    return tokens.view(len(tokens), *GRID, -1).transpose(1, 2).flatten(1, 2)


def by_unit(tokens: Tensor) -> Tensor:
    """Order the tokens by 2 x 2 units, as Hiera does."""
    h, w = GRID
    return tokens.view(len(tokens), h // 2, 2, w // 2, 2, -1).permute(0, 1, 3, 2, 4, 5).flatten(1, 4)


def beside_text(before: int, after: int) -> Callable[[Tensor], Tensor]:
    def arrange(tokens: Tensor) -> Tensor:
        text = torch.linspace(-1, 1, (before + after) * tokens.shape[2]).view(1, -1, tokens.shape[2])
        text = text.expand(len(tokens), -1, -1).to(tokens)
        return torch.cat([text[:, :before], tokens, text[:, before:]], 1)

    return arrange


def map_by_hand(network: Tokens, target: int) -> Tensor:
    """Return Grad-CAM at the block for tokens in rows, from autograd."""
    tokens = network.arrange(network.embed(IMAGES).flatten(2).transpose(1, 2))
    output = network.block(tokens)
    output.retain_grad()
    network.head(torch.tanh(output).mean(1))[:, target].sum().backward()
    assert output.grad is not None
    return output.detach(), output.grad


@pytest.mark.parametrize("arrange", [shuffled, in_columns, by_unit])
def test_another_order_is_refused_by_name(arrange: Callable[[Tensor], Tensor]) -> None:
    network = Tokens(arrange).eval()
    with pytest.raises(LayerError, match=r"'block' returns.*\(1, 60, 24\).*not in the order of an image.*embed"):
        attribute(network, IMAGES, target=1, layer="block")
    assert [layer.name for layer in candidates(copy_of(network), IMAGES)] == ["embed"]
    with pytest.raises(LayerError, match="no layer with a spatial grid matches"):
        attribute(network, IMAGES, target=1, layer="bloc?")


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (0, 1), (3, 2), (23, 0), (7, 40)])
def test_the_image_in_a_sequence(before: int, after: int) -> None:
    network = Tokens(beside_text(before, after)).eval()
    output, gradient = map_by_hand(network, 3)
    span = slice(before, before + N_TOKENS)
    tokens, gradients = (t[:, span].transpose(1, 2).reshape(2, -1, *GRID) for t in (output, gradient))
    expected = torch.einsum("bchw,bc->bhw", tokens, gradients.mean((2, 3)))
    assert_close(attribute(network, IMAGES, target=3, layer="block", signed=True), expected, rtol=1e-4, atol=1e-7)
    assert default_layer(copy_of(network), IMAGES).name == "block"


class Heads(nn.Module):
    """Returns values per head, (b, heads, tokens, dims), and attention, (b, heads, tokens, tokens), from modules."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed = nn.Conv2d(3, 24, 8, 8)
        self.query_norm, self.value_norm = nn.LayerNorm(8), nn.LayerNorm(8)
        self.softmax = nn.Softmax(dim=-1)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        heads = tokens.view(len(x), N_TOKENS, 3, 8).transpose(1, 2)
        queries, values = self.query_norm(heads), self.value_norm(heads)
        mixed = self.softmax(queries @ queries.transpose(2, 3)) @ values + values
        scores: Tensor = self.head(mixed.transpose(1, 2).flatten(2).mean(1))
        return scores


def test_tensors_per_head_are_no_images() -> None:
    network = Heads().eval()
    assert default_layer(copy_of(network), IMAGES).name == "embed"
    for name in ("query_norm", "value_norm", "softmax"):
        with pytest.raises(LayerError, match=f"'{name}' returns a tensor of shape"):
            attribute(network, IMAGES, target=1, layer=name)


def test_a_number_of_rows_is_no_grid() -> None:
    class Queries(nn.Module):  # 9 queries attend to all positions, as in a detection transformer
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.embed = nn.Conv2d(3, 24, 8, 8)
            self.queries = nn.Parameter(torch.randn(9, 24))
            self.decoder = nn.Sequential(nn.Linear(24, 24), nn.LayerNorm(24))
            self.head = nn.Linear(24, 5)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.embed(x).flatten(2).transpose(1, 2)
            decoded = self.decoder((self.queries @ tokens.transpose(1, 2)).softmax(-1) @ tokens)
            scores: Tensor = self.head(decoded).amax(1)
            return scores

    square = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = Queries().eval()
    assert default_layer(copy_of(network), square).name == "embed"
    with pytest.raises(LayerError, match="'decoder' returns a tensor of shape"):
        attribute(network, square, target=0, layer="decoder")


def test_tokens_in_rows_are_verified() -> None:
    copy = copy_of(Tokens(in_rows).eval())
    layer = default_layer(copy, IMAGES)
    assert (layer.name, layer.grid, layer.is_verified) == ("block", GRID, True)
    profile = profile_calls(copy, IMAGES)
    (check,) = {check for position, check in profile.checks.items() if profile.module_calls[position].name == "block"}
    assert check.outcome == "verified"
    assert check.layout == Layout("tokens", GRID)
    assert check.correlation > 0.99
    assert check.error < 0.05


def test_the_number_of_runs() -> None:
    """At most twelve at first use, none that only checks afterwards, and none at another size of the image."""
    network = Tokens(in_rows).eval()
    RUNS.clear()
    attribute(network, IMAGES[:1], target=1)
    first = len(RUNS)
    assert first <= 12
    attribute(network, IMAGES[:1], target=1)
    assert len(RUNS) == first + 1
    attribute(network, IMAGES[:1, :, :, :64], target=1)
    assert len(RUNS) <= first + 1 + 3  # the calls, the influence and the map

    convolutions = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    copy = copy_of(nn.Sequential(convolutions, nn.Linear(8, 3)).eval())
    default_layer(copy, IMAGES)
    candidates(copy, IMAGES)
    assert profile_calls(copy, IMAGES).checks == {}
