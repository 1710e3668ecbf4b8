"""Audits: rows and arrays equal those of the library, exactly once, whatever interrupts them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.audits.audit_result import Audit
from camlucida.audits.chunks import process_chunk
from camlucida.audits.plan import CHANNELS, AuditPlan
from camlucida.audits.run import Shard, audit
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError
from camlucida.evaluation.evaluate import evaluate
from camlucida.evaluation.plan import explainers_of
from camlucida.evaluation.store import read_table
from camlucida.models.load import load

N = 10


@pytest.fixture(scope="module")
def model() -> cl.Model:
    return load("toybox")


@pytest.fixture(scope="module")
def finished(model: cl.Model, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("audit")
    return audit(model, scenes(), folder, methods=["grad_cam", "hires_cam"], batch_size=3, chunk_images=4)


def scenes(n: int = N) -> ToyboxDataset:
    return ToyboxDataset(Toybox(n))


def rows(result: Audit) -> list[dict[str, Any]]:
    return result.rows


def content(folder: Path) -> dict[str, bytes]:
    # What a killed process was writing remains under a temporary name that begins with a dot, and is never read.
    files = [*(folder / "parts").glob("[!.]*"), folder / "images.parquet"]
    return {file.name: file.read_bytes() for file in sorted(files)}


def test_predictions_equal_those_of_explain(model: cl.Model, finished: Audit) -> None:
    data = scenes()
    for row in rows(finished)[:4]:
        result = cl.explain(model, data[row["index"]].image)
        assert row["predicted"] == result.predictions[0].name
        assert row["confidence"] == pytest.approx(result.predictions[0].probability, abs=1e-5)
        assert row["competing"] == result.predictions[1].name


def test_maps_equal_those_of_attribute(model: cl.Model, finished: Audit) -> None:
    data, table = scenes(), rows(finished)
    for name in ("grad_cam", "hires_cam"):
        stored = np.concatenate(list(finished.store.arrays(name)))
        assert stored.dtype == np.float16
        assert stored.shape[:2] == (N, 3)
        for i in (0, 5):
            inputs = model.preprocessing(data[i].image)[0][None]  # type: ignore[arg-type]
            classes = [table[i][f"{which}_index"] for which in ("predicted", "competing", "label")]
            for t, explained in enumerate(classes):
                expected = cl.attribute(model, inputs, target=explained, method=name, signed=True)[0]
                assert float(expected.abs().max()) > 0
                scaled = expected / expected.abs().max()
                assert float((torch.from_numpy(stored[i, t]).float() - scaled).abs().max()) < 2e-3


def test_energy_equals_that_of_evaluate(model: cl.Model, finished: Audit, tmp_path: Path) -> None:
    evaluate(model, scenes(), methods=["grad_cam"], metrics=["energy"], out=tmp_path)
    measured = read_table(tmp_path / "results.parquet").to_pylist()
    expected = {row["index"]: row["value"] for row in measured if row["metric"] == "energy"}
    for row in rows(finished):
        assert row["energy_in_box"] == pytest.approx(expected[row["index"]], abs=1e-4, nan_ok=True)


def test_object_columns_are_those_of_the_mask(finished: Audit) -> None:
    for row in rows(finished)[:4]:
        mask = scenes()[row["index"]].mask()  # type: ignore[misc]
        y, x = np.nonzero(mask)
        assert row["box_area"] == pytest.approx(mask.mean())
        assert row["object_x"] == pytest.approx((x + 0.5).mean() / mask.shape[1])
        assert row["object_y"] == pytest.approx((y + 0.5).mean() / mask.shape[0])


def test_channel_relevance_is_activation_times_gradient(model: cl.Model, finished: Audit) -> None:
    stored = np.concatenate(list(finished.store.arrays(CHANNELS)))
    inputs = model.preprocessing(scenes()[0].image)[0][None]  # type: ignore[arg-type]
    name = cl.explain(model, scenes()[0].image).layer
    kept: list[torch.Tensor] = []
    module = dict(model.network.named_modules())[str(name)]
    handle = module.register_forward_hook(lambda _m, _i, output: kept.append(output))
    scores = model.network.eval()(inputs)
    handle.remove()
    (gradient,) = torch.autograd.grad(scores[0].max(), kept[0])
    expected = (kept[0] * gradient).sum((0, 2, 3)).detach()
    scaled = expected / expected.abs().max()
    assert float((torch.from_numpy(stored[0, 0]).float() - scaled).abs().max()) < 2e-3


def test_run_json_comes_last_and_summarises(finished: Audit) -> None:
    run = json.loads((finished.path / "run.json").read_text())
    assert run["summary"]["n_images"] == N
    assert run["summary"]["n_errors"] == 0
    assert run["plan"]["methods"][1]["name"] == "hires_cam"


@pytest.mark.parametrize("damage", ["missing rows", "truncated array", "flipped bit", "missing array"])
def test_damaged_chunks_are_measured_again(model: cl.Model, finished: Audit, tmp_path: Path, damage: str) -> None:
    result = audit(model, scenes(), tmp_path, methods=["grad_cam", "hires_cam"], batch_size=3, chunk_images=4)
    expected = content(finished.path)
    assert content(tmp_path) == expected
    array, table = result.store.array_file(1, "grad_cam"), tmp_path / "parts" / "part-00001.parquet"
    if damage == "missing rows":
        table.unlink()
    elif damage == "missing array":
        array.unlink()
    elif damage == "truncated array":
        array.write_bytes(array.read_bytes()[:-7])
    else:
        changed = bytearray(array.read_bytes())
        changed[-3] ^= 4
        array.write_bytes(bytes(changed))
    audit(model, scenes(), tmp_path, methods=["grad_cam", "hires_cam"], batch_size=3, chunk_images=4)
    assert content(tmp_path) == expected


def test_stored_chunks_are_not_measured_again(model: cl.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[list[int]] = []

    def process(plan: AuditPlan, indices: Sequence[int], batches: Any = None) -> Any:
        measured.append(list(indices))
        return process_chunk(plan, indices, batches)

    monkeypatch.setattr("camlucida.audits.engines.process_chunk", process)
    audit(model, scenes(6), tmp_path, batch_size=2, chunk_images=2)
    assert measured == [[0, 1], [2, 3], [4, 5]]
    (tmp_path / "parts" / "part-00001.parquet").unlink()
    steps: list[tuple[int, int]] = []
    audit(model, scenes(6), tmp_path, batch_size=2, chunk_images=2, progress=lambda *step: steps.append(step))
    assert measured[3:] == [[2, 3]]
    assert steps[0] == (4, 6)  # those of the earlier run
    audit(model, scenes(6), tmp_path, batch_size=2, chunk_images=2)
    assert len(measured) == 4


def test_shards_give_the_same_files(model: cl.Model, finished: Audit, tmp_path: Path) -> None:
    for shard in ("1/2", "0/2"):
        assert not (tmp_path / "run.json").exists()
        audit(model, scenes(), tmp_path, methods=["grad_cam", "hires_cam"], batch_size=3, chunk_images=4, shard=shard)
    assert content(tmp_path) == content(finished.path)
    assert (tmp_path / "run.json").exists()


def test_shards_come_from_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shard.of(None) == Shard(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert Shard.of(None) == Shard(2, 3)
    for text in ("3/3", "a/b", "1", "1/0"):
        with pytest.raises(DataError, match="shard"):
            Shard.of(text)


def test_broken_images_are_rows(model: cl.Model, tmp_path: Path) -> None:
    data, files = scenes(6), []
    for i in range(6):
        file = tmp_path / f"{i}.png"
        data[i].image.save(file)  # type: ignore[union-attr]
        files.append(file)
    plain = audit(model, images(files), tmp_path / "plain", batch_size=1)
    files[2].write_bytes(b"no image")
    files[4].write_bytes(files[4].read_bytes()[:200])
    files.append(tmp_path / "missing.png")
    broken = audit(model, images(files), tmp_path / "broken", batch_size=1)
    expected, found = rows(plain), rows(broken)
    assert [row["index"] for row in found if row["error"]] == [2, 4, 6]
    for i in (0, 1, 3, 5):
        assert {**found[i]} == {**expected[i]}
    assert np.isnan(np.concatenate(list(broken.store.arrays("grad_cam")))[[2, 4, 6]]).all()


def test_another_plan_is_refused(model: cl.Model, tmp_path: Path) -> None:
    audit(model, scenes(4), tmp_path, chunk_images=4)
    with pytest.raises(DataError, match="another audit"):
        audit(model, scenes(4), tmp_path, chunk_images=4, methods=["hires_cam"])
    with pytest.raises(DataError, match="changed"):
        audit(model, scenes(5), tmp_path, chunk_images=4)


def test_every_field_of_a_plan_is_in_its_record(model: cl.Model) -> None:
    plan = AuditPlan(model, scenes(4), (0, 1), (0,) * 10, explainers_of(["grad_cam"]))
    others: dict[str, Any] = {
        "model": load("toybox:vgg"),
        "data": ToyboxDataset(Toybox(4, seed=4)),
        "indices": (0, 2),
        "explainers": explainers_of(["grad_cam"], "layer3"),
        "batch_size": plan.batch_size + 1,
        "chunk_images": plan.chunk_images + 1,
        "seed": 1,
        "target": "all",
    }
    assert set(others) == {field.name for field in fields(AuditPlan)} - {"outputs"}  # determined by model and data
    assert replace(plan).record() == plan.record()
    for name, value in others.items():
        assert replace(plan, **{name: value}).record() != plan.record(), name


def test_unlabelled_images(model: cl.Model, tmp_path: Path) -> None:
    data = ListDataset("plain", [Item(scenes()[i].image, str(i)) for i in range(3)])
    result = audit(model, data, tmp_path)
    assert all(row["correct"] is None and row["true_energy_in_box"] is None for row in rows(result))
    maps = np.concatenate(list(result.store.arrays("grad_cam")))
    assert np.isnan(maps[:, 2]).all()
    assert not np.isnan(maps[:, :2]).any()


@pytest.mark.slow
def test_killed_five_times_and_resumed(model: cl.Model, tmp_path: Path) -> None:
    n = 48
    expected = audit(model, scenes(n), tmp_path / "whole", batch_size=3, chunk_images=4)
    program = (
        "import sys\n"
        "from camlucida.audits.run import audit\n"
        "from camlucida.data.datasets import ToyboxDataset\n"
        "from camlucida.data.toybox import Toybox\n"
        "from camlucida.models.load import load\n"
        "import torch; torch.set_num_threads(1)\n"
        f"audit(load('toybox'), ToyboxDataset(Toybox({n})), sys.argv[1], batch_size=3, chunk_images=4,\n"
        "      progress=lambda done, total: (print(done, flush=True), sys.stdin.readline()))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "killed")]
    random_numbers, chunks = random.Random(0), []
    for _ in range(5):  # between two batches, or while the last chunk is written
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for _ in range(random_numbers.randint(3, 5)):  # the first step reports what earlier runs measured
                process.stdout.readline()
                process.stdin.write("\n")
                process.stdin.flush()
            time.sleep(random_numbers.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        chunks.append(len(list((tmp_path / "killed" / "parts").glob("part-*.parquet"))))
    assert 0 < chunks[-1] < n // 4
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert content(tmp_path / "killed") == content(expected.path)
    assert [row["index"] for row in Audit(tmp_path / "killed").rows] == list(range(n))


def images(files: list[Path]) -> ListDataset:
    return ListDataset("files", [Item(file, file.name, 0) for file in files], ("cat",))
