"""Eight clients at once, two maps each and more: the short form of benchmarks/page_load.py, and its own checks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from camlucida.app.schemas import packed

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in ("page_load", "interleaved"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import page_load

    return page_load


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_maps_are_correct_with_eight_clients(load: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "load.json"
    code = load.main(["--seconds", "2", "--least", "2", "--clients", "8", "--questions", "24", "--to", str(file)])
    found = json.loads(file.read_text())
    assert code == 0, capsys.readouterr().err
    assert found["maps wrong"] == 0
    assert found["maps compared"] >= 16
    assert set(found["statuses"]) <= {"200", "503", "left"}


def test_wrong_map_is_detected(load: Any) -> None:
    one, two = torch.rand(2, 7, 7, generator=torch.Generator().manual_seed(0))
    asked = load.Asked({}, (one.numpy(),))
    answer = {"maps": [{"map": packed(one).model_dump()}]}
    assert asked.same(answer)
    assert not asked.same({"maps": [{"map": packed(two).model_dump()}]})
    assert not asked.same({"maps": [{"map": packed(one * 1.01).model_dump()}]})
    assert not asked.same({"maps": [{"map": packed(one.T).model_dump()}]})
    assert not asked.same({"maps": [*answer["maps"], *answer["maps"]]})
    assert not load.Asked({}, (np.zeros((7, 7), np.float32),)).same(answer)


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 0),
        ({"maps wrong": 1, "wrong": ["{}"]}, 1),
        ({"statuses": {"200": 5, "500": 1, "TimeoutError: ": 1}}, 2),
        ({"statuses": {"200": 5, "503": 7, "left": 1}}, 0),
        ({"memory at the end, MB": 700.0}, 1),
        ({"memory at the end, MB": 700.0, "seconds": 4.0}, 0),
    ],
)
def test_faults_are_reported(load: Any, change: dict[str, Any], count: int) -> None:
    sound = {
        "maps wrong": 0, "wrong": [], "statuses": {"200": 9}, "seconds": 60.0,
        "memory settled, MB": 600.0, "memory at the end, MB": 610.0,
    }  # fmt: skip
    assert len(load.faults({**sound, **change})) == count
