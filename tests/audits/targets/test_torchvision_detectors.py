"""Audits and evaluations of every detection of torchvision's detectors, with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.models.detection.test_torchvision_detectors import DETECTORS

import camlucida as cl
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_detection_is_a_row(name: str, tmp_path: Path) -> None:
    model = cl.wrap(DETECTORS[name](), labels=["__background__", "cat", "dog", "car"])
    data = ToyboxDataset(Toybox(1, seed=3, objects=2))
    result = cl.audit(model, data, tmp_path, methods=["hires_cam"], target="all")
    explained = cl.explain(model, data[0].image, method="hires_cam")
    explanations = [explained] if isinstance(explained, cl.Explanation) else list(explained)
    rows = [row for row in result.rows if row["outcome"] != "missed"]
    assert [row["target"] for row in rows] == [each.spec for each in explanations]
    assert all(row["error"] is None for row in result.rows)
    for i in (0, len(rows) - 1):
        region, raw = explanations[i].region, explanations[i].raw
        assert region is not None
        assert [rows[i][side] for side in ("left", "top", "right", "bottom")] == pytest.approx(region.box, abs=1e-3)
        stored = torch.from_numpy(result.maps()[i]).float()
        assert float((stored - raw / raw.abs().max().clamp_min(1e-12)).abs().max()) < 2e-3
    evaluation = cl.evaluate(model, data, metrics=["gini"], target="all", controls=())
    assert [each.target_spec for each in evaluation.images.values()] == [row["target"] for row in rows]
