"""Which images two audits have in common, and which of their values are comparable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camlucida.audits.audit_result import Audit
from camlucida.audits.comparison.matching import match_audits
from camlucida.errors import DataError

from ..synthetic import synthetic_audit


def pair(folder: Path, old: list[dict[str, Any]], new: list[dict[str, Any]], **plan: Any) -> tuple[Audit, Audit]:
    return synthetic_audit(folder / "old", old), synthetic_audit(folder / "new", new, plan=plan)


def test_images_are_matched_by_name(tmp_path: Path) -> None:
    bright = {f"{i}.png": 0.1 * i for i in range(6)}
    old = [{"image": f"{i}.png", "brightness": bright[f"{i}.png"]} for i in (0, 1, 2, 3)]
    new = [{"image": f"{i}.png", "brightness": bright[f"{i}.png"]} for i in (5, 3, 2, 1)]
    matched = match_audits(*pair(tmp_path, old, new))
    assert list(matched.old_rows) == [3, 2, 1]
    assert list(matched.new_rows) == [1, 2, 3]
    assert (matched.only_old, matched.only_new) == (("0.png",), ("5.png",))
    assert matched.record()["n"] == 3
    assert "1 in the earlier audit only" in matched.sentences()[0]


@pytest.mark.parametrize("change", [{"brightness": 0.4}, {"label_index": 2}, {"width": 9}])
def test_images_that_have_changed_are_not_compared(tmp_path: Path, change: Mapping[str, Any]) -> None:
    rows = [{"brightness": 0.3} for _ in range(4)]
    matched = match_audits(*pair(tmp_path, rows, [*rows[:2], rows[2] | dict(change), rows[3]]))
    assert matched.changed == ("2.png",)
    assert list(matched.new_rows) == [0, 1, 3]


def test_failed_images_are_not_compared(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{} for _ in range(4)]
    matched = match_audits(*pair(tmp_path, rows, [*rows[:3], {"error": "it is broken", "width": None}]))
    assert (matched.changed, matched.failed) == ((), ("3.png",))
    assert len(matched) == 3


def test_other_preprocessing_is_said(tmp_path: Path) -> None:
    rows = [{"brightness": 0.3}]
    matched = match_audits(*pair(tmp_path, rows, [{"brightness": 0.6}], preprocessing={"size": 9}))
    assert len(matched) == 1
    assert not matched.content_compared
    assert "not by content" in matched.sentences()[-1]


def test_audits_that_cannot_be_compared(tmp_path: Path) -> None:
    first = synthetic_audit(tmp_path / "first", [{}])
    with pytest.raises(DataError, match=r"no image in common.*0 with the same name"):
        match_audits(first, synthetic_audit(tmp_path / "names", [{"image": "other.png"}]))
    other = synthetic_audit(tmp_path / "method", [{}], maps={"cam": np.zeros((1, 3, 4, 4))})
    with pytest.raises(DataError, match="explains with cam first"):
        match_audits(first, other)
    (first.path / "run.json").unlink()
    with pytest.raises(DataError, match="not complete"):
        match_audits(Audit(first.path), other)
    with pytest.raises(DataError, match="contains no audit"):
        match_audits(Audit(tmp_path / "nothing"), other)


def test_map_columns_are_compared_where_the_class_is_the_same(tmp_path: Path) -> None:
    old = [{"predicted_index": c, "energy_in_box": 0.5, "true_energy_in_box": 0.4, "entropy": 0.1} for c in (0, 1, 0)]
    new = [{"predicted_index": c, "energy_in_box": 0.3, "true_energy_in_box": 0.2, "entropy": 0.1} for c in (0, 0, 0)]
    new[2]["energy_in_box"] = None  # type: ignore[assignment]
    matched = match_audits(*pair(tmp_path, old, new))
    assert list(matched.paired("energy_in_box").rows) == [0]
    assert list(matched.paired("true_energy_in_box").rows) == [0, 1, 2]
    assert matched.paired("energy_in_box").differences == pytest.approx([-0.2])
    assert list(matched.paired("accuracy").differences) == [0, 1, 0]
    assert list(matched.paired("confidence").rows) == [0, 1, 2]
    with pytest.raises(DataError, match="'brightness' cannot be compared"):
        matched.paired("brightness")


def test_unlabelled_images_are_grouped_by_prediction(tmp_path: Path) -> None:
    old = [{"label_index": None, "predicted_index": c} for c in (0, 1, 2)]
    new = [{"label_index": None, "predicted_index": c} for c in (0, 1, 1)]
    matched = match_audits(*pair(tmp_path, old, new))
    assert list(matched.groups) == ["cat", "dog", None]
    assert matched.paired("confidence").group_names() == ["cat", "dog"]
