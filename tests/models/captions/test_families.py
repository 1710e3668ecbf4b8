"""Small random networks of transformers that write or answer: words, maps by autograd, and refusals."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import camlucida as cl
from camlucida.engine import copy_of, resolve
from camlucida.engine.module_calls import profile_calls
from camlucida.engine.named_inputs import NamedInputs
from camlucida.errors import MethodError, ModelError, TargetError

hf: Any = pytest.importorskip("transformers")

from .small_networks import IMAGE_TOKEN, NETWORKS, WORDS, save  # noqa: E402 (needs transformers)

QUESTION = "what animal is this?"
ANSWERERS = ("ViLT", "BLIP, questions")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hf.utils.logging.set_verbosity(hf.utils.logging.CRITICAL)
    hf.utils.logging.disable_progress_bar()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def image() -> Any:
    return np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)


def loaded(name: str) -> tuple[Any, cl.Model]:
    network = save(name, Path("net"))
    model = cl.load("hf:net")
    return network, model.with_question(QUESTION) if name in ANSWERERS else model


def plain_logits(name: str, network: Any, model: cl.Model, inputs: Tensor, ids: Tensor) -> Tensor:
    """Return the logits as the documentation of transformers computes them: `(1, V)` after the last token."""
    if name == "BLIP":
        return network(pixel_values=inputs, input_ids=ids).logits[:, -1]
    if name == "BLIP, questions":
        vision = network.vision_model(pixel_values=inputs)[0]
        read = network.text_encoder(input_ids=model.held["question_ids"], encoder_hidden_states=vision)[0]
        return network.text_decoder(input_ids=ids, encoder_hidden_states=read).logits[:, -1]
    if name == "ViT and GPT-2":
        return network(pixel_values=inputs, decoder_input_ids=ids).logits[:, -1]
    if name == "ViLT":
        torch.manual_seed(5)  # of the order in which ViLT shuffles the patches
        return network(pixel_values=inputs, input_ids=ids).logits
    if name == "LLaVA":
        return network(pixel_values=inputs, input_ids=ids).logits[:, -1]
    grid = torch.tensor([[1, 8, 8]])
    patches = model.network.patches(inputs)
    types = (ids == IMAGE_TOKEN).int()
    return network(
        input_ids=ids, pixel_values=patches, image_grid_thw=grid, mm_token_type_ids=types, use_cache=False
    ).logits[:, -1]


LAYERS = {
    "BLIP": ("vision_model.post_layernorm", 0, 1),
    "BLIP, questions": ("vision_model.post_layernorm", 0, 1),
    "ViT and GPT-2": ("encoder.layernorm", 0, 1),
    "LLaVA": ("model.multi_modal_projector", 0, 0),
    "Qwen2-VL": ("model.visual.merger", 0, 0),
}
"""The module of the plain network whose output is the default layer, its call, and the tokens before the patches."""


def grad_cam_by_hand(name: str, network: Any, score: Callable[[], Tensor]) -> Tensor:
    """Return Grad-CAM `(h, w)` of the tokens of the image at the end of the vision tower, from autograd."""
    layer, call, prefix = LAYERS[name]
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    value = score()
    handle.remove()
    output = kept[call]
    (gradient,) = torch.autograd.grad(value, output)
    channels = output.shape[-1]
    tokens = output.detach().reshape(-1, channels)[prefix:]
    weights = gradient.reshape(-1, channels)[prefix:].mean(0)
    side = round(len(tokens) ** 0.5)
    return (tokens @ weights).reshape(side, side)


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_grad_cam_of_a_word_equals_autograd_by_hand(name: str, image: Any) -> None:
    network, model = loaded(name)
    inputs = model.preprocessing(cl.load_image(image))[0][None]
    bound = model.image_targets.bind(model, inputs, "word 2")[0]
    ids = bound.model.held["input_ids"][:, : bound.model.output.position + 1]
    explanation = cl.explain(model, image, target="word 2", method="grad_cam")
    wanted = grad_cam_by_hand(
        name, network, lambda: plain_logits(name, network, bound.model, inputs, ids)[0, bound.target]
    )
    scale = float(wanted.abs().max())
    assert scale > 1e-3
    torch.testing.assert_close(explanation.raw, wanted, atol=1e-4 * scale, rtol=1e-3)
    logits = plain_logits(name, network, bound.model, inputs, ids).detach()
    assert explanation.score == pytest.approx(float(logits[0, bound.target]), rel=1e-4, abs=1e-4)
    assert explanation.raw.shape == (4, 4)  # the image alone, of a longer sequence


@pytest.mark.parametrize("name", ["BLIP", "LLaVA", "Qwen2-VL", "ViT and GPT-2"])
def test_text_is_that_of_greedy_decoding(name: str, image: Any) -> None:
    network, model = loaded(name)
    inputs = model.preprocessing(cl.load_image(image))[0][None]
    bound = model.image_targets.bind(model, inputs, None)
    ids = list(model.image_targets.start)
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(plain_logits(name, network, model, inputs, torch.tensor([ids])).argmax()))
        if ids[-1] in model.image_targets.end:
            ids.pop()
            break
    assert bound[0].model.held["input_ids"][0, : len(ids)].tolist() == ids
    assert all(item.model.network is model.network for item in bound)
    assert [item.spec for item in bound] == [f"word {i}" for i in range(1, len(bound) + 1)]


def test_answers_of_vilt_are_those_of_transformers(image: Any) -> None:
    """ViLT shuffles the patches at random; its answers do not depend on it, but a map would."""
    network, model = loaded("ViLT")
    inputs = model.preprocessing(cl.load_image(image))[0][None]
    logits = plain_logits("ViLT", network, model, inputs, model.held["input_ids"]).detach()
    torch.testing.assert_close(model.network(inputs, model.held["input_ids"]), logits, atol=1e-4, rtol=1e-4)
    explanation = cl.explain(model, image)
    assert explanation.target == model.labels[int(logits.argmax())]
    assert explanation.layer == "vilt.encoder.layer.1.layernorm_before"
    given = cl.explain(model, image, target="cat")
    tokens: list[Tensor] = []
    layer = model.network.vilt.encoder.layer[1].layernorm_before
    handle = layer.register_forward_hook(lambda _m, _i, output: tokens.append(output))
    score = model.network(inputs, model.held["input_ids"])[0, 2]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, tokens[0])
    first = model.held["input_ids"].shape[1] + 1  # the text and the class token of the image
    span = slice(first, first + 16)
    wanted = tokens[0].detach()[0, span] @ gradient[0, span].mean(0)
    torch.testing.assert_close(given.raw, wanted.reshape(4, 4), atol=1e-5, rtol=1e-3)


def test_span_of_the_image_is_measured_and_is_that_of_the_ids() -> None:
    """In a language model whose tokens keep to themselves, a moving patch shows the same span as the token ids."""
    _, model = loaded("LLaVA")
    with torch.no_grad():
        for key, parameter in model.network.named_parameters():
            if any(part in key for part in ("out_proj", "o_proj", "fc2", "down_proj")):
                parameter.zero_()  # what attention and MLP add
    ids = model.held["input_ids"]
    inputs = NamedInputs({"pixel_values": torch.randn(1, 3, 32, 32), "input_ids": ids}, "pixel_values")
    copy = copy_of(model.network)
    name = "model.language_model.layers.1.input_layernorm"
    (layer,) = resolve(copy, inputs, [name])
    profile = profile_calls(copy, inputs)
    call = profile.find_call(layer.module, layer.call)
    assert call is not None
    assert call.layout is not None
    assert (call.layout.grid, call.layout.prefix) == ((4, 4), ids[0].tolist().index(IMAGE_TOKEN))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_methods_on_the_tower(name: str, image: Any) -> None:
    _, model = loaded(name)
    target = None if name == "ViLT" else "word 1"
    for method in ("lrp", "occlusion"):
        explanation = cl.explain(model, image, target=target, method=method)
        assert explanation.raw.shape == (32, 32)
        assert float(explanation.raw.abs().max()) > 0
    rise = cl.explain(model, image, target=target, method="rise", n=8)
    assert float(rise.raw.abs().max()) > 0
    for method in ("attention_rollout", "attention_relevance"):
        if name == "Qwen2-VL":  # its tokens are in the order of squares, and have no layout
            with pytest.raises(MethodError, match="64 tokens that are not positions of the image"):
                cl.explain(model, image, target=target, method=method)
        else:
            assert cl.explain(model, image, target=target, method=method).raw.shape == (32, 32)


def test_rollout_follows_the_vision_tower(image: Any) -> None:
    """Rollout of the tower: the product of its mean attention with residual paths, averaged over what is read."""
    _, model = loaded("ViT and GPT-2")
    inputs = model.preprocessing(cl.load_image(image))[0][None]
    given = cl.explain(model, image, target="word 1", method="attention_rollout").raw
    encoder = hf.ViTModel.from_pretrained("net", add_pooling_layer=False, attn_implementation="eager")
    encoder.load_state_dict(model.network.encoder.state_dict(), strict=False)
    with torch.no_grad():
        attentions = encoder.eval()(inputs, output_attentions=True).attentions
    joint = torch.eye(17)
    for attention in attentions:
        joint = (0.5 * attention[0].mean(0) + 0.5 * torch.eye(17)) @ joint
    wanted = joint.mean(0)[1:].reshape(4, 4)  # the decoder reads all tokens
    coarse = torch.nn.functional.adaptive_avg_pool2d(given[None], 4)[0]
    assert np.corrcoef(coarse.flatten(), wanted.flatten())[0, 1] > 0.95


def test_why_this_word_rather_than_that(image: Any) -> None:
    _, model = loaded("BLIP")
    one, other = (cl.explain(model, image, target=f"word 1: {word}", method="grad_cam") for word in ("cat", "dog"))
    both = cl.explain(model, image, target="word 1: cat rather than dog", method="grad_cam")
    torch.testing.assert_close(both.raw, one.raw - other.raw, atol=1e-5, rtol=1e-4)
    assert both.target == "cat rather than dog (word 1)"
    assert both.score == pytest.approx(one.score - other.score, abs=1e-5)
    with pytest.raises(TargetError, match="no word 'zebra'"):
        cl.explain(model, image, target="word 1: zebra")


def test_a_question_is_needed_and_refused_where_there_is_none(image: Any) -> None:
    save("ViLT", Path("vilt"))
    model = cl.load("hf:vilt")
    with pytest.raises(TargetError, match=r"there is none: model.with_question\('What animal is this\?'\)"):
        cl.explain(model, image)
    save("BLIP", Path("blip"))
    with pytest.raises(ModelError, match="takes no question"):
        cl.load("hf:blip").with_question(QUESTION)
    with pytest.raises(ModelError, match="takes no question"):
        cl.load("toybox").with_question(QUESTION)
    with pytest.raises(ModelError, match="a question is a text"):
        model.with_question("  ")


def test_questions_change_the_answer_of_a_language_model(image: Any) -> None:
    _, model = loaded("LLaVA")
    asked = model.with_question("what is red ?")
    start = [WORDS[i] for i in asked.image_targets.start]
    assert start[start.index("<image>") + 16 :] == ["what", "is", "red", "?", "assistant", ":"] + ["[SEP]"] * (
        start[-1] == "[SEP]"
    )
    assert start.count("<image>") == 16
    assert asked.network is model.network
    with pytest.raises(ModelError, match="must not contain it"):
        model.with_question("what is <image> ?")


def test_without_a_tokenizer_the_model_is_refused() -> None:
    save("BLIP", Path("net"))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        Path("net", file).unlink()
    with pytest.raises(ModelError, match=r"hf:net has no tokenizer \(tokenizer.json\)"):
        cl.load("hf:net")


def test_code_of_a_tokenizer_is_not_run() -> None:
    save("BLIP", Path("net"))
    Path("net/own.py").write_text("import pathlib\npathlib.Path('RAN').touch()\n")
    path = Path("net/tokenizer_config.json")
    stored = json.loads(path.read_text())
    path.write_text(
        json.dumps({**stored, "tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}})
    )
    with contextlib.suppress(ModelError):  # the files that hold no code may suffice
        cl.load("hf:net")
    assert not Path("RAN").exists()


def test_a_decoder_that_sees_later_tokens_is_refused(image: Any) -> None:
    class Bag(torch.nn.Module):
        def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
            counts = torch.nn.functional.one_hot(input_ids, len(WORDS)).float().sum(1, keepdim=True)
            first = torch.zeros(len(WORDS)).index_fill(0, torch.tensor([5]), 3.0)
            logits = pixel_values.mean() + first + counts.expand(-1, input_ids.shape[1], -1)
            return logits * torch.ones(len(WORDS))

    _, model = loaded("BLIP")
    bag = replace(model, network=Bag().eval())
    with pytest.raises(ModelError, match="its decoder is not causal"):
        cl.explain(bag, image)
