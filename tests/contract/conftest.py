"""Tiny networks, one trap each, that every method must get along with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from camlucida.methods import Method, methods
from camlucida.methods.registry import ATTENTION_INPUTS, RELU_INPUTS


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Trap(nn.Module):
    """Does nothing, until a test makes it raise."""

    raises: type[BaseException] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if Trap.raises is not None:
            raise Trap.raises("sprung")
        return x


class Plain(nn.Module):
    """Convolutions with batch norm, their mean, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5), nn.ReLU())
        self.layer = nn.Sequential(nn.Conv2d(5, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU())
        self.trap, self.pool, self.drop, self.head = Trap(), nn.AdaptiveAvgPool2d(1), nn.Dropout(0.5), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.drop(self.pool(self.trap(self.layer(self.stem(x)))).flatten(1)))
        return out


class Skip(nn.Module):
    """A shortcut added in place, in-place ReLUs used twice, max pooling and a head with a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.one, self.layer = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.trap, self.pool = Trap(), nn.AdaptiveMaxPool2d(2)
        self.head = nn.Sequential(nn.Linear(24, 8), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        y = self.layer(self.relu(self.one(x)))
        y += x
        out: Tensor = self.head(self.pool(self.trap(self.relu(y))).flatten(1))
        return out


class Tokens(nn.Module):
    """A vision transformer: patches of 4 x 4, a class token that alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.layer, self.query, self.key, self.value = nn.LayerNorm(8), *(nn.Linear(8, 8) for _ in range(3))
        self.trap, self.norm, self.head = Trap(), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        y = self.layer(x)
        weights = (self.query(y) @ self.key(y).mT / 8**0.5).softmax(-1)
        x = x + weights @ self.value(y)
        out: Tensor = self.head(self.norm(self.trap(x)[:, 0]))
        return out


class ChannelsLast(nn.Module):
    """(b, h, w, c) inside, as in Swin; the mean over the positions and one linear layer at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 4, stride=4)
        self.norm, self.layer, self.trap = nn.LayerNorm(12), nn.Sequential(nn.Linear(12, 9), nn.GELU()), Trap()
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.trap(self.layer(self.norm(self.stem(x).permute(0, 2, 3, 1)))).mean((1, 2)))
        return out


@dataclass(frozen=True)
class Subject:
    """A network to try methods on.

    make         a new one, the same weights every time
    grid         what the test's own hook does with the output of `layer` to make it (b, c, h, w)
    linear_end   whether average pooling and a linear layer are all that follows
    relus        whether there are ReLUs to guide
    attention    whether it is made of attention
    """

    name: str
    make: Callable[[], nn.Module]
    grid: Callable[[Tensor, tuple[int, int]], Tensor]
    ungrid: Callable[[Tensor, Tensor], Tensor]
    linear_end: bool
    relus: bool
    stride: int
    layers: tuple[str, str]
    attention: bool = False


def _seeded_network(kind: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        network = kind()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, tensor in (*network.named_parameters(), *network.named_buffers()):
                if tensor.is_floating_point():
                    drawn = torch.randn(tensor.shape, generator=generator) * 0.5
                    tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
        return network.eval()

    return make


def _same(x: Tensor, *_: object) -> Tensor:
    return x


def _with_token(new: Tensor, old: Tensor) -> Tensor:
    return torch.cat([old[:, :1], new.flatten(2).mT], dim=1)


SUBJECTS = [
    Subject("plain", _seeded_network(Plain), _same, _same, True, True, 2, ("stem", "layer")),
    Subject("skip", _seeded_network(Skip), _same, _same, False, True, 2, ("stem", "layer")),
    Subject(
        "tokens",
        _seeded_network(Tokens),
        lambda x, size: x[:, 1:].mT.unflatten(2, size),
        _with_token,
        False,
        False,
        4,
        ("stem", "layer"),
        attention=True,
    ),
    Subject(
        "channels last",
        _seeded_network(ChannelsLast),
        lambda x, size: x.permute(0, 3, 1, 2),
        lambda new, old: new.permute(0, 2, 3, 1),
        True,
        False,
        4,
        ("norm", "layer"),
    ),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`method` with `subject`: every method on every network it fits; with `misfit`: on those it does not."""
    requested = {"method", "subject", "misfit"} & set(metafunc.fixturenames)
    every = list(methods().values())
    if requested == {"method"}:
        metafunc.parametrize("method", every, ids=[method.name for method in every])
    elif requested:
        (network,) = requested - {"method"}
        pairs = [(m, s) for m in every for s in SUBJECTS if fits(m, s) == (network == "subject")]
        metafunc.parametrize(("method", network), pairs, ids=[f"{m.name}-{s.name}" for m, s in pairs])


def fits(method: Method, subject: Subject) -> bool:
    """Whether the method can explain the network at all."""
    if "head_weights" in method.needs and not subject.linear_end:
        return False
    if ATTENTION_INPUTS & set(method.needs) and not subject.attention:
        return False
    return subject.relus or not RELU_INPUTS & set(method.needs)


@pytest.fixture
def subject_in_turn(method: Method) -> Callable[[int], Subject]:
    """Of the networks that the method fits, one by number: others for the next number, and for the next method."""
    suited = [subject for subject in SUBJECTS if fits(method, subject)]
    first = list(methods().values()).index(method)
    return lambda number: suited[(first + number) % len(suited)]


@pytest.fixture
def trap() -> Iterator[type[Trap]]:
    """`trap.raises = Error` makes the networks raise it, after the layer, until the test ends."""
    yield Trap
    Trap.raises = None


@pytest.fixture
def images() -> Tensor:
    """Three images that are higher than wide."""
    return torch.randn(3, 3, 20, 12, generator=torch.Generator().manual_seed(5))
