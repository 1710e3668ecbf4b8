"""Prompts as classes, targets and contrasts of image-text networks, against the networks' own arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import camlucida as cl
from camlucida.attribution.output_reader import output_activation, predict
from camlucida.errors import ModelError, TargetError
from camlucida.models.model import Model

from .networks import (
    IMAGE,
    LENGTH,
    PROMPTS,
    hf_tokenizer,
    open_clip_resnet,
    open_clip_tokenizer,
    open_clip_vit,
    save_hf,
)

pytest.importorskip("open_clip")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def clip() -> Any:
    return open_clip_vit()


@pytest.fixture(scope="module")
def model(clip: Any) -> Model:
    return cl.wrap(clip, tokenizer=open_clip_tokenizer(), size=32)


@pytest.fixture(scope="module")
def classes(model: Model) -> Model:
    return model.with_prompts(PROMPTS)


def inputs_of(model: Model) -> torch.Tensor:
    from PIL import Image

    return model.preprocessing(Image.fromarray(IMAGE))[0][None]


def logits(clip: Any, inputs: torch.Tensor, texts: list[str] = PROMPTS) -> torch.Tensor:
    """Class scores by open_clip itself."""
    scores: torch.Tensor = clip.get_logits(inputs, open_clip_tokenizer()(texts))[0]
    return scores


def test_scores_are_those_of_open_clip(clip: Any, classes: Model) -> None:
    inputs = inputs_of(classes)
    scores, activation = predict(classes, inputs)
    torch.testing.assert_close(scores, logits(clip, inputs).detach(), rtol=1e-5, atol=1e-5)
    assert activation.task == "multiclass"
    explanation = cl.explain(classes, IMAGE)
    expected = dict(zip(PROMPTS, logits(clip, inputs).softmax(1)[0].tolist(), strict=True))
    assert {p.name: p.probability for p in explanation.predictions} == pytest.approx(expected, rel=1e-4)


def test_grad_cam_of_a_prompt_by_hand(clip: Any, classes: Model) -> None:
    explanation = cl.explain(classes, IMAGE, target="a cat", layer="transformer.resblocks.1.ln_1")
    stored: list[torch.Tensor] = []
    handle = clip.visual.transformer.resblocks[1].ln_1.register_forward_hook(
        lambda _, __, output: stored.append(output) or output.retain_grad()
    )
    try:
        logits(clip, inputs_of(classes))[0, 1].backward()
    finally:
        handle.remove()
    tokens = stored[0][0, 1:], stored[0].grad[0, 1:]  # without the class token
    by_hand = (tokens[0] * tokens[1].mean(0)).sum(1).reshape(4, 4)
    torch.testing.assert_close(explanation.raw, by_hand.detach(), rtol=1e-4, atol=1e-6)
    clip.zero_grad()


def test_grad_cam_of_a_resnet_with_attention_pooling_by_hand() -> None:
    clip = open_clip_resnet()
    classes = cl.wrap(clip, tokenizer=open_clip_tokenizer(), size=64).with_prompts(PROMPTS)
    explanation = cl.explain(classes, IMAGE, target="a car rather than a dog")
    assert explanation.layer == "layer4"
    stored: list[torch.Tensor] = []
    handle = clip.visual.layer4.register_forward_hook(
        lambda _, __, output: stored.append(output) or output.retain_grad()
    )
    scores = logits(clip, inputs_of(classes))[0]
    (scores[2] - scores[0]).backward()
    handle.remove()
    by_hand = (stored[0][0] * stored[0].grad[0].mean((1, 2), keepdim=True)).sum(0)
    torch.testing.assert_close(explanation.raw, by_hand.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["attention_rollout", "attention_relevance"])
def test_attention_methods_see_the_tower(classes: Model, method: str) -> None:
    explanation = cl.explain(classes, IMAGE, method=method)
    assert float(explanation.raw.std()) > 0


def test_targets_of_one_request_compete(clip: Any, model: Model) -> None:
    scores = logits(clip, inputs_of(model), ["a dog", "a cat"])[0].detach()
    both = cl.explain(model, IMAGE, target=["text:a dog", "text:a dog rather than a cat", "not text:a cat"])
    assert [e.target for e in both] == ["a dog", "a dog rather than a cat", "not a cat"]
    assert [e.score for e in both] == pytest.approx(
        [float(scores[0]), float(scores[0] - scores[1]), -float(scores[1])], rel=1e-4
    )
    assert both[0].predictions[0].probability == pytest.approx(float(scores.softmax(0).max()), rel=1e-4)
    assert both[0].spec == "text:a dog among a cat"


def test_one_prompt_alone_has_no_probability(clip: Any, model: Model) -> None:
    explanation = cl.explain(model, IMAGE, target="text:a dog")
    assert explanation.score == pytest.approx(float(logits(clip, inputs_of(model), ["a dog"])[0, 0].detach()), rel=1e-4)
    assert explanation.predictions[0].probability is None


def test_rivals_give_a_probability(model: Model) -> None:
    explanation = cl.explain(model, IMAGE, target="text:a dog among a cat, a car")
    expected = cl.explain(model.with_prompts(PROMPTS), IMAGE, target="a dog")
    torch.testing.assert_close(explanation.raw, expected.raw)
    assert {p.name for p in explanation.predictions} == set(PROMPTS)
    result = cl.trust(model, explanation, n_windows=16)
    assert result.target == "a dog"
    with pytest.raises(TargetError, match="one prompt alone has none"):
        cl.trust(model, IMAGE, target="text:a dog", n_windows=16)


def test_templates_are_averaged(clip: Any, model: Model) -> None:
    templates = ["a photo of {}", "{}, the"]
    texts = [template.format("a dog") for template in templates]
    embedded = nn.functional.normalize(clip.encode_text(open_clip_tokenizer()(texts)), dim=-1).mean(0)
    image = clip.encode_image(inputs_of(model))[0]
    expected = clip.logit_scale.exp() * nn.functional.cosine_similarity(image, embedded, dim=0)
    scores, _ = predict(model.with_prompts(["a dog", "a cat"], templates), inputs_of(model))
    assert float(scores[0, 0]) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_texts_are_embedded_once(model: Model) -> None:
    calls: list[list[str]] = []
    targets = model.image_targets

    def encode(texts: list[str]) -> torch.Tensor:
        calls.append(texts)
        return torch.eye(16)[: len(texts)]

    counted = replace(model, image_targets=replace(targets, encode=encode, _known={}))
    for _ in range(3):
        cl.explain(counted, IMAGE, target="text:a dog rather than a cat")
    assert calls == [["a dog", "a cat"]]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "has no classes, and no target was given"),
        ("a dog", "'a dog' is none of them"),
        (3, "3 is none of them"),
        ("text:", "empty prompt"),
        ("text:a dog rather than a dog", "two different prompts"),
    ],
)
def test_other_targets_are_refused(model: Model, target: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        cl.explain(model, IMAGE, target=target)


@pytest.mark.parametrize(
    ("prompts", "template", "message"),
    [
        ([], "{}", "prompts are texts"),
        (["a", " "], "{}", "prompts are texts"),
        (["a", "a"], "{}", "'a' is given twice"),
        (["a"], "photo", "contains {} where the prompt goes"),
    ],
)
def test_wrong_prompts_are_refused(model: Model, prompts: list[str], template: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model.with_prompts(prompts, template)
    with pytest.raises(ModelError, match="has no text encoder"):
        cl.load("toybox").with_prompts(["a dog"])


def test_the_users_network_is_not_changed(clip: Any) -> None:
    clip.train()
    try:
        model = cl.wrap(clip, tokenizer=open_clip_tokenizer(), size=32)
        cl.explain(model, IMAGE, target="text:a dog")
        assert all(module.training for module in clip.modules())
        assert all(parameter.grad is None for parameter in clip.parameters())
    finally:
        clip.eval()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_networks_of_transformers(kind: str, tmp_path: Path) -> None:
    network = save_hf(kind, tmp_path / kind)
    model = cl.load(f"hf:{tmp_path / kind}", prompts=PROMPTS)
    padding = {"padding": "max_length", "max_length": LENGTH} if kind == "siglip" else {"padding": True}
    tokens = hf_tokenizer()(PROMPTS, return_tensors="pt", **padding)
    tokens.pop("token_type_ids", None)
    inputs = inputs_of(model)
    scores, _ = predict(model, inputs)
    expected = network(pixel_values=inputs, **tokens).logits_per_image
    torch.testing.assert_close(scores, expected.detach(), rtol=1e-4, atol=1e-5)
    assert output_activation(model).task == ("multilabel" if kind == "siglip" else "multiclass")
    explanation = cl.explain(model, IMAGE, target="a cat")
    layer = dict(model.network.named_modules())[explanation.layer]
    stored: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, output: stored.append(output) or output.retain_grad())
    scaled = model.output(model.network(inputs))[0, 1]
    scaled.backward()
    handle.remove()
    skipped = stored[0].shape[1] - 16
    activations, gradients = stored[0][0, skipped:], stored[0].grad[0, skipped:]
    by_hand = (activations * gradients.mean(0)).sum(1).reshape(4, 4)
    torch.testing.assert_close(explanation.raw, by_hand.detach(), rtol=1e-4, atol=1e-6)
