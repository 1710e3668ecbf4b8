"""The Ray pool without Ray: what workers ask of a cluster, and engines by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import camlucida as cl
from camlucida.audits.ray_engine import ray_engine
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, MissingExtra
from camlucida.evaluation import evaluate
from camlucida.evaluation.ray_pool import RayPool, WorkerResources, ray_pool
from camlucida.evaluation.ray_worker import on_device


@pytest.mark.parametrize("workers", [None, 1, 2, 3, 7, 64])
@pytest.mark.parametrize("cpus", [1.0, 2.0, 4.0, 33.0])
def test_workers_leave_a_cpu_to_readers(cpus: float, workers: int | None) -> None:
    resources = WorkerResources.of({"CPU": cpus}, workers)
    assert 0 <= resources.n_cpus <= 1
    assert resources.workers * resources.n_cpus <= cpus - 1
    assert resources.workers == (workers or max(1, cpus // 2))
    assert resources.n_gpus == 0
    assert resources.n_threads * resources.workers <= max(cpus, resources.workers)


def test_workers_divide_the_gpus() -> None:
    assert WorkerResources.of({"CPU": 16.0, "GPU": 4.0}, None).workers == 4
    assert WorkerResources.of({"CPU": 16.0, "GPU": 4.0}, 2).n_gpus == 1
    assert WorkerResources.of({"CPU": 16.0, "GPU": 1.0}, 3).n_gpus == 0.333


def test_the_users_model_stays_where_it_is() -> None:
    model = cl.load("toybox")
    assert on_device(model, "cpu") is model
    moved = on_device(model, "meta")
    assert {parameter.device.type for parameter in moved.network.parameters()} == {"meta"}
    assert {parameter.device.type for parameter in model.network.parameters()} == {"cpu"}


def test_engines_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_pool("local") is None
    with pytest.raises(DataError, match="engine is 'local' or 'ray', not 'dask'"):
        evaluate("toybox", ToyboxDataset(Toybox(1)), engine="dask", out=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="--engine ray"):
        evaluate("toybox", ToyboxDataset(Toybox(1)), workers=2, out=tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    for start in (lambda: ray_pool("ray"), lambda: ray_pool(RayPool(2)), lambda: ray_engine(2)):
        with pytest.raises(MissingExtra, match=r"pip install 'camlucida\[ray\]'"):
            start()
