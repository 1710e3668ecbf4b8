"""Every consumer of a probability takes it from the task: each percentage of a multi-label, a binary and a regression
network against torch.sigmoid of the network's own outputs.
"""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camlucida as cl
from camlucida.analysis.calibration import fit_temperature
from camlucida.attribution.predictions import predict_scores
from camlucida.data.datasets import Item, ListDataset
from camlucida.errors import TargetError
from camlucida.evaluation.evaluate import evaluate
from camlucida.evaluation.model_input import prepare_input
from camlucida.metrics.common.perturbation import probability
from camlucida.models.model import Model
from camlucida.reliability.confidence import border_test, confidence
from camlucida.reliability.position_test import position_test

SOURCE = Path(cl.__file__).parent
PIXELS = np.random.default_rng(5).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
IMAGES = [Image.fromarray(pixels) for pixels in PIXELS]
NAMES = {1: ["defect"], 2: ["good", "defect"], 3: ["red", "green", "blue"]}


class Network(nn.Module):
    """Class scores of a small convolutional network, centred so that both classes of a binary one occur."""

    def __init__(self, k: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(k)
        self.convolution, self.fc = nn.Conv2d(3, 6, 3, 2, 1), nn.Linear(6, k)
        for p in self.parameters():
            nn.init.normal_(p, std=0.4, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.fc(self.convolution(x).relu().mean((2, 3)))
        return 2 * z


def model(kind: str) -> Model:
    if kind == "binary":
        return cl.wrap(Network(1), size=32, labels=NAMES[2])
    if kind == "regression":
        return cl.wrap(Network(1), size=32, labels=["age"], task="regression")
    return cl.wrap(Network(3), size=32, labels=NAMES[3], task="multilabel")


def expected(kind: str, image: Image.Image) -> Tensor:
    """Return the probabilities `(k,)` by torch.sigmoid of the network's own output."""
    one = model(kind)
    with torch.no_grad():
        z = one.network(one.preprocessing(image)[0][None])[0].double()
    return torch.cat([torch.sigmoid(-z), torch.sigmoid(z)]) if kind == "binary" else torch.sigmoid(z)


KINDS = ["binary", "multilabel"]


@pytest.mark.parametrize("kind", KINDS)
def test_predictions(kind: str) -> None:
    for image in IMAGES:
        p = expected(kind, image)
        result = cl.explain(model(kind), image)
        assert result.predictions[0].index == int(p.argmax())
        for prediction in result.predictions:
            assert prediction.probability == pytest.approx(float(p[prediction.index]), abs=1e-6)
        assert f"{float(p.max()):.0%}" in repr(result)
        scores, activation = predict_scores(model(kind), image)
        assert activation.probabilities(scores.double()).numpy() == pytest.approx(p.numpy(), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_measure_the_probability(kind: str) -> None:
    one = prepare_input(model(kind), Item(IMAGES[0], "a"), None)
    p = expected(kind, IMAGES[0])
    for k in range(len(p)):
        assert float(probability(one.logits, k, one.activation)) == pytest.approx(float(p[k]), abs=1e-6)
    again = one.predict(lambda which: one.inputs.expand(len(which), -1, -1, -1), 3)
    assert probability(again, 1, one.activation).numpy() == pytest.approx([float(p[1])] * 3, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation(kind: str) -> None:
    data = ListDataset(
        "pixels", [Item(image, f"{i}", i % 2) for i, image in enumerate(IMAGES)], tuple(model(kind).labels)
    )
    result = evaluate(model(kind), data, methods=["grad_cam"], metrics=["deletion"])
    for row, image in zip(result.images.values(), IMAGES, strict=True):
        assert row.confidence == pytest.approx(float(expected(kind, image).max()), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_mistakes(kind: str) -> None:
    labels = [int(expected(kind, image).argmin()) for image in IMAGES]  # always wrong
    data = ListDataset(
        "pixels",
        [Item(im, f"{i}", k) for i, (im, k) in enumerate(zip(IMAGES, labels, strict=True))],
        tuple(model(kind).labels),
    )
    result = cl.mistakes(model(kind), data)
    rows = sorted(result.judged, key=lambda row: row["index"])
    for row, image in zip(rows, IMAGES, strict=True):
        assert row["confidence"] == pytest.approx(float(expected(kind, image).max()), abs=1e-6)
    for mistake in result.explain(2):
        p = expected(kind, IMAGES[mistake.row["index"]])
        assert mistake.probabilities == pytest.approx((float(p.max()), float(p.min())), abs=1e-5)
    assert result.top5 is None
    assert result.calibration.temperature_scaling is not None


@pytest.mark.parametrize("kind", KINDS)
def test_trust(kind: str) -> None:
    p = expected(kind, IMAGES[0])
    result = cl.trust(model(kind), IMAGES[0], n_windows=16, target=1)
    assert result.probability == pytest.approx(float(p[1]), abs=1e-6)
    if kind == "binary":
        sure = float(p.max())
        assert result.confidence.margin == pytest.approx(2 * sure - 1, abs=1e-6)
    else:
        sure = float(p[1])
        assert result.confidence.margin == pytest.approx(abs(2 * sure - 1), abs=1e-6)
    other = 1 - float(p[1])
    entropy = -sum(q * math.log(q) for q in (float(p[1]), other))
    assert math.log(result.confidence.choices) == pytest.approx(entropy, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_drops_are_of_the_log_probability(kind: str) -> None:
    one = prepare_input(model(kind), Item(IMAGES[0], "a"), None)
    relevance = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    test = position_test(one, relevance, n_windows=16)
    assert test is not None
    weight, infill = test.highlighted, test.infill
    occluded = one.inputs[0] * (1 - weight) + infill * weight
    with torch.no_grad():
        z = one.model.network(torch.stack([one.inputs[0], occluded]).float())[:, -1 if kind == "binary" else one.target]
    z = -z if kind == "binary" and one.target == 0 else z
    before, after = torch.nn.functional.logsigmoid(z.double())
    assert test.drop == pytest.approx(float(before - after), abs=1e-5)
    assert math.isfinite(border_test(one, None).edge)


def test_confidence_of_a_multilabel_network_is_about_the_target() -> None:
    one = prepare_input(model("multilabel"), Item(IMAGES[0], "a"), None)
    p = torch.sigmoid(one.logits.double())
    for k in range(3):
        result = confidence(one.logits, one.activation, k)
        assert result.probability == pytest.approx(max(float(p[k]), 1 - float(p[k])))
        assert result.classes == 2


def test_temperature_of_sigmoids() -> None:
    """Scores that were multiplied by 3 have the temperature 3 times that of the original ones."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 4))
    labels = rng.integers(0, 4, 400)
    scores[np.arange(400), labels] += 1.5
    first = fit_temperature(lambda: [(scores, labels)], sigmoid=True)
    second = fit_temperature(lambda: [(3 * scores, labels)], sigmoid=True)
    assert second.temperature == pytest.approx(3 * first.temperature, rel=1e-4)
    assert first.loss[1] <= first.loss[0]
    target = torch.zeros(400, 4, dtype=torch.float64)
    target[torch.arange(400), torch.from_numpy(labels)] = 1
    loss = nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(scores), target)
    assert first.loss[0] == pytest.approx(float(loss))


# --- regression ---


def test_regression_shows_values_and_no_percentage() -> None:
    one = model("regression")
    result = cl.explain(one, IMAGES[0])
    assert result.predictions[0].probability is None
    assert cl.explain(one, IMAGES[0], method=["grad_cam", "gradient"]).figure().size[0] > 0
    data = ListDataset("pixels", [Item(image, f"{i}", 0) for i, image in enumerate(IMAGES[:2])], ("age",))
    with pytest.raises(TargetError, match="mistakes needs classes"):
        cl.mistakes(one, data)
    with pytest.raises(TargetError, match="trust tests the probability of a class, and there is none: regression"):
        cl.trust(one, IMAGES[0])
    rows = evaluate(one, data, methods=["grad_cam"], metrics=["deletion"]).images.values()
    assert all(math.isnan(row.confidence) for row in rows)


def test_one_output_and_one_name_asks_for_two() -> None:
    with pytest.raises(TargetError, match=r"labels=\[negative, positive\]"):
        cl.trust(cl.wrap(Network(1), size=32, labels=["defect"]), IMAGES[0])


# --- one home ---

CONSUMERS = (
    "attribution",
    "evaluation",
    "reliability",
    "analysis",
    "features",
    "app",
    "report",
    "cli",
    "render",
    "metrics",
)


def test_probabilities_have_one_home() -> None:
    """No consumer applies a softmax or sigmoid of its own to class scores."""
    calls = []
    for package in CONSUMERS:
        for file in (SOURCE / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                function = node.func if isinstance(node, ast.Call) else None
                name: Any = getattr(function, "attr", None)
                if name in ("softmax", "log_softmax", "sigmoid", "logsigmoid"):
                    calls.append(f"{file.relative_to(SOURCE)}:{node.lineno} {name}")
    assert calls == []
