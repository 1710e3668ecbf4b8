"""Probabilities by task against the functions of torch, in closed form."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from camlucida.errors import ModelError, TargetError
from camlucida.tasks import OutputActivation, check_probabilities_flag, check_task, expand_binary

SCORES = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 4
PROBABILITIES = torch.rand(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize(
    ("activation", "scores", "expected"),
    [
        (OutputActivation("multiclass"), SCORES, F.softmax(SCORES, 1)),
        (OutputActivation("multilabel"), SCORES, torch.sigmoid(SCORES)),
        (OutputActivation("binary"), SCORES[:, :1], torch.sigmoid(SCORES[:, :1])),
        (OutputActivation("multilabel", True), PROBABILITIES, PROBABILITIES),
        (OutputActivation("multiclass", True), PROBABILITIES, PROBABILITIES),
    ],
)
def test_probabilities(activation: OutputActivation, scores: Any, expected: Any) -> None:
    assert_close(activation.probabilities(scores), expected)
    assert_close(activation.log_probabilities(scores), expected.log())
    assert_close(activation.probabilities(scores[0]), expected[0])
    assert_close(activation.measured(scores), expected)
    assert_close(activation.log_measured(scores), expected.log())


@pytest.mark.parametrize("task", ["regression", None])
def test_no_probabilities(task: Any) -> None:
    activation = OutputActivation(task)
    assert activation.probabilities(SCORES).isnan().all()
    assert activation.log_probabilities(SCORES).isnan().all()
    assert_close(activation.measured(SCORES), SCORES)
    assert_close(activation.log_measured(SCORES), SCORES)
    assert math.isnan(activation.probability_of(1.0, 2.0, 0.5))
    with pytest.raises(TargetError, match=r"needs probabilities.*wrap\(…, task="):
        activation.check_probabilities("probability")


def test_log_of_a_probability_of_0_is_finite() -> None:
    assert OutputActivation("multilabel", True).log_probabilities(torch.zeros(1, 2)).isfinite().all()


@pytest.mark.parametrize("activation", [OutputActivation("multiclass"), OutputActivation("multilabel")])
def test_probability_of_a_class_from_another(activation: OutputActivation) -> None:
    p = activation.probabilities(SCORES[0])
    value = activation.probability_of(float(SCORES[0, 3]), float(SCORES[0, 1]), float(p[1]))
    assert value == pytest.approx(float(p[3]))


def test_probability_of_a_class_whose_score_is_one() -> None:
    assert OutputActivation("multiclass", True).probability_of(0.3, 0.6, 0.6) == 0.3


def test_binary_with_two_names() -> None:
    z = SCORES[:, :1]
    binary = OutputActivation("binary")
    assert_close(binary.probabilities(expand_binary(z, binary, 2)), torch.cat([torch.sigmoid(-z), torch.sigmoid(z)], 1))
    known = OutputActivation("binary", True)
    p = PROBABILITIES[:, :1]
    assert_close(known.probabilities(expand_binary(p, known, 2)), torch.cat([1 - p, p], 1))
    for activation, n in ((binary, 1), (binary, 0), (OutputActivation("regression"), 2), (OutputActivation(), 2)):
        assert expand_binary(z, activation, n) is z


@pytest.mark.parametrize("task", ["multi-class", "sigmoid", 3, True, ["binary"]])
def test_unknown_tasks(task: Any) -> None:
    with pytest.raises(ModelError, match=r"no task .*Known: multiclass, multilabel, binary, regression"):
        check_task(task)


@pytest.mark.parametrize("flag", [1, "yes", 0])
def test_flag_is_a_bool(flag: Any) -> None:
    with pytest.raises(ModelError, match=r"probabilities is True .* or False"):
        check_probabilities_flag(flag)
