"""Attention relevance of deformable DETR, RT-DETR and D-FINE against dense matrices of tokens × tokens, by hand.

The reference takes the library's own sampling function, which is linear in the values that are sampled: applied to
one-hot values, one per token, with the positive part of weight times gradient in place of the weights, it returns the
attention matrix of eq. 5 itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

import camlucida as cl
from camlucida.methods.common import sampled_relevance
from camlucida.models.detection.targets import DetectionTargets
from camlucida.models.detection.transformers import SOFTMAX, detection_model
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

from .small_detectors import small_detector
from .test_detr_relevance import normalised

hf: Any = pytest.importorskip("transformers")
IMAGE = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)
SIDES = (128, 96)
SAMPLING = [
    "d_fine",
    "deformable_detr",
    "deformable_detr_two_stage",
    "lw_detr",
    "lw_detr_two_levels",
    "rf_detr",
    "rt_detr",
    "rt_detr_v2",
]


def model_of(network: Any, sides: tuple[int, int] = SIDES) -> Model:
    model = detection_model(network, Preprocessing(size=sides, resize=sides))
    return replace(model, image_targets=DetectionTargets(0.0, 1.0))


@contextmanager
def recorded_sampling(network: Any) -> Iterator[list[dict[str, Any]]]:
    """Record the arguments of every call of the library's sampling function, and the function."""
    calls: list[dict[str, Any]] = []
    library = importlib.import_module(type(network).__module__)
    with pytest.MonkeyPatch.context() as patch:

        def recording(function: Any, first: int) -> Any:
            def record(*args: Any) -> Any:
                """Of the arguments, the values come first; the weights come after the locations."""
                n = 5 if first else 3
                calls.append({"function": function, "args": args, "weights": n + first, "value": first})
                return function(*args)

            return record

        if hasattr(library, "MultiScaleDeformableAttention"):
            cls = library.MultiScaleDeformableAttention
            patch.setattr(cls, "forward", recording(cls.forward, 1))
        else:
            name = "multi_scale_deformable_attention_v2"
            for module in network.modules():
                if getattr(module, "ms_deformable_attn_core", None) is not None:
                    patch.setattr(module, "ms_deformable_attn_core", recording(getattr(library, name), 0))
            patch.setattr(library, name, recording(getattr(library, name), 0))
        yield calls


def dense(call: dict[str, Any], score: Tensor) -> Tensor:
    """Eq. 5 (q, t) of one call, by the library's function on one-hot values."""
    args, at = list(call["args"]), call["weights"]
    weights = args[at]
    (gradient,) = torch.autograd.grad(score, weights, retain_graph=True)
    _, t, heads, _ = args[call["value"]].shape
    args[call["value"]] = torch.eye(t, dtype=torch.float64)[None, :, None].expand(1, t, heads, t)
    args[at] = (weights * gradient).clamp(min=0).detach().double()
    args[at - 1] = args[at - 1].detach().double()
    return call["function"](*args)[0].unflatten(1, (heads, t)).mean(1)  # type: ignore[no-any-return]


