"""Which part of an output holds the class scores, for every kind of output, compared with tensors made by hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput

from camlucida.attribution.output_parts import find_part
from camlucida.attribution.outputs import class_scores
from camlucida.errors import TargetError

GENERATOR = torch.Generator().manual_seed(0)
LOGITS, FEATURES, TOKENS, DENSE = (
    torch.randn(shape, generator=GENERATOR) for shape in ((2, 4), (2, 9), (2, 5, 9), (2, 4, 8, 8))
)


class Named(NamedTuple):
    logits: Tensor
    features: Tensor


@dataclass
class Detections:
    boxes: Tensor
    scores: Tensor


def boxes(n: int) -> dict[str, Tensor]:
    return {"boxes": torch.rand(n, 4), "labels": torch.ones(n, dtype=torch.int64), "scores": torch.rand(n)}


@pytest.mark.parametrize(
    "output",
    [
        (LOGITS, TOKENS),
        (TOKENS, LOGITS),
        (LOGITS, None, torch.tensor(3.0)),
        (LOGITS.softmax(1), LOGITS),
        (LOGITS, LOGITS.softmax(1)),
        (LOGITS.sigmoid(), LOGITS),
        (LOGITS, LOGITS.log_softmax(1)),
        (LOGITS.log_softmax(1), LOGITS.softmax(1), LOGITS),
        (LOGITS, LOGITS),
        {"probabilities": LOGITS.softmax(1), "scores": LOGITS},
        {"logits": LOGITS, "features": FEATURES},
        Named(LOGITS, FEATURES),
        OrderedDict(out=LOGITS, aux=FEATURES),
        ImageClassifierOutput(logits=LOGITS, hidden_states=(FEATURES, FEATURES)),
        ImageClassifierOutput(loss=torch.tensor(0.1), logits=LOGITS),
        {"logits_per_image": LOGITS, "logits_per_text": LOGITS.T, "image_embeds": FEATURES},
    ],
)
def test_class_scores_are_found(output: Any) -> None:
    assert_close(class_scores(output, n_images=2), LOGITS, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (LOGITS[:, 0], LOGITS[:, :1]),
        ((LOGITS[:, 0], TOKENS), LOGITS[:, :1]),
        (LOGITS[:, :, None, None], LOGITS),
        (LOGITS[:, :1, None, None], LOGITS[:, :1]),
    ],
)
def test_shapes_of_class_scores(output: Any, expected: Tensor) -> None:
    assert_close(class_scores(output, n_images=2), expected, rtol=0, atol=0)


def test_a_scalar_is_the_score_of_one_image() -> None:
    assert class_scores(torch.tensor(3.0), n_images=1).tolist() == [[3.0]]
    with pytest.raises(TargetError, match=r"returned \(\)"):
        class_scores(torch.tensor(3.0), n_images=2)


@pytest.mark.parametrize("n", [0, 1, 2, 4, 7])
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda found: [found],
        lambda found: [found, found],
        lambda found: (found,),
        lambda found: found,
        lambda found: Detections(found["boxes"], found["scores"]),
        lambda found: {"logits": torch.zeros(1, len(found["boxes"]), 5), "pred_boxes": found["boxes"][None]},
        lambda found: {"pred_logits": torch.zeros(1, len(found["boxes"]), 5), "pred_boxes": found["boxes"][None]},
    ],
)
def test_a_detector_is_named(n: int, wrapped: Callable[[Any], Any]) -> None:
    with pytest.raises(TargetError, match=r"is an object detector: .*boxes.* wrap\(network, output=function\)"):
        class_scores(wrapped(boxes(n)), n_images=1)


@pytest.mark.parametrize(
    ("output", "parts"),
    [
        ((LOGITS, FEATURES), r"0 \(2, 4\), 1 \(2, 9\)"),
        ((LOGITS, -LOGITS), r"0 \(2, 4\), 1 \(2, 4\)"),
        ({"a": LOGITS, "b": FEATURES}, r"'a' \(2, 4\), 'b' \(2, 9\)"),
    ],
)
def test_ambiguity_lists_the_parts(output: Any, parts: str) -> None:
    with pytest.raises(TargetError, match=rf"2 parts .* {parts}.* wrap\(network, output=…\), such as output="):
        class_scores(output)


def test_ambiguity_of_three_parts() -> None:
    """One part that is computed from another does not decide about the third."""
    with pytest.raises(TargetError, match="3 parts"):
        class_scores((LOGITS, LOGITS.softmax(1), FEATURES))


def test_the_number_of_class_names_decides() -> None:
    assert_close(class_scores((FEATURES, LOGITS), n_labels=4), LOGITS, rtol=0, atol=0)
    assert_close(class_scores((FEATURES, LOGITS), n_labels=9), FEATURES, rtol=0, atol=0)
    with pytest.raises(TargetError, match="2 parts"):
        class_scores((FEATURES, LOGITS), n_labels=3)


@pytest.mark.parametrize(
    "output",
    [[], {}, [FEATURES[:0]], {"hidden_states": (FEATURES,)}, (TOKENS, DENSE), DENSE, {"logits": TOKENS}, "text"],
)
def test_nothing_that_could_be_class_scores(output: Any) -> None:
    with pytest.raises(TargetError, match=r"wrap\(network, output="):
        class_scores(output, n_images=2)


@pytest.mark.parametrize("rows", [1, 3, 0])
def test_rows_are_images(rows: int) -> None:
    with pytest.raises(TargetError, match=rf"one row per image, but the network returned \({rows}, 4\) for 2 images"):
        class_scores(torch.zeros(rows, 4), n_images=2)


def test_rows_of_a_callable_and_of_a_named_part() -> None:
    for selector in (lambda output: output["a"], "a"):
        with pytest.raises(TargetError, match="one row per image"):
            class_scores({"a": torch.zeros(3, 4)}, selector, n_images=2)


def test_integers_are_no_scores() -> None:
    with pytest.raises(TargetError, match="floating-point"):
        class_scores(LOGITS.argmax(1), n_images=2)


@pytest.mark.parametrize(
    "output",
    [
        BaseModelOutputWithPooling(last_hidden_state=TOKENS, pooler_output=FEATURES),
        {"image_embeds": FEATURES, "last_hidden_state": TOKENS},
    ],
)
def test_embeddings_are_named(output: Any) -> None:
    part = find_part(output)
    assert "no class scores" in part.embedding
    assert part.select(output, None) is FEATURES


def test_hidden_states_alone_are_no_embedding_of_an_image() -> None:
    with pytest.raises(TargetError, match=r"embedding, not class scores.*last_hidden_state\.mean\(1\)"):
        find_part(BaseModelOutputWithPooling(last_hidden_state=TOKENS))
