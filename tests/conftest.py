"""Shared by all tests."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when keras is first imported; `make test-tensorflow` sets it

torch.set_num_threads(1)  # two workers on two cores; and the same sums in the same order on every machine


# Examples are drawn alike on every machine and in every run, unless more of them are asked for; no time limits.
hypothesis.settings.register_profile(
    "camlucida",
    derandomize="CAMLUCIDA_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("camlucida")


def _seed_everything() -> None:
    random.seed(0)  # also what Keras draws the seeds of its initializers from
    np.random.seed(0)  # noqa: NPY002 (what other libraries use)
    torch.manual_seed(0)


def pytest_configure(config: pytest.Config) -> None:
    """Keep pytest-randomly to the order of the tests: it would draw another seed for every run of the suite."""
    if hasattr(config.option, "randomly_reset_seed"):
        config.option.randomly_reset_seed = False


@pytest.hookimpl(tryfirst=True)
def pytest_collectstart(collector: pytest.Collector) -> None:
    """What a test file draws when it is imported does not depend on the files before it."""
    if isinstance(collector, pytest.Module):
        _seed_everything()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a fixture of a module draws does not depend on the test that comes first."""
    _seed_everything()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real photographs and weights: the folder CAMLUCIDA_TEST_DATA, or ../shared/data. Skips without it."""
    folder = Path(os.environ.get("CAMLUCIDA_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder} (set CAMLUCIDA_TEST_DATA)")
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Processes that the test starts can be interrupted; they could not where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Every test starts from the same random numbers: weights of networks that it makes are those of the last run."""
    _seed_everything()


@pytest.fixture(autouse=True)
def _no_user_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's cache of layout checks."""
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reaches beyond this machine, unless it is marked `network`: whatever tries, fails by name."""
    if request.node.get_closest_marker("network"):
        yield
        return
    tried: list[str] = []

    def refuse(where: str) -> None:
        tried.append(where)
        raise OSError(f"the tests have no network: {where}")

    def guarded(name: str) -> Any:
        plain = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _loopback(str(address[0])):
                refuse(f"{name}({address!r})")
            return plain(self, address)

        return connect

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is not None and not _loopback(host.decode() if isinstance(host, bytes) else str(host)):
            refuse(f"getaddrinfo({host!r})")
        return look_up(host, *args, **kwargs)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", guarded("connect"))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded("connect_ex"))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    if tried:  # also where the code under test took the refusal for being offline
        pytest.fail(f"{request.node.nodeid} tried to use the network: {', '.join(tried)}. Mark it `network` if it may.")


def _loopback(host: str) -> bool:
    return host in ("", "localhost", "::1", "0.0.0.0", "::") or host.startswith("127.")
