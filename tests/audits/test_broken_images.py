"""Images that fail are rows with the reason, and nothing else of the audit changes, bit for bit."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.analysis.error_analysis import mistakes
from camlucida.audits.audit_result import Audit
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError
from camlucida.evaluation.evaluate import evaluate
from camlucida.evaluation.store import read_table
from camlucida.models.load import load

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def model() -> cl.Model:
    return load("toybox")


@pytest.fixture
def audit_images(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delitem(sys.modules, "audit_images", raising=False)
    import audit_images

    return audit_images


def assert_unchanged(plain: Audit, other: Audit, broken: set[int]) -> None:
    """Rows and arrays of all images but the broken ones are the same bits."""
    assert [row["index"] for row in other.rows if row["error"]] == sorted(broken)
    kept = [i for i in range(len(plain.rows)) if i not in broken]
    for i in kept:
        assert other.rows[i] == plain.rows[i]
    for name in plain.store.array_names:
        expected, found = (np.concatenate(list(result.store.arrays(name))) for result in (plain, other))
        assert expected[kept].tobytes() == found[kept].tobytes()
        assert np.isnan(found[sorted(broken)]).all()


def test_nine_kinds_of_broken_files_change_nothing_else(audit_images: Any, model: cl.Model, tmp_path: Path) -> None:
    data = audit_images.write_scenes(tmp_path / "images", 40, 64)
    settings: dict[str, Any] = {"batch_size": 16, "chunk_images": 24}  # a full batch, and smaller ones
    plain = audit(model, data, tmp_path / "plain", **settings)
    chosen = [0, 3, 4, 15, 17, 18, 30, 31, 39]
    with audit_images.break_files({i: data[i].image for i in chosen}) as kinds:
        other = audit(model, data, tmp_path / "broken", **settings)
    assert len(set(kinds.values())) == 9
    assert_unchanged(plain, other, set(chosen))
    reasons = {kinds[row["index"]]: row["error"] for row in other.rows if row["error"]}
    expected = {
        "empty": "empty",
        "truncated JPEG": "truncated",
        "truncated PNG": "truncated",
        "text": "text that begins with",
        "decompression bomb": "megapixels",
        "NaN TIFF": "NaN",
        "dangling link": "is a link to",
        "folder": "is a folder",
        "without pixels": "cannot read",
    }
    assert set(reasons) == set(expected)
    for kind, part in expected.items():
        assert part in reasons[kind], kind
    assert all(row["label"] and row["image"] for row in other.rows), "what is known of a broken image is kept"
    assert audit(model, data, tmp_path / "again", **settings).rows == plain.rows, "the files were restored"


class Refuses(nn.Module):
    """A network that fails on batches that contain a bright image."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        if bool((x.mean((1, 2, 3)) > 3).any()):
            raise RuntimeError("too bright")
        return self.head(self.body(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


def tensors(n: int = 12) -> list[Tensor]:
    return list(torch.randn(n, 3, 24, 24, generator=torch.Generator().manual_seed(0)))


def as_data(inputs: list[Tensor]) -> ListDataset:
    return ListDataset("tensors", [Item(x, str(i)) for i, x in enumerate(inputs)])  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", ["the network raises", "NaN", "another size"])
def test_images_on_which_the_network_fails(failure: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, inputs = cl.wrap(Refuses(), layer="body"), tensors()
    plain = audit(model, as_data(inputs), tmp_path / "plain", batch_size=4)
    if failure == "another size":
        inputs[5] = torch.randn(3, 30, 30)
        other = audit(model, as_data(inputs), tmp_path / "other", batch_size=4)
        assert_unchanged(plain, other, {5})
        assert "its map 30×30" in other.rows[5]["error"]
        return
    inputs[5] = inputs[5] + 50 if failure == "the network raises" else inputs[5] * torch.nan
    other = audit(model, as_data(inputs), tmp_path / "other", batch_size=4)
    assert_unchanged(plain, other, {5})
    assert ("too bright" if failure == "the network raises" else "NaN") in other.rows[5]["error"]


class SomeScoresNaN(Refuses):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = super().forward(x)
        return torch.where(x.mean((1, 2, 3))[:, None] > 1, torch.nan, scores)


def test_scores_that_are_not_finite_are_no_prediction(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, inputs = cl.wrap(SomeScoresNaN(), layer="body"), tensors()
    plain = audit(model, as_data(inputs), tmp_path / "plain", batch_size=4)
    inputs[2] = inputs[2] + 2
    other = audit(model, as_data(inputs), tmp_path / "other", batch_size=4)
    assert_unchanged(plain, other, {2})
    assert "4 of the 4 scores of the network are NaN" in other.rows[2]["error"]


def test_a_data_set_that_raises_is_a_row_everywhere(model: cl.Model, tmp_path: Path) -> None:
    class OpensFiles(ToyboxDataset):
        """A data set that opens its files itself, as those of PyTorch do; the annotation of one cannot be read."""

        def __getitem__(self, index: int) -> Item:
            if index == 1:
                raise OSError("input/output error")
            if index == 3:
                return replace(super().__getitem__(index), mask=unreadable)
            return super().__getitem__(index)

    def unreadable() -> Any:
        raise DataError("the mask of scene 3 is damaged")

    data = OpensFiles(Toybox(6))
    result = audit(model, data, tmp_path / "audit", batch_size=2)
    assert {row["index"] for row in result.rows if row["error"]} == {1, 3}
    assert "input/output error" in result.rows[1]["error"]
    assert "mask of scene 3" in result.rows[3]["error"]
    mistakes(model, data, out=tmp_path / "m")
    table = read_table(tmp_path / "m" / "predictions.parquet").to_pylist()
    assert [row["index"] for row in table if row["error"]] == [1, 3]
    evaluate(model, data, metrics=["entropy"], out=tmp_path / "e")
    table = read_table(tmp_path / "e" / "results.parquet").to_pylist()
    assert {row["index"] for row in table if row["error"]} == {1}
