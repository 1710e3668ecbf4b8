"""Does `attribute` read whatever a network returns, and give back what its signature says?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import Attribution, attributions
from camlucida.attribution.outputs import class_scores
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import LayerError, MethodError, TargetError
from camlucida.methods import find
from camlucida.models.model import Model

LOGITS = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
OTHER = torch.randn(2, 7, generator=torch.Generator().manual_seed(1))
MASKS = torch.zeros(2, 4, 8, 8)


@dataclass
class Answer:
    features: Tensor
    logits: Tensor


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class Opaque:
    def __init__(self, scores: Tensor) -> None:
        self.scores = scores


# --- which part of an output the class scores are ---


@pytest.mark.parametrize(
    ("output", "reading"),
    [
        (LOGITS, None),
        ((LOGITS, MASKS), None),
        ([LOGITS, MASKS.flatten(2)], None),
        ((MASKS, LOGITS), None),
        (({"deep": [LOGITS]}, MASKS), None),
        ({"logits": LOGITS, "hidden": OTHER}, None),
        ({"hidden": OTHER, "logits": LOGITS}, None),
        (OrderedDict(aux=OTHER, out=LOGITS), None),
        (Answer(OTHER, LOGITS), None),
        (Pair(LOGITS, MASKS), None),
        ((torch.ones(2, 3, dtype=torch.int64), LOGITS), None),
        ((OTHER, LOGITS), 1),
        ((OTHER, LOGITS), "1"),
        ({"a": OTHER, "b": LOGITS}, "b"),
        (Answer(LOGITS, OTHER), "features"),
        (Pair(OTHER, LOGITS), 1),
        (Pair(OTHER, LOGITS), "second"),
        (Opaque(LOGITS), "scores"),
        (Opaque(LOGITS), lambda output: output.scores),
        (LOGITS[:, :, None, None], None),
        ({"out": LOGITS[:, :, None, None]}, None),
        ((OTHER, LOGITS[:, :, None]), 1),
    ],
)
def test_finds_class_scores(output: Any, reading: Any) -> None:
    assert_close(class_scores(output, reading), LOGITS, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("output", "reading", "message"),
    [
        (MASKS, None, r"but the network returned \(2, 4, 8, 8\)"),
        ({"out": MASKS, "aux": LOGITS}, None, r"but the network returned \(2, 4, 8, 8\)"),
        (LOGITS[:, 0, None, None], 1, "output has no part 1"),
        ((LOGITS, OTHER), None, r"2 parts .* could be class scores: 0 \(2, 4\), 1 \(2, 7\)"),
        (Opaque(LOGITS), None, "but the network returned Opaque"),
        ({}, None, "but the network returned dict"),
        ((LOGITS, OTHER), 2, "output has no part 2; it has 0, 1"),
        ({"a": LOGITS}, "b", "output has no part 'b'; it has a"),
        (LOGITS, "logits", "output has no part 'logits'; it has no parts"),
        ((LOGITS, MASKS), 1, r"but the network returned \(2, 4, 8, 8\)"),
        (LOGITS, lambda output: 3, "but the network returned int"),
    ],
)
def test_output_without_class_scores_raises(output: Any, reading: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        class_scores(output, reading)


@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_class_scores_are_float32_at_least(dtype: torch.dtype, wanted: torch.dtype) -> None:
    assert class_scores(LOGITS.to(dtype)).dtype is wanted


# --- whole networks ---


class Small(nn.Module):
    """Three stages; `answer` makes of the logits what the network returns."""

    def __init__(self, answer: Callable[[Tensor], Any] = lambda logits: logits) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.ReLU())
        self.stage3 = nn.Sequential(nn.Conv2d(5, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(6, 4)
        self.answer = answer
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> Any:
        return self.answer(self.head(self.stage3(self.stage2(self.stage1(x))).mean((2, 3))))


IMAGES = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (lambda logits: {"logits": logits}, None),
        (lambda logits: (logits.softmax(1), logits), None),
        (lambda logits: (logits * 2, logits), 1),
        (lambda logits: Answer(logits.exp(), logits), None),
        (lambda logits: {"a": logits * 2, "b": [logits]}, lambda output: output["b"][0]),
        (lambda logits: logits[:, :, None, None], None),
        (lambda logits: Opaque(logits), "scores"),
    ],
)
@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam"])
def test_map_does_not_depend_on_output_nesting(answer: Any, output: Any, method: str) -> None:
    expected = attribute(Small(), IMAGES, target=2, layer="stage2", method=method, signed=True)
    result = attribute(
        Model(Small(answer), output=output), IMAGES, target=2, layer="stage2", method=method, signed=True
    )
    assert_close(result, expected)


def test_segmentation_output_raises() -> None:
    with pytest.raises(TargetError, match=r"class scores have the shape \(images, classes\).* wrap\(network, output="):
        attribute(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), IMAGES, layer="0")


def test_segmentation_with_output_function() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    model = Model(network, output=lambda output: output.mean((2, 3)))
    assert attribute(model, IMAGES, target=1, layer="1").shape == (2, 8, 12)


# --- the shape of the answer ---


def test_one_target_and_one_layer() -> None:
    result = attribute(Small(), IMAGES, target=1, layer="stage1")
    assert result.shape == (2, 8, 12)
    assert attribute(Small(), IMAGES).shape == (2, 4, 6)  # of the predicted class, at the default layer


@pytest.mark.parametrize(
    ("target", "count"), [([1], 1), ([1, 2], 2), ((0, None, "not 1"), 3), ("top3", 3), ("Top 2", 2), (["top2", 1], 3)]
)
def test_several_targets(target: Any, count: int) -> None:
    assert attribute(Small(), IMAGES, target=target, layer="stage1").shape == (2, count, 8, 12)


def test_a_tensor_is_one_class_an_image() -> None:
    result = attribute(Small(), IMAGES, target=torch.tensor([3, 1]), layer="stage1")
    assert result.shape == (2, 8, 12)
    assert_close(result[1], attribute(Small(), IMAGES, target=1, layer="stage1")[1])


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (["stage1"], ["stage1"]),
        (["stage3", "stage1"], ["stage3", "stage1"]),
        (("stage2", -1), ["stage2", "stage3"]),
        ("stage?", ["stage1", "stage2", "stage3"]),
        ("*1", ["stage1"]),
        ("all", ["stage1", "stage2", "stage3"]),
    ],
)
def test_several_layers(layer: Any, names: list[str]) -> None:
    network = Small()
    result = attribute(network, IMAGES, target=[0, 1], layer=layer)
    assert list(result) == names
    for name in names:
        assert_close(result[name], attribute(network, IMAGES, target=[0, 1], layer=name))


def test_names_and_the_default_layer_are_the_models() -> None:
    network = Small()
    model = Model(network, labels=("ant", "bee", "cat", "top hat"), layer="stage1")
    assert_close(attribute(model, IMAGES, target="bee"), attribute(network, IMAGES, target=1, layer="stage1"))
    assert attribute(model, IMAGES, target="top hat").shape == (2, 8, 12)
    assert_close(
        attribute(model, IMAGES, target="bee rather than cat", layer="stage2"),
        attribute(network, IMAGES, target="1 rather than 2", layer="stage2"),
    )


def test_signed_keeps_negative_values() -> None:
    network = Small()
    signed = attribute(network, IMAGES, target=1, layer="stage2", signed=True)
    assert (signed < 0).any()
    assert_close(attribute(network, IMAGES, target=1, layer="stage2"), signed.relu())
    hires = attribute(network, IMAGES, target=1, layer="stage2", method="hires_cam")
    assert (hires < 0).any()


@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
def test_scores(score: str) -> None:
    """At the same layer only the gradient of the score differs: the map is that of the mixture of logits."""
    network = Small()
    result = attribute(network, IMAGES, target=1, layer="stage2", signed=True, score=score)
    probabilities_ = network(IMAGES).softmax(1).detach()
    item = attribute(network, IMAGES, target=[0, 1, 2, 3], layer="stage2", signed=True)
    mixture = (probabilities_[:, :, None, None] * item).sum(1)
    gradient = {"logit": item[:, 1], "log_probability": item[:, 1] - mixture}
    gradient["probability"] = probabilities_[:, 1, None, None] * gradient["log_probability"]
    assert_close(result, gradient[score])


def test_attributions_of_one_run() -> None:
    network = Small()
    run = attributions(
        Model(network),
        IMAGES,
        AttributionRequest(
            targets=["top2", 1],
            layers=["stage1", "stage3"],
            methods=[(find("grad_cam"), {}), (find("eigen_cam"), {}), (find("ablation_cam"), {"infill": 0.5})],
        ),
    )
    assert isinstance(run, Attribution)
    logits = network(IMAGES).detach()
    assert_close(run.output, logits)
    assert_close(run.scores, torch.stack([*logits.topk(2).values.unbind(1), logits[:, 1]]))
    assert [layer.name for layer in run.layers[0]] == ["stage1", "stage3"]
    assert [target.label(()) for target in run.targets][2] == "class 1"
    assert (len(run.maps), len(run.maps[0]), len(run.maps[0][0])) == (3, 2, 3)
    for m, (method, options) in enumerate((("grad_cam", {}), ("eigen_cam", {}), ("ablation_cam", {"infill": 0.5}))):
        for l, layer in enumerate(("stage1", "stage3")):
            alone = attribute(network, IMAGES, target=1, layer=layer, method=method, signed=True, **options)
            assert_close(run.maps[m][l][2], alone)
    assert not run.output.requires_grad
    assert not run.scores.requires_grad


class Counting(nn.Module):
    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        Counting.runs += 1
        return x


def test_one_forward_pass_serves_all_requests() -> None:
    network = Small()
    network.stage1.append(Counting())
    attribute(network, IMAGES, target=1, layer="stage?")  # the copy, and what it found out, are made here
    Counting.runs = 0
    attributions(
        Model(network),
        IMAGES,
        AttributionRequest(
            targets=[0, 1, 2, "top3"],
            layers=["stage1", "stage2", "stage3"],
            methods=[(find(name), {}) for name in ("grad_cam", "grad_cam_plusplus", "layer_cam", "eigen_cam")],
        ),
    )
    assert Counting.runs == 1


# --- what is refused ---


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"method": "grad_kam"}, MethodError, "no method 'grad_kam'. Did you mean 'grad_cam'"),
        ({"infill": 1.0}, MethodError, "grad_cam has no option 'infill'"),
        ({"layer": "stage4"}, LayerError, "no layer 'stage4'"),
        ({"layer": "head"}, LayerError, "'head' returns a tensor of shape"),
        ({"target": 4}, TargetError, "target 4 needs at least 5 outputs; the model returns 4"),
        ({"target": "bee"}, TargetError, "this model has no class names"),
        ({"score": "chance"}, TargetError, "no score 'chance'"),
        ({"target": lambda output: output.detach()[:, 0]}, LayerError, "does not depend on"),
    ],
)
def test_refusals(asked: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        attribute(Small(), IMAGES, **asked)
