"""Do settings that the caller has switched on around a call stay out of maps, metrics and results?

The network of these tests keeps autocast away from itself, so that its scores are the same under every setting. Then
the results must be the same numbers, bit for bit, as without the setting.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.data.open import open_dataset
from camlucida.methods import Method
from camlucida.metrics import metrics


class OwnPrecision(nn.Module):
    """A network that runs in float32, whatever its caller has switched on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        with torch.autocast("cpu", enabled=False):
            return self.network(x.float())


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")  # a tensor that is created there has no values
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype": default_dtype,
    "default device": default_device,
    "device context": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "inference mode": torch.inference_mode,
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
}


def in_effect() -> tuple[Any, ...]:
    """The caller's settings, as PyTorch reports them."""
    return (
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_anomaly_enabled(),
        torch.is_anomaly_check_nan_enabled(),
        torch.is_grad_enabled(),
    )


@contextmanager
def all_of(names: Iterable[str]) -> Iterator[None]:
    """Several settings at once. What one of them changes, no other hides: numbers differ, or types, or it raises."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(SETTINGS[name]())
        yield


EXPECTED: dict[tuple[str, str], Tensor] = {}
"""The maps without any setting, by method and network."""


class TestMethods:
    def compare(self, method: Method, subject: Any, images: Tensor, *settings: str) -> None:
        network = OwnPrecision(subject.make()).eval()
        options = {name: 8 for name in ("n", "segments", "steps") if name in method.options}
        where: dict[str, Any] = {"layer": "network.layer"} if method.needs_layer else {}

        def run() -> Tensor:
            result: Tensor = cl.attribute(network, images, method=method, target=1, signed=True, **where, **options)
            return result

        key = (method.name, subject.name)
        if key not in EXPECTED:
            EXPECTED[key] = run()
        with all_of(settings):
            before = in_effect()
            result = run()
            assert in_effect() == before
        assert result.dtype == torch.float32
        assert torch.equal(result, EXPECTED[key])

    def test_same_map(self, method: Method, subject: Any, images: Tensor) -> None:
        self.compare(method, subject, images, *SETTINGS)

    @pytest.mark.parametrize("setting", SETTINGS)
    def test_same_map_under_one(
        self, method: Method, subject_in_turn: Callable[[int], Any], images: Tensor, setting: str
    ) -> None:
        """On networks in turn, so that every setting is met by every method and by every network."""
        self.compare(method, subject_in_turn(list(SETTINGS).index(setting)), images, setting)


MODEL = cl.load("toybox")
DATA = open_dataset("toybox", count=2, seed=0)
IMAGE = DATA[0].image

SLOW = {"aopc", "infidelity", "max_sensitivity", "mu_fidelity", "saco", "sensitivity_n"}
"""Metrics that run the network thousands of times."""
QUICK = [name for name in metrics() if name not in SLOW]

CALLS: dict[str, Callable[[cl.Model, Path], Any]] = {
    "explain": lambda model, out: cl.explain(model, IMAGE, method=["grad_cam", "gradient"]),
    "figure": lambda model, out: np.asarray(cl.explain(model, IMAGE).panel()),
    "activations": lambda model, out: cl.activations(model, IMAGE),
    "top_images": lambda model, out: cl.top_images(model, [item.image for item in DATA], channel=0),
    "trust": lambda model, out: cl.trust(model, IMAGE, n_windows=16),
    "sanity": lambda model, out: cl.sanity(model, [IMAGE], seeds=1),
    "embed": lambda model, out: cl.embed(model, DATA).rows,
    "evaluate": lambda model, out: [
        (column, method, *vars(values).values())
        for (column, method), values in cl.evaluate(
            model, DATA, methods=["grad_cam"], metrics=list(QUICK), out=out
        )._columns.items()
    ],
}


def numbers(value: Any) -> Any:
    """Everything in a result that was computed, without the model, files and times."""
    if isinstance(value, Tensor):
        return numbers(value.numpy())
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tolist() if value.dtype == object else value.tobytes()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: numbers(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name != "model"}
    if isinstance(value, dict):
        return {key: numbers(part) for key, part in value.items() if "second" not in str(key)}
    if isinstance(value, list | tuple):
        return [numbers(part) for part in value]
    return repr(value) if isinstance(value, bool | int | float | str | type(None)) else type(value).__name__


class TestResults:
    @pytest.mark.parametrize("call", CALLS)
    def test_same_numbers(self, call: str, tmp_path: Path) -> None:
        model = dataclasses.replace(MODEL, network=OwnPrecision(MODEL.network).eval())
        expected = numbers(CALLS[call](model, tmp_path / "expected"))
        with all_of(["autocast", "default dtype", "default device", "inference mode"]):
            before = in_effect()
            result = numbers(CALLS[call](model, tmp_path / "under settings"))
            assert in_effect() == before
        assert result == expected


class TestNetwork:
    def test_own_autocast(self) -> None:
        """The network itself runs under the caller's autocast, and its maps are float32."""
        seen = []

        class Watched(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                seen.append((torch.is_autocast_enabled("cpu"), x.dtype))
                return x

        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), Watched(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )
        for method in ("grad_cam", "score_cam", "lrp", "integrated_gradients"):
            with torch.autocast("cpu", torch.bfloat16):
                maps = cl.attribute(network, torch.randn(1, 3, 9, 9), method=method, target=0)
            assert maps.dtype == torch.float32
            if method == "lrp":  # its rules run in float32, else rounding shows in the map
                assert (False, torch.float32) in seen
                seen[:] = [run for run in seen if run[0]]
            assert all(switched_on for switched_on, _ in seen)
            assert seen[0] == (True, torch.bfloat16)

    def test_default_device(self) -> None:
        class Factory(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                assert torch.zeros(1).is_meta
                return x

        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), Factory(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )
        images = torch.randn(1, 3, 9, 9)
        with default_device():
            assert not cl.attribute(network, images, target=0).is_meta

    def test_anomaly_in_threads(self) -> None:
        """A thread that ends early does not switch detection on in the middle of another one's work."""
        from camlucida._ambient import plain_arithmetic

        inside, leave, seen = threading.Event(), threading.Event(), []

        def work() -> None:
            with plain_arithmetic():
                inside.set()
                assert leave.wait(300)
                seen.append(torch.is_anomaly_enabled())

        with torch.autograd.set_detect_anomaly(True):
            thread = threading.Thread(target=work)
            thread.start()
            assert inside.wait(300)
            with plain_arithmetic():
                assert not torch.is_anomaly_enabled()
            leave.set()
            thread.join()
            assert seen == [False]
            assert torch.is_anomaly_enabled()
        assert not torch.is_anomaly_enabled()
