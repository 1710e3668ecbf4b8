"""The engine ray: the rows and arrays of the local engine, on two nodes, and whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.audits.audit_result import Audit
from camlucida.audits.ray_engine import ray_engine
from camlucida.audits.run import audit
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import ModelError
from camlucida.evaluation.evaluate import evaluate
from camlucida.evaluation.store import read_table

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray Data warns of settings of its own
]

N_IMAGES = 12
CHUNK_IMAGES = 2
METHODS = ("grad_cam", "refine(hires_cam)")
LONGEST_WAIT_S = 240.0  # workers start slowly on a busy machine


class Watched(nn.Module):
    """A small network that records the processes and nodes it runs in, and waits while a file `stop` exists."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.folder, self.driver = folder, os.getpid()
        self.conv = nn.Conv2d(3, 6, 3, stride=4)
        self.head = nn.Linear(6, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        is_worker = os.getpid() != self.driver  # the driver checks the layers before anything else runs
        if is_worker:
            (self.folder / f"ran-{os.getpid()}-{os.getppid()}").touch()
        end = time.monotonic() + LONGEST_WAIT_S
        while is_worker and (self.folder / "stop").exists() and time.monotonic() < end:
            time.sleep(0.02)
        scores: Tensor = self.head(self.conv(inputs).relu().mean((2, 3)))
        return scores

    def processes(self) -> set[int]:
        """The processes that ran the network."""
        return {int(file.name.split("-")[1]) for file in self.folder.glob("ran-*")}

    def nodes(self) -> set[int]:
        """The parents of these processes: one per node of a Ray cluster."""
        return {int(file.name.split("-")[2]) for file in self.folder.glob("ran-*")}


def watched(folder: Path) -> tuple[cl.Model, Watched]:
    """Return a model with a watched network, and the network."""
    folder.mkdir(parents=True, exist_ok=True)
    network = Watched(folder).eval()
    labels = ("cat", "dog", "horse", "bird", "bus")
    return cl.Model(network, cl.load("toybox").preprocessing, labels, layer="conv"), network


def scenes(n: int = N_IMAGES) -> ToyboxDataset:
    """Return rendered scenes."""
    return ToyboxDataset(Toybox(n))


@pytest.fixture(scope="module", autouse=True)
def _pickled_by_value() -> None:
    """Workers import no test: the network is part of what they receive."""
    cloudpickle = pytest.importorskip("ray.cloudpickle", reason="Ray is not installed: pip install 'camlucida[ray]'")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("local")
    return measure(watched(folder / "seen")[0], folder / "audit", "local")


def measure(model: cl.Model, out: Path, engine: Any = "ray", **options: Any) -> Audit:
    options = {"workers": 2} | options if engine == "ray" else options
    return audit(
        model, scenes(), out, methods=METHODS, batch_size=2, chunk_images=CHUNK_IMAGES, engine=engine, **options
    )


def content(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "parts").iterdir(), *(folder / "digests").iterdir(), folder / "images.parquet"]
    return {file.name: file.read_bytes() for file in sorted(files)}


def wait_for(condition: Callable[[], Any], limit_s: float = LONGEST_WAIT_S) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def test_rows_of_targets_equal_those_of_the_local_engine(two_nodes: Any, tmp_path: Path) -> None:
    model, data = cl.load("toybox:detector"), ToyboxDataset(Toybox(5, seed=3, objects=2))
    engines = {"local": "local", "ray": ray_engine(2)}
    local, ray = (
        audit(model, data, tmp_path / name, methods=["hires_cam"], target="all", chunk_images=2, engine=engine)
        for name, engine in engines.items()
    )
    assert content(ray.path) == content(local.path)
    assert [row["target"] for row in ray.rows] == [row["target"] for row in local.rows]
    assert len(ray.rows) > len(data)


