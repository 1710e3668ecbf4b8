"""Correct against wrong predictions: planted differences are found, and chance is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.differences import Differences, find_differences
from camlucida.audits.findings.guess_detector import OUTPUTS_AND_MAPS, OUTPUTS_ONLY
from camlucida.audits.map_agreement import map_correlations

from ..synthetic import synthetic_audit

N = 240


def planted(folder: Path, effect: float, seed: int = 0) -> Audit:
    """Wrong predictions have more energy at the border by `effect` standard deviations, and nothing else."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(N) < 0.3
    labels = rng.integers(0, 3, N)
    rows = [
        {
            "label_index": int(labels[i]),
            "predicted_index": int((labels[i] + wrong[i]) % 3),
            "confidence": float(rng.beta(5, 2)),
            "competing_confidence": 0.1 * float(rng.random()),
            "prediction_entropy": float(rng.random()),
            "energy_at_border": float(0.3 + 0.1 * (labels[i] + effect * wrong[i] + rng.normal())),
            "entropy": float(rng.random()),
            "energy_in_box": float(rng.random()),
            "hires_cam.entropy": float(rng.random()),
        }
        for i in range(N)
    ]
    maps = {"grad_cam": rng.random((N, 3, 4, 4)), "hires_cam": rng.random((N, 3, 4, 4))}
    return synthetic_audit(folder, rows, maps=maps)


@pytest.fixture(scope="module")
def border(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return planted(tmp_path_factory.mktemp("border"), 1.0)


def test_the_planted_statistic_is_first(border: Audit) -> None:
    result = find_differences(border)
    first = result.differences[0]
    assert first.name == "energy_at_border"
    assert first.differs_within
    assert first.within.difference.value == pytest.approx(-0.1, abs=0.03)
    assert [each.name for each in result.differences if each.differs_within] == ["energy_at_border"]
    names = {each.name for each in result.differences}
    assert {"hires_cam.entropy", "class_agreement", "hires_cam.class_agreement", "hires_cam.agreement"} <= names
    assert "energy_at_border is" in result.sentences()[0]


def test_the_guess_detector_equals_scikit_learn(border: Audit) -> None:
    result = find_differences(border)
    rows = border.rows
    wrong = [not row["correct"] for row in rows]
    for name, sign in (("confidence", -1), ("energy_at_border", 1), ("prediction_entropy", 1), ("energy_in_box", -1)):
        detector = result.guess_detector[name]
        assert detector.auc == pytest.approx(roc_auc_score(wrong, [sign * row[name] for row in rows]))
        assert detector.low < detector.auc < detector.high
        assert (detector.roc[0], detector.roc[-1]) == ((0, 0), (1, 1))
    assert next(iter(result.guess_detector)) == "energy_at_border"
    assert result.combined[OUTPUTS_AND_MAPS].auc > result.combined[OUTPUTS_ONLY].auc
    assert result.combined_p < 0.05
    assert "The maps add to the outputs" in result.sentences()[-1]


def test_chance_differs_rarely(tmp_path: Path) -> None:
    found = [
        any(each.differs_within for each in find_differences(planted(tmp_path / str(seed), 0.0, seed)).differences)
        for seed in range(12)
    ]
    assert sum(found) <= 2  # 3 or more of 12 at 5 % has probability 2 %


def test_the_record_is_read_again(border: Audit) -> None:
    result = find_differences(border)
    stored = json.loads(json.dumps(result.record(), allow_nan=False))
    assert Differences.from_record(stored).record() == stored


def test_no_wrong_predictions(tmp_path: Path) -> None:
    result = find_differences(synthetic_audit(tmp_path, [{} for _ in range(8)]))
    assert result.sentences() == ["There are no wrong predictions."]
    assert result.differences == ()
    json.dumps(result.record(), allow_nan=False)


def test_correlations_equal_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((5, 4, 4)).astype(np.float16), rng.random((5, 4, 4)).astype(np.float16)
    second[1] = np.round(second[1] * 3)  # ties
    second[2], first[3] = 0.0, np.nan
    found = map_correlations(first, second)
    for i in (0, 1, 4):
        assert found[i] == pytest.approx(spearmanr(first[i].ravel(), second[i].ravel()).statistic)
    assert np.isnan(found[[2, 3]]).all()


def test_maps_on_different_grids_are_averaged() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.random((3, 3, 4)).astype(np.float16)
    fine = coarse.repeat(2, axis=1).repeat(2, axis=2)
    assert map_correlations(coarse, fine) == pytest.approx([1, 1, 1])