def dense_own(weights: Tensor, score: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(score, weights, retain_graph=True)
    return (weights * gradient).clamp(min=0).mean(1)[0].detach().double()


def by_hand(network: Any, inputs: Tensor, read: Any) -> tuple[Tensor, list[tuple[int, int]]]:
    """Eq. 5 to 10 with dense matrices in float64: relevance (q, t), and the grids."""
    network.set_attn_implementation("eager")
    own: list[Tensor] = []
    layers = [m for name, m in network.named_modules() if name.endswith("self_attn") and "decoder" in name.split(".")]
    handles = [layer.register_forward_hook(lambda _m, _i, output: own.append(output[1])) for layer in layers]
    with recorded_sampling(network) as calls:
        score = read(network(inputs))
    for handle in handles:
        handle.remove()
    matrices = [dense(call, score) for call in calls]
    between = [dense_own(weights, score) for weights in own]
    encoder, crossing = matrices[: -len(between)], matrices[-len(between) :]
    tokens = torch.eye(crossing[0].shape[1], dtype=torch.float64)
    for attended in encoder:
        tokens = tokens + attended @ tokens
    queries = torch.eye(len(between[0]), dtype=torch.float64)
    both = torch.zeros(len(queries), len(tokens), dtype=torch.float64)
    for attended, across in zip(between, crossing, strict=True):
        queries, both = queries + attended @ queries, both + attended @ both
        both = both + normalised(queries).T @ across @ normalised(tokens)
    shapes = calls[-1]["args"][1 if not calls[-1]["value"] else 3]
    return both, [(int(h), int(w)) for h, w in shapes]


def hooks_of(network: Any) -> list[tuple[str, list[int]]]:
    return [(name, [*m._forward_hooks, *m._forward_pre_hooks]) for name, m in network.named_modules()]


@pytest.mark.parametrize("family", SAMPLING)
def test_relevance_is_that_of_dense_matrices(family: str) -> None:
    network, sides = small_detector(hf, family), (64, 96)
    model = model_of(network, sides)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    hooks = hooks_of(network)  # those that the library installs in the first run of a backbone
    explanation = cl.explain(model, IMAGE, target="box 1", method="attention_relevance")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert hooks_of(network) == hooks
    assert all(parameter.grad is None for parameter in network.parameters())
    inputs = model.preprocessing(explanation.image)[0][None]
    with torch.no_grad():
        scores = model.network(inputs)["scores"][0]
    query, index = divmod(int(scores.argmax()), scores.shape[1])
    assert explanation.score == pytest.approx(float(scores.max()), abs=1e-3)
    assert type(network).__name__ not in SOFTMAX
    relevance, grids = by_hand(network, inputs, lambda output: output.logits[0, query, index])
    levels = relevance[query].float().split([h * w for h, w in grids])
    expected = sum(
        F.interpolate(level.reshape(1, 1, *grid), sides, mode="bilinear", align_corners=False)[0, 0]
        for level, grid in zip(levels, grids, strict=True)
    )
    assert isinstance(expected, Tensor)
    assert float(expected.max()) > 0
    assert_close(explanation.raw, expected, rtol=2e-3, atol=1e-4 * float(expected.max()))


def test_no_matrix_of_tokens_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,360 tokens at 256 × 256 px, a matrix takes 7.4 MB: no tensor of the method is as large as 1 MB."""
    model = model_of(small_detector(hf, "deformable_detr"), (256, 256))
    largest: list[int] = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            largest.append(max((t.numel() * t.element_size() for t in _tensors(result)), default=0))
            return result

    plain = sampled_relevance.relevance_of_tokens

    def measured(*args: Any) -> Tensor:
        with Sizes():
            return plain(*args)

    monkeypatch.setattr(sampled_relevance, "relevance_of_tokens", measured)
    cl.explain(model, IMAGE, target="box 1", method="attention_relevance")
    assert 0 < max(largest) < 2**20


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [t for part in result for t in _tensors(part)] if isinstance(result, tuple | list) else []


CORNERS = [(0, 0), (0, 88), (88, 0), (88, 88)]


def with_noise_at(y: int, x: int) -> Any:
    image = np.full((128, 128, 3), 124, dtype=np.uint8)
    image[y : y + 40, x : x + 40] = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return image


def test_the_map_follows_what_moves() -> None:
    """The queries of RT-DETR begin at the tokens with the highest scores: here, by a fit, those of a patch of noise."""
    network = small_detector(hf, "rt_detr")
    model = model_of(network, (128, 128))
    seen: list[Tensor] = []
    handle = network.model.enc_score_head.register_forward_hook(lambda _m, args, _o: seen.append(args[0][0]))
    inside = []
    with torch.no_grad():
        for y, x in CORNERS:
            network(model.preprocessing(Image.fromarray(with_noise_at(y, x)))[0][None])
            for stride in (8, 16, 32):
                at = torch.arange(stride // 2, 128, stride)
                rows, columns = (at >= y) & (at < y + 40), (at >= x) & (at < x + 40)
                inside.append((rows[:, None] & columns).flatten().float())
        handle.remove()
        features = torch.cat(seen)
        fit = torch.linalg.lstsq(features.T @ features + torch.eye(32), features.T @ (torch.cat(inside) - 0.2)).solution
        network.model.enc_score_head.weight.copy_(fit.expand(3, -1))
        network.model.enc_score_head.bias.zero_()
        for head in (network.model.enc_bbox_head, *network.model.decoder.bbox_embed):
            head.layers[-1].weight.zero_()  # boxes stay where their queries begin
    quadrants = []
    for y, x in CORNERS:
        map_ = cl.explain(model, with_noise_at(y, x), target="box 1", method="attention_relevance").raw
        quadrants.append(int(map_.unflatten(0, (2, 64)).unflatten(2, (2, 64)).sum((1, 3)).argmax()))
    assert quadrants == [0, 1, 2, 3]
