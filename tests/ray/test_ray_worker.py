"""What a Ray worker checks before it works, without a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import camlucida as cl
from camlucida.attribution.reproduction import versions
from camlucida.audits.plan import AuditPlan
from camlucida.audits.ray_engine import AuditWork
from camlucida.audits.store import AuditStore
from camlucida.data.datasets import Dataset, ToyboxDataset, folder
from camlucida.data.toybox import Toybox
from camlucida.evaluation.plan import explainers_of
from camlucida.evaluation.ray_worker import Parcel, Worker, sample_hash

cloudpickle = pytest.importorskip("ray.cloudpickle", reason="Ray is not installed: pip install 'camlucida[ray]'")
pytestmark = pytest.mark.ray


def work_of(out: Path, data: Dataset | None = None) -> AuditWork:
    model, images = cl.load("toybox"), data or ToyboxDataset(Toybox(3))
    outputs = tuple(range(len(images.classes)))
    plan = AuditPlan(model, images, range(len(images)), outputs, explainers_of(["grad_cam"]), chunk_images=2)
    return AuditWork(plan, AuditStore(out, plan.method_names, plan.array_names))


def parcel_of(work: AuditWork) -> Parcel:
    work.folder.mkdir(exist_ok=True)
    (work.folder / "token").touch()
    model, data = work.opened
    return Parcel(
        cloudpickle.dumps(work),
        None,
        "token",
        model.weights_hash,
        sample_hash(data, work.indices),
        versions(),
        torch.get_num_threads(),
    )


def test_a_worker_writes_the_chunks(tmp_path: Path) -> None:
    work = work_of(tmp_path / "audit")
    result = Worker(parcel_of(work))({"number": torch.arange(2).numpy()})
    assert list(result["kind"]) == ["", ""]
    assert work.has(0)
    assert work.has(1)
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "audit" / "parts").iterdir()}
    Worker(parcel_of(work))({"number": torch.arange(2).numpy()})
    assert before == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "audit" / "parts").iterdir()}


def refused(parcel: Parcel) -> str:
    result = Worker(parcel)({"number": torch.arange(1).numpy()})
    assert result["kind"][0] in ("DataError", "ModelError")
    return str(result["error"][0])


def test_a_folder_that_is_not_shared_is_refused(tmp_path: Path) -> None:
    parcel = parcel_of(work_of(tmp_path / "audit"))
    (tmp_path / "audit" / "token").unlink()
    assert "does not see the folder" in refused(parcel)


def test_other_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    image: Any = ToyboxDataset(Toybox(1))[0].image
    image.save(tmp_path / "photos" / "cat" / "0.png")
    parcel = parcel_of(work_of(tmp_path / "audit", folder(tmp_path / "photos")))
    (tmp_path / "photos" / "cat" / "0.png").unlink()
    assert "does not see the images of the driver" in refused(parcel)


def test_other_weights_and_versions_are_refused(tmp_path: Path) -> None:
    parcel = parcel_of(work_of(tmp_path / "audit"))
    assert "other weights: their hash is" in refused(replace(parcel, weights="0" * 16))
    assert "other versions than the driver: torch" in refused(replace(parcel, versions={**versions(), "torch": "1.0"}))


def test_a_model_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    parcel = parcel_of(work_of(tmp_path / "audit"))
    text = refused(replace(parcel, work=b"\x80\x05cnot_a_module\nNet\n."))
    assert "cannot open the model and the data: ModuleNotFoundError: No module named 'not_a_module'" in text
