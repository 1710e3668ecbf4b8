"""Is attention relevance of a box Chefer's, written from the equations of the paper for one query?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import camlucida as cl
from camlucida.errors import MethodError
from camlucida.models.detection.targets import DetectionTargets
from camlucida.models.detection.transformers import detection_model
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

from .small_detectors import small_detector

hf: Any = pytest.importorskip("transformers")
IMAGE = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)


def model_of(family: str, sides: tuple[int, int]) -> Model:
    preprocessing = Preprocessing(size=sides, resize=sides)
    model = detection_model(small_detector(hf, family), preprocessing)
    return replace(model, image_targets=DetectionTargets(0.05, 1.0))


def positive(weights: Tensor, gradient: Tensor) -> Tensor:
    """Eq. 5: mean over the heads of the positive part of gradient times attention."""
    return (weights * gradient).clamp(min=0).mean(1)[0].double()


def normalised(relevance: Tensor) -> Tensor:
    """Eq. 8 and 9, row by row."""
    rows = []
    for i, row in enumerate(relevance):
        identity = torch.zeros_like(row)
        identity[i] = 1
        rest = row - identity
        rows.append((rest / rest.sum() if rest.sum() > 0 else rest) + identity)
    return torch.stack(rows)


def by_hand(network: Any, inputs: Tensor, query: int, score: Any) -> Tensor:
    """Eq. 6, 7 and 10 on the attentions that transformers itself returns."""
    if hasattr(network.config, "_attn_implementation") and "TableTransformer" not in type(network).__name__:
        network.set_attn_implementation("eager")
    output = network(inputs, output_attentions=True)
    groups = output.encoder_attentions, output.decoder_attentions, output.cross_attentions
    gradients = [torch.autograd.grad(score(output), group, retain_graph=True) for group in groups]
    maps = [[positive(*pair) for pair in zip(*both, strict=True)] for both in zip(groups, gradients, strict=True)]
    tokens = torch.eye(maps[0][0].shape[0], dtype=torch.float64)
    for attended in maps[0]:
        tokens = tokens + attended @ tokens
    queries = torch.eye(maps[1][0].shape[0], dtype=torch.float64)
    both = torch.zeros(len(queries), len(tokens), dtype=torch.float64)
    for own, crossing in zip(maps[1], maps[2], strict=True):
        queries, both = queries + own @ queries, both + own @ both
        both = both + normalised(queries).T @ crossing @ normalised(tokens)
    return both[query]


@pytest.mark.parametrize("sides", [(128, 96), (96, 64)], ids=["12 tokens", "as many tokens as queries"])
@pytest.mark.parametrize("family", ["conditional_detr", "detr", "table_transformer"])
def test_relevance_is_that_of_the_paper(family: str, sides: tuple[int, int]) -> None:
    model = model_of(family, sides)
    explanation = cl.explain(model, IMAGE, target="box 1", method="attention_relevance")
    inputs = model.preprocessing(explanation.image)[0][None]
    network: Any = model.network.network
    with torch.no_grad():
        scores = model.network(inputs)["scores"][0]
    query, index = divmod(int(scores.argmax()), scores.shape[1])
    assert explanation.score == pytest.approx(float(scores.max()), abs=1e-4)

    def score(output: Any) -> Tensor:
        logits = output.logits[0, query]
        if family == "conditional_detr":
            return logits[index]
        return logits[index] - torch.cat([logits[:index], logits[index + 1 :]]).logsumexp(0)

    expected = by_hand(network, inputs, query, score).float().reshape(1, 1, sides[0] // 32, sides[1] // 32)
    upsampled = torch.nn.functional.interpolate(expected, sides, mode="bilinear", align_corners=False)[0, 0]
    assert_close(explanation.raw, upsampled.detach(), rtol=1e-3, atol=1e-6)
    assert float(upsampled.detach().max()) > 1e-3


@pytest.mark.parametrize("family", ["deformable_detr", "detr", "rt_detr", "table_transformer"])
def test_rollout_needs_an_encoder_only(family: str) -> None:
    for sides in ((128, 96), (96, 64)):
        with pytest.raises(MethodError, match=r"has a decoder whose queries|does not depend on those before"):
            cl.explain(model_of(family, sides), IMAGE, target="box 1", method="attention_rollout")


def test_patches_of_yolos_are_before_its_boxes() -> None:
    """Of 1 + 48 + 6 tokens, the patches are the 2nd to the 49th: read from the 8th, they would lie one row too high."""
    model = model_of("yolos", (128, 96))
    with_relevance = cl.explain(model, IMAGE, target="box 1", method="attention_relevance")
    inputs = model.preprocessing(with_relevance.image)[0][None]
    network: Any = model.network.network
    network.set_attn_implementation("eager")
    output = network(inputs, output_attentions=True)
    with torch.no_grad():
        scores = model.network(inputs)["scores"][0]
    query, index = divmod(int(scores.argmax()), scores.shape[1])
    logits = output.logits[0, query]
    score = logits[index] - torch.cat([logits[:index], logits[index + 1 :]]).logsumexp(0)
    gradients = torch.autograd.grad(score, output.attentions)
    tokens = torch.eye(55, dtype=torch.float64)
    for pair in zip(output.attentions, gradients, strict=True):
        tokens = tokens + positive(*pair) @ tokens
    expected = tokens[49 + query, 1:49].float().reshape(1, 1, 8, 6)
    upsampled = torch.nn.functional.interpolate(expected, (128, 96), mode="bilinear", align_corners=False)[0, 0]
    assert_close(with_relevance.raw, upsampled.detach(), rtol=1e-3, atol=1e-6)
