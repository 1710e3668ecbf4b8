"""Do sixteen threads at once on one model get bit for bit what they get one after the other?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of
from camlucida.errors import CamlucidaError, LayerError, TargetError

THREADS = 16
ROUNDS = 4


class Net(nn.Module):
    """In-place operations, a skip, a shared ReLU, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.tail = nn.Conv2d(8, 8, 1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 6)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        x = self.stem(x)
        out = self.tail(self.relu(self.block(x)))
        out += x
        return self.head(self.drop(self.relu(out)).mean((2, 3)))


LAYERS: list[Any] = ["stem", "stem.0", "block", "block.0", "relu#1", None, ["stem", "block"], "layer9"]
TARGETS: list[Any] = [0, 3, None, "top2", "1 rather than 2", 77]
METHODS = ["grad_cam", "ablation_cam", "hires_cam", "eigen_cam"]


def job(network: nn.Module, i: int) -> Any:
    images = torch.randn(1 + i % 3, 3, 16, 16 + 4 * (i % 2), generator=torch.Generator().manual_seed(i))
    try:
        return attribute(
            network,
            images,
            layer=LAYERS[i % len(LAYERS)],
            target=TARGETS[i % len(TARGETS)],
            method=METHODS[i % len(METHODS)],
        )
    except CamlucidaError as error:
        return type(error), str(error)


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(torch.equal(found[k], expected[k]) for k in expected)
    return torch.equal(found, expected) if isinstance(expected, Tensor) else bool(found == expected)


@pytest.mark.parametrize("warm", [False, True], ids=["first use", "warm"])
def test_threads_get_what_one_gets(state: Callable[[nn.Module], Any], warm: bool) -> None:
    """Different images, sizes, classes, layers and methods; every sixth class and every eighth layer is wrong."""
    jobs = range(THREADS * ROUNDS)
    network = Net().train()
    expected = [job(network, i) for i in jobs]
    assert {type(e) for e in expected} == {Tensor, dict, tuple}
    assert {e[0] for e in expected if isinstance(e, tuple)} == {LayerError, TargetError}

    if not warm:
        fresh = Net().train()
        fresh.load_state_dict(network.state_dict())
        network = fresh
    before = state(network)
    start = threading.Barrier(THREADS)

    def work(worker: int) -> list[Any]:
        start.wait()
        return [job(network, i) for i in jobs if i % THREADS == worker]

    with ThreadPoolExecutor(THREADS) as pool:
        rows = list(pool.map(work, range(THREADS)))
    for worker, row in enumerate(rows):
        for i, result in zip(range(worker, len(jobs), THREADS), row, strict=True):
            assert same(result, expected[i]), f"job {i} differs"
    assert state(network) == before


def test_the_reference_check_tells_jobs_apart() -> None:
    network = Net().eval()
    assert same(job(network, 1), job(network, 1))
    assert not same(job(network, 1), job(network, 7))
    assert not same(job(network, 6), job(network, 14))


def test_a_layer_that_raises_in_one_thread_does_not_disturb_the_others() -> None:
    class Fragile(Net):
        def forward(self, x: Tensor) -> Tensor:
            result = super().forward(x)
            if x.shape[-1] == 20:
                raise RuntimeError("out of order")
            return result

    network = Fragile().eval()
    images = torch.randn(1, 3, 16, 16)
    expected = attribute(network, images, target=0, layer="block")

    def work(worker: int) -> Tensor:
        if worker % 2:
            return attribute(network, torch.randn(1, 3, 20, 20), target=0, layer="block")
        with torch.no_grad() if worker % 4 else torch.enable_grad():
            return attribute(network, images, target=0, layer="block")

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(work, worker) for worker in range(THREADS * 2)]
    for worker, future in enumerate(futures):
        if worker % 2:
            with pytest.raises(RuntimeError, match="out of order"):
                future.result()
        else:
            assert torch.equal(future.result(), expected)


def test_all_threads_share_one_copy() -> None:
    network = Net()
    start = threading.Barrier(THREADS)

    def work(_: int) -> Any:
        start.wait()
        return copy_of(network)

    with ThreadPoolExecutor(THREADS) as pool:
        copies = list(pool.map(work, range(THREADS)))
    assert all(copied is copies[0] for copied in copies)


def test_the_callers_own_forward_is_not_watched_meanwhile() -> None:
    """Another thread may use the network itself while it is explained."""
    network = Net().eval()
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        expected = network(images)
    begun, stop = threading.Barrier(5), threading.Event()

    def explain() -> None:
        begun.wait(300)
        count = 0
        while count == 0 or not stop.is_set():
            attribute(network, images, target=count % 6, layer="block", method="ablation_cam")
            count += 1

    with ThreadPoolExecutor(4) as pool:
        explaining = [pool.submit(explain) for _ in range(4)]
        begun.wait(300)
        with torch.no_grad():
            outputs = [network(images) for _ in range(50)]
        stop.set()
    for future in explaining:
        future.result()
    assert all(torch.equal(output, expected) for output in outputs)
