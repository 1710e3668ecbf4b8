"""Label errors: thresholds by hand, planted errors on toybox, and what is not listed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.feature_neighbors import neighbors
from camlucida.audits.findings.label_errors import (
    CONFIDENT_LEARNING,
    NEIGHBORS,
    LabelErrors,
    find_label_errors,
    label_scores,
)
from camlucida.audits.run import audit
from camlucida.data.datasets import ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.models.load import load

from ..synthetic import synthetic_audit

N = 90


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, np.ndarray]:
    scenes, rng = ToyboxDataset(Toybox(N)), np.random.default_rng(0)
    flips, n_classes = rng.random(N) < 0.1, len(scenes.classes)
    items = [
        replace(scenes[i], mask=None, boxes=None, label=(scenes[i].label + int(flips[i]) * (1 + i % 5)) % n_classes)
        for i in range(N)
    ]
    folder = tmp_path_factory.mktemp("flipped")
    return audit(load("toybox"), ListDataset("flipped", items, scenes.classes), folder), flips


def test_planted_errors_come_first(flipped: tuple[Audit, np.ndarray]) -> None:
    result, flips = flipped
    scores = label_scores(result)
    for values in (scores.score, scores.margin, scores.disagreement):
        assert roc_auc_score(flips, values) >= 0.95
    found = find_label_errors(result)
    listed = [each.score for each in found.errors]
    assert len(set(listed)) > 2
    assert listed == sorted(listed, reverse=True)
    k = int(flips.sum())
    assert np.mean([flips[each.row] for each in found.errors[:k]]) >= 0.9
    assert 0.5 * k <= found.n_estimated <= 1.5 * k
    true = ToyboxDataset(Toybox(N))
    for each in found.errors[:k]:
        assert each.suggested == true.classes[true[each.row].label or 0]
    stored = json.loads(json.dumps(found.record(), allow_nan=False))
    assert LabelErrors.from_record(stored).record() == stored


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The class that each image is counted as, by the definition of Northcutt et al.; -1 for none."""
    thresholds = [probabilities[labels == c, c].mean() for c in range(probabilities.shape[1])]
    counted = np.full(len(labels), -1)
    for i, p in enumerate(probabilities):
        passing = [c for c in range(len(p)) if p[c] >= thresholds[c]]
        if passing:
            counted[i] = max(passing, key=lambda c: p[c])
    return counted


def test_confident_learning_equals_its_definition(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 2.0 * np.eye(3)[labels] * (rng.random((200, 1)) > 0.15)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    order = np.argsort(-probabilities, axis=1)
    rows = [
        {
            "label_index": int(labels[i]),
            "predicted_index": int(order[i, 0]),
            "competing_index": int(order[i, 1]),
            "confidence": float(probabilities[i, order[i, 0]]),
            "competing_confidence": float(probabilities[i, order[i, 1]]),
            "label_confidence": float(probabilities[i, labels[i]]),
        }
        for i in range(200)
    ]
    scores = label_scores(synthetic_audit(tmp_path, rows))
    counted = confident_joint(labels, probabilities)
    top_two = np.array([c in order[i, :2] or c == labels[i] for i, c in enumerate(counted)])
    expected = (counted >= 0) & (counted != labels) & top_two & (order[:, 0] != labels)
    assert (scores.confident == expected).all()
    assert scores.confident.sum() >= 10
    joint = np.zeros((3, 3))
    for label, as_class in zip(labels, counted, strict=True):
        if as_class >= 0:
            joint[label, as_class] += 1
    fraction = 1 - np.diag(joint) / joint.sum(1)
    assert scores.n_estimated == pytest.approx(fraction @ np.bincount(labels), rel=0.1)


def test_neighbors_alone_find_a_label(tmp_path: Path) -> None:
    """The model is sure of every label; one image lies among those of another class."""
    features = np.zeros((40, 4))
    features[:20, 0], features[20:, 1] = 1.0, 1.0
    features += 0.05 * np.random.default_rng(0).random((40, 4))
    labels = [0] * 20 + [1] * 20
    labels[3] = 1
    rows = [{"label_index": label, "predicted_index": label, "label_confidence": 0.8} for label in labels]
    rows[3] |= {"predicted_index": 0, "label_confidence": 0.05}
    found = find_label_errors(synthetic_audit(tmp_path, rows, features=features))
    assert [(each.row, each.label, each.suggested) for each in found.errors] == [(3, "dog", "cat")]
    assert NEIGHBORS in found.errors[0].reasons
    assert found.errors[0].disagreement == 1.0


def test_probabilities_that_are_not_exclusive_are_not_compared(tmp_path: Path) -> None:
    rows = [{"confidence": 0.9, "competing_confidence": 0.8, "label_confidence": 0.9} for _ in range(12)]
    found = find_label_errors(synthetic_audit(tmp_path, rows))
    assert np.isnan(found.n_estimated)
    assert not any(CONFIDENT_LEARNING in each.reasons for each in found.errors)


def test_a_model_that_is_always_wrong_is_not_believed(tmp_path: Path) -> None:
    rows = [{"label_index": i % 3, "predicted_index": (i + 1) % 3, "label_confidence": 0.05} for i in range(30)]
    assert "not reliable" in find_label_errors(synthetic_audit(tmp_path, rows)).sentences()[0]


def test_training_images_are_mentioned(tmp_path: Path) -> None:
    rows = [{"label_confidence": 0.8, "split": "train"} for _ in range(12)]
    assert "split train" in find_label_errors(synthetic_audit(tmp_path, rows)).sentences()[-1]


def test_neighbors_equal_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlucida.audits.findings.feature_neighbors.SIMILARITIES", 300)
    features = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    indices, similarities = neighbors(features, 4)
    distances, expected = NearestNeighbors(n_neighbors=5, metric="cosine").fit(features).kneighbors(features)
    assert (indices == expected[:, 1:]).all()
    assert similarities == pytest.approx(1 - distances[:, 1:], abs=1e-5)
    monkeypatch.setattr("camlucida.audits.findings.feature_neighbors.MAX_REFERENCES", 20)
    indices, _ = neighbors(features, 4)
    assert len(np.unique(indices)) <= 20
    assert not (indices == np.arange(50)[:, None]).any()
