"""Does every way of naming a target mean what a user would think, and does every kind of score read what it says?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.class_lookup import class_index
from camlucida.errors import TargetError
from camlucida.target_specs import parse, parse_top_k
from camlucida.targets import (
    SCORES,
    Contrast,
    Counterfactual,
    Custom,
    Logit,
    LogProbability,
    Probability,
    Target,
    class_label,
)

NAMES = ("tabby, tabby cat", "tiger cat", "tiger, Panthera tigris", "sports car, sport car", "hammer-head", "cab")
OUTPUT = torch.tensor([[0.0, 3.0, 1.0, -1.0, 2.0, -2.0], [5.0, 0.0, -4.0, 4.0, 1.0, 3.0]], dtype=torch.float64)
"""The classes from most to least likely: 1 4 2 0 3 5, and 0 3 5 4 1 2."""


def one(spec: Any, **rest: Any) -> Target:
    (found,) = parse(spec, OUTPUT, NAMES, **rest)
    return found


# --- what a user types ---


@pytest.mark.parametrize(
    ("spec", "index"),
    [
        (3, 3),
        (0, 0),
        (np.int64(3), 3),
        (torch.tensor(3), 3),
        ("3", 3),
        (" 3 ", 3),
        ("tiger cat", 1),
        ("Tiger Cat", 1),
        ("tiger_cat", 1),
        ("tabby, tabby cat", 0),
        ("tabby", 0),
        ("tabby cat", 0),
        ("tiger", 2),  # a whole synonym goes before a part of "tiger cat"
        ("Panthera tigris", 2),
        ("panthera", 2),
        ("sport-car", 3),
        ("sports", 3),
        ("hammer head", 4),
        ("hammer", 4),
        ("amme", 4),
        ("cab", 5),
    ],
)
def test_a_class(spec: Any, index: int) -> None:
    assert one(spec) == Logit(index)
    assert_close(one(spec)(OUTPUT), OUTPUT[:, index])


@pytest.mark.parametrize("spec", [None, "predicted", "Prediction "])
def test_the_predicted_class(spec: Any) -> None:
    assert_close(one(spec)(OUTPUT), torch.tensor([3.0, 5.0], dtype=torch.float64))


@pytest.mark.parametrize("spec", ["runner-up", "runner up", "Second"])
def test_the_runner_up(spec: str) -> None:
    assert_close(one(spec)(OUTPUT), torch.tensor([2.0, 4.0], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_one_class_an_image(dtype: torch.dtype) -> None:
    assert_close(one(torch.tensor([2, 5], dtype=dtype))(OUTPUT), torch.tensor([1.0, 3.0], dtype=torch.float64))


@pytest.mark.parametrize("spec", ["top3", "Top 3", "top-3", "top_3"])
def test_top(spec: str) -> None:
    found = parse(spec, OUTPUT, NAMES)
    wanted = torch.tensor([[3.0, 5.0], [2.0, 4.0], [1.0, 3.0]], dtype=torch.float64)
    assert_close(torch.stack([target(OUTPUT) for target in found]), wanted)


def test_top_of_more_classes_than_there_are() -> None:
    assert len(parse("top10", OUTPUT, NAMES)) == 6
    with pytest.raises(TargetError, match="'top0' selects no class"):
        parse("top0", OUTPUT, NAMES)


def test_a_class_that_only_begins_with_top() -> None:
    assert parse("top hat", OUTPUT, ("top hat", *NAMES[1:])) == [Logit(0)]
    assert [parse_top_k(spec) for spec in ("top3", "top hat", "topi", 3, None)] == [3, None, None, None, None]


def test_rather_than() -> None:
    found = one("tiger cat rather than tabby")
    assert found == Contrast(Logit(1), Logit(0))
    assert_close(found(OUTPUT), torch.tensor([3.0, -5.0], dtype=torch.float64))
    assert_close(one("predicted rather than runner-up")(OUTPUT), torch.tensor([1.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("spec", ["not tiger cat", "against tiger cat", "Not 1"])
def test_not(spec: str) -> None:
    assert one(spec) == Counterfactual(Logit(1))
    assert_close(one(spec)(OUTPUT), -OUTPUT[:, 1])


def test_a_target_is_taken_as_it_is() -> None:
    target = Contrast(Logit(1), Probability(0))
    assert one(target) is target


def test_a_callable() -> None:
    def spread(output: Tensor) -> Tensor:
        return output.std(1)

    found = one(spread)
    assert found == Custom(spread)
    assert isinstance(found, Target)
    assert found.label(NAMES) == "spread"
    assert_close(found(OUTPUT), OUTPUT.std(1))


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda output: output, r"\(2, 6\)"),
        (lambda output: output.sum(), r"\(\)"),
        (lambda output: output[0], r"\(6,\)"),
        (lambda output: output[:, :1], r"\(2, 1\)"),
        (lambda output: 1.0, "float"),
    ],
)
def test_a_callable_of_the_wrong_shape(function: Callable[[Tensor], Any], found: str) -> None:
    with pytest.raises(TargetError, match=rf"must return one score per image, shape \(2,\), but returned {found}\."):
        one(function)(OUTPUT)


def test_scored_as_asked() -> None:
    assert one("tabby", score="probability") == Probability(0)
    assert one("not tabby", score="log_probability") == Counterfactual(LogProbability(0))
    assert one("1 rather than 2", score="probability") == Contrast(Probability(1), Probability(2))
    assert [type(t) for t in parse("top2", OUTPUT, NAMES, score="probability")] == [Probability] * 2


# --- what is refused, and how ---


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (6, "target 6 needs at least 7 outputs; the model returns 6: 0 to 5."),
        ("1000", "target 1000 needs at least 1001 outputs; the model returns 6: 0 to 5."),
        (-1, "target -1 is not a class; the model returns 6: 0 to 5."),
        ("-1", "target -1 is not a class; the model returns 6: 0 to 5."),
        (torch.tensor([1, 6]), "target 6 needs at least 7 outputs; the model returns 6: 0 to 5."),
        (torch.tensor([-2, 1]), "target -2 is not a class; the model returns 6: 0 to 5."),
        (torch.tensor([1, 2, 3]), "(3,) target indices for a batch of 2 images: give one index per image."),
        (torch.tensor([[1], [2]]), "(2, 1) target indices for a batch of 2 images: give one index per image."),
        (
            torch.tensor([1.0, 2.0]),
            "target indices are integers, one per image, but this tensor is torch.float32.",
        ),
        (2.7, "a target is a class name, an index, a (b,) tensor or a callable, not 2.7."),
        ({"class": 1}, "a target is a class name, an index, a (b,) tensor or a callable, not {'class': 1}."),
        (
            "tige",
            "2 classes match 'tige': 'tiger cat' (1), 'tiger, Panthera tigris' (2). Give the whole name or the index.",
        ),
        ("tigger", "no class 'tigger' in this model. Did you mean 'tiger' or 'tiger cat'?"),
        ("tabbi", "no class 'tabbi' in this model. Did you mean 'tabby'"),
        ("xylophone", "no class 'xylophone' in this model. It has 6 classes, from 'tabby, tabby cat' to 'cab'."),
        ("not xylophone", "no class 'xylophone' in this model."),
        ("tabby rather than xylophone", "no class 'xylophone' in this model."),
    ],
)
def test_refusals(spec: Any, message: str) -> None:
    with pytest.raises(TargetError) as caught:
        one(spec)
    assert str(caught.value).startswith(message)


def test_an_unknown_score() -> None:
    with pytest.raises(TargetError) as caught:
        one(1, score="logits")
    assert str(caught.value) == "no score 'logits'. Did you mean 'logit'? Known: logit, probability, log_probability."


def test_names_of_a_model_that_has_none() -> None:
    with pytest.raises(TargetError, match=r"no class 'tabby': this model has no class names"):
        parse("tabby", OUTPUT, ())
    assert parse("2", OUTPUT, ()) == [Logit(2)]


def test_many_names_that_fit_are_not_all_listed() -> None:
    with pytest.raises(TargetError, match=r"20 classes match 'dog': 'dog a' \(0\).* … ?\. Give"):
        class_index("dog", [f"dog {chr(97 + i)}" for i in range(20)])


@pytest.mark.parametrize("name", ["", "  ", ","])
def test_an_empty_name_is_no_class(name: str) -> None:
    with pytest.raises(TargetError):
        class_index(name, NAMES)


def test_an_exact_name_goes_before_a_synonym() -> None:
    assert class_index("crane", ["crane, bird", "crane"]) == 1


@pytest.mark.parametrize("kind", SCORES.values())
def test_a_score_of_a_class_out_of_range(kind: Any) -> None:
    for index in (6, -1):
        with pytest.raises(TargetError):
            kind(index)(OUTPUT)


def test_a_whole_word_goes_before_a_part_of_one() -> None:
    assert class_index("car", ["oscar fish", "sports car", "cart"]) == 1


# --- the scores ---


@pytest.mark.parametrize("index", [1, torch.tensor([4, 0])], ids=["one class", "one an image"])
def test_scores_are_their_closed_forms(index: Any) -> None:
    each = [index, index] if isinstance(index, int) else index.tolist()
    logits = [OUTPUT[i, k].item() for i, k in enumerate(each)]
    totals = [math.fsum(math.exp(v) for v in row) for row in OUTPUT.tolist()]
    chances = [math.exp(v) / total for v, total in zip(logits, totals, strict=True)]
    assert_close(Logit(index)(OUTPUT), torch.tensor(logits, dtype=torch.float64))
    assert_close(Probability(index)(OUTPUT), torch.tensor(chances, dtype=torch.float64))
    assert_close(LogProbability(index)(OUTPUT), torch.tensor([math.log(p) for p in chances], dtype=torch.float64))


def test_the_log_of_a_vanishing_probability_is_finite() -> None:
    assert_close(LogProbability(1)(torch.tensor([[500.0, 0.0]])), torch.tensor([-500.0]))


def test_gradients_are_their_closed_forms() -> None:
    output = OUTPUT.clone().requires_grad_()
    chance = OUTPUT.softmax(1)
    picked = torch.eye(6, dtype=torch.float64)[2].expand(2, -1)
    for target, wanted in (
        (Logit(2), picked),
        (Probability(2), chance[:, 2:3] * (picked - chance)),
        (LogProbability(2), picked - chance),
        (Contrast(Logit(2), Logit(2)), 0 * picked),
        (Counterfactual(Logit(2)), -picked),
    ):
        (found,) = torch.autograd.grad(target(output).sum(), output)
        assert_close(found, wanted)


# --- one image of the batch, and what it is called ---


@pytest.mark.parametrize(
    "target",
    [
        Logit(1),
        Logit(torch.tensor([4, 0])),
        Probability(torch.tensor([4, 0])),
        Contrast(Logit(torch.tensor([4, 0])), LogProbability(3)),
        Counterfactual(Contrast(Logit(torch.tensor([4, 0])), Logit(torch.tensor([1, 2])))),
        Custom(lambda output: output.amax(1)),
    ],
    ids=lambda target: type(target).__name__,  # a callable's text holds its address, which differs between workers
)
def test_of_an_image_scores_its_variants(target: Target) -> None:
    for image in range(2):
        variants = OUTPUT[image] + torch.arange(5.0)[:, None]
        each = [target(torch.stack([row, row]))[image] for row in variants]
        assert_close(target.of(image)(variants), torch.stack(each))


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (Logit(1), "tiger cat"),
        (Logit(7), "class 7"),
        (Logit(torch.tensor([4, 0])), "hammer-head"),
        (Logit(torch.tensor([4, 0])).of(1), "tabby, tabby cat"),
        (Probability(1), "probability of tiger cat"),
        (LogProbability(1), "log probability of tiger cat"),
        (Contrast(Logit(1), Logit(5)), "tiger cat rather than cab"),
        (Counterfactual(Logit(5)), "against cab"),
    ],
)
def test_labels(target: Target, label: str) -> None:
    assert target.label(NAMES) == label
    assert isinstance(target, Target)


def test_a_class_without_a_name() -> None:
    assert class_label(2, ()) == "class 2"
    assert class_label(-1, NAMES) == "class -1"


def test_true_is_no_class() -> None:
    with pytest.raises(TargetError, match="not True"):
        parse(True, OUTPUT, ())