def test_two_nodes_one_killed_worker_and_the_files_of_the_local_engine(
    two_nodes: Any, local: Audit, tmp_path: Path
) -> None:
    model, network = watched(tmp_path / "seen")
    stop = tmp_path / "seen" / "stop"
    stop.touch()
    killed: list[int] = []

    def kill() -> None:  # both workers are in the middle of a chunk
        try:
            wait_for(lambda: len(network.processes()) == 2)
            killed.append(min(network.processes()))
            os.kill(killed[0], signal.SIGKILL)
        finally:
            stop.unlink()

    thread = threading.Thread(target=kill)
    thread.start()
    done: list[tuple[int, int]] = []
    result = measure(model, tmp_path / "audit", progress=lambda *numbers: done.append(numbers))
    thread.join()
    assert killed
    assert len(network.nodes()) == 2, "a node did nothing"
    assert content(result.path) == content(local.path)
    assert result.summary == local.summary
    assert done == [(n, N_IMAGES) for n in range(0, N_IMAGES + 1, CHUNK_IMAGES)]
    assert not list(result.path.glob(".camlucida-ray-*"))


def test_a_killed_driver_resumes_with_an_instance_of_its_own(two_nodes: Any, local: Audit, tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_ADDRESS": two_nodes.address, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(tmp_path / "seen"), str(tmp_path / "audit")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        assert process.stdout.readline() == f"{CHUNK_IMAGES}\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "audit" / "run.json").exists()
    again = subprocess.run(
        command, env={**environment, "RAY_ADDRESS": "local"}, capture_output=True, text=True, check=True
    )
    reported = [int(line) for line in again.stdout.split()]
    assert reported[0] >= CHUNK_IMAGES, "finished chunks were measured again"
    assert reported[-1] == N_IMAGES
    assert len(again.stderr.splitlines()) <= 1, again.stderr  # Ray prints that its level of messages is set
    assert content(tmp_path / "audit") == content(local.path)


def test_evaluation_rows_are_those_of_the_local_engine(two_nodes: Any, tmp_path: Path) -> None:
    def table(name: str, **options: Any) -> list[dict[str, Any]]:
        model, _ = watched(tmp_path / name / "seen")
        evaluate(model, scenes(), metrics=["energy", "insertion"], out=tmp_path / name, **options)
        rows = read_table(tmp_path / name / "results.parquet").to_pylist()
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    done: list[int] = []
    on_ray = table("ray", engine="ray", workers=2, progress=lambda n, total: done.append(n))
    assert on_ray == table("local")
    assert sorted(done) == done
    assert done[-1] == N_IMAGES


class Unpicklable(cl.Model):
    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a session")


def test_a_model_that_cannot_be_pickled_is_opened_again(two_nodes: Any, local: Audit, tmp_path: Path) -> None:
    def reopen() -> tuple[cl.Model, Any]:
        return watched(folder)[0], scenes()

    folder = tmp_path / "seen"
    model, network = watched(folder)
    unpicklable = Unpicklable(network, model.preprocessing, model.labels, layer="conv")
    with pytest.raises(ModelError, match=r"cannot be sent to Ray workers \(TypeError: cannot pickle a session"):
        measure(unpicklable, tmp_path / "refused")
    result = measure(unpicklable, tmp_path / "audit", ray_engine(2, reopen))
    assert content(result.path) == content(local.path)


if __name__ == "__main__":  # the driver that tests kill; what is defined here is pickled by value
    torch.set_num_threads(1)
    measure(
        watched(Path(sys.argv[1]))[0],
        Path(sys.argv[2]),
        progress=lambda done, total: print(done, flush=True),  # noqa: T201
    )


def test_boxes_are_measured_as_in_this_process(two_nodes: Any, tmp_path: Path) -> None:
    def rows(engine: str, **options: Any) -> list[dict[str, Any]]:
        out = tmp_path / engine
        evaluate(
            "toybox:detector",
            scenes(9),
            metrics=["energy"],
            target="all",
            out=out,
            engine=engine,
            **options,  # type: ignore[arg-type]
        )
        table = read_table(out / "results.parquet").to_pylist()
        return [{name: value for name, value in row.items() if name != "seconds"} for row in table]

    local = rows("local")
    assert rows("ray", workers=2) == local
    assert {row["target_spec"] for row in local} >= {"box 1"}
