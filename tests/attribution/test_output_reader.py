"""Class scores and task of whole networks: kinds of outputs and heads, compared with torch's own functions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.attribution.output_reader import output_activation, predict
from camlucida.errors import TargetError
from camlucida.targets import LogProbability, Probability

IMAGE = Image.fromarray((np.random.default_rng(0).random((32, 32, 3)) * 255).astype(np.uint8))
INPUTS = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
Head = Callable[[Tensor], Any]


class Network(nn.Module):
    """A small convolutional network whose logits go through a head: a function, or a module."""

    def __init__(self, k: int, head: Head = lambda z: z) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(k)
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.body = nn.Conv2d(8, 8, 3, 2, 1)
        self.fc = nn.Linear(8, k)
        self.head = head
        for p in self.parameters():
            nn.init.normal_(p, std=0.5, generator=generator)

    def forward(self, x: Tensor) -> Any:
        x = self.body(self.stem(x).relu()).relu()
        return self.head(3 * self.fc(x.mean((2, 3))))


def own_softmax(z: Tensor) -> Tensor:
    weights = (z - z.amax(1, keepdim=True)).exp()
    return weights / weights.sum(1, keepdim=True)


SOFTMAX: dict[str, Head] = {
    "module": nn.Softmax(dim=1),
    "function": lambda z: F.softmax(z, dim=-1),
    "method": lambda z: z.softmax(1),
    "torch": lambda z: torch.softmax(z, 1),
    "dict": lambda z: {"probs": z.softmax(1)},
    "pair": lambda z: (z.softmax(1), z.sum()),
    "convolutional": lambda z: nn.Softmax2d()(z[:, :, None, None]),
    "flattened": lambda z: z[:, :, None, None].softmax(1).flatten(1),
    "copied": lambda z: z.softmax(1).clone(),
    "double": lambda z: z.double().softmax(1).float(),
}
SIGMOID: dict[str, Head] = {
    "module": nn.Sigmoid(),
    "function": torch.sigmoid,
    "method": lambda z: z.sigmoid(),
    "in place": lambda z: z.clone().sigmoid_(),
    "special": torch.special.expit,
    "list": lambda z: [z.sigmoid()],
}


def scored(network: nn.Module, **given: Any) -> tuple[Tensor, Any]:
    return predict(cl.wrap(network, size=32, **given), INPUTS)


@pytest.mark.parametrize("head", SOFTMAX.values(), ids=SOFTMAX)
def test_scores_before_a_softmax(head: Head) -> None:
    scores, activation = scored(Network(5, head))
    assert_close(scores, Network(5)(INPUTS), check_dtype=False)
    assert (activation.task, activation.is_probability) == ("multiclass", False)
    assert "softmax" in activation.source


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("head", SIGMOID.values(), ids=SIGMOID)
def test_scores_before_a_sigmoid(head: Head, k: int) -> None:
    scores, activation = scored(Network(k, head))
    assert_close(scores, Network(k)(INPUTS))
    assert (activation.task, activation.is_probability) == ("binary" if k == 1 else "multilabel", False)


def test_scores_before_a_sigmoid_of_shape_b() -> None:
    scores, activation = scored(Network(1, lambda z: z[:, 0].sigmoid()))
    assert_close(scores, Network(1)(INPUTS))
    assert activation.task == "binary"


def test_scores_before_a_log_softmax() -> None:
    scores, activation = scored(Network(5, nn.LogSoftmax(dim=1)))
    assert_close(scores, Network(5)(INPUTS))
    assert activation.task == "multiclass"


@pytest.mark.parametrize("k", [1, 4])
def test_scores_before_a_log_sigmoid(k: int) -> None:
    scores, activation = scored(Network(k, nn.LogSigmoid()))
    assert_close(scores, Network(k)(INPUTS))
    assert (activation.task, activation.is_probability) == ("binary" if k == 1 else "multilabel", False)


@pytest.mark.parametrize("k", [1, 4])
def test_hardsigmoid_is_the_probability(k: int) -> None:
    scores, activation = scored(Network(k, nn.Hardsigmoid()))
    assert_close(scores, F.hardsigmoid(Network(k)(INPUTS)))
    assert (activation.task, activation.is_probability) == ("binary" if k == 1 else "multilabel", True)


@pytest.mark.parametrize("k", [1, 4])
def test_tanh_is_a_value(k: int) -> None:
    scores, activation = scored(Network(k, nn.Tanh()))
    assert_close(scores, Network(k)(INPUTS).tanh())
    assert (activation.task, activation.is_probability) == ("regression", False)
    assert scored(Network(k, nn.Tanh()), task="multilabel")[1].task == "multilabel"


@pytest.mark.parametrize("k", [1, 2, 5])
def test_plain_scores(k: int) -> None:
    scores, activation = scored(Network(k))
    assert_close(scores, Network(k)(INPUTS))
    assert (activation.task, activation.is_probability) == ("binary" if k == 1 else "multiclass", False)


def test_softmax_that_cannot_be_reached() -> None:
    scores, activation = scored(Network(5, own_softmax))
    assert_close(scores, Network(5)(INPUTS).softmax(1))
    assert (activation.task, activation.is_probability) == ("multiclass", True)
    assert "sum to 1" in activation.source


@pytest.mark.parametrize("k", [1, 4])
def test_sigmoid_that_cannot_be_reached(k: int) -> None:
    scores, activation = scored(Network(k, lambda z: 1 / (1 + (-z).exp())))
    assert_close(scores, Network(k)(INPUTS).sigmoid())
    assert (activation.task, activation.is_probability) == ("binary" if k == 1 else "multilabel", True)


def test_mean_of_two_softmaxes() -> None:
    _, activation = scored(Network(5, lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2))
    assert activation.is_probability


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("head", [lambda z: 0.5 + 1e-3 * z, lambda z: 0.5 + 0.3 * z.tanh()], ids=["small", "bounded"])
def test_scores_that_happen_to_lie_within_0_and_1(k: int, head: Head) -> None:
    scores, activation = scored(Network(k, head))
    assert not activation.is_probability
    assert_close(scores, head(Network(k)(INPUTS)))


def test_a_softmax_inside_is_not_the_last_activation() -> None:
    scores, activation = scored(Network(4, lambda z: z * z.softmax(1)))
    z = Network(4)(INPUTS)
    assert_close(scores, z * z.softmax(1))
    assert activation == output_activation(cl.wrap(Network(4), size=32))


@pytest.mark.parametrize(
    ("head", "given", "expected"),
    [
        (nn.Softmax(1), {"probabilities": False}, ("multiclass", False)),
        (nn.Sigmoid(), {"probabilities": False, "task": "multilabel"}, ("multilabel", False)),
        (nn.Sigmoid(), {"task": "regression"}, ("regression", False)),
        (nn.Softmax(1), {"task": "regression"}, ("regression", False)),
        (nn.Sigmoid(), {"task": "multiclass"}, ("multiclass", True)),
        (nn.Softmax(1), {"task": "multilabel"}, ("multilabel", True)),
    ],
)
def test_what_is_given_leaves_the_outputs_as_they_are(head: nn.Module, given: Any, expected: Any) -> None:
    scores, activation = scored(Network(4, head), **given)
    assert_close(scores, head(Network(4)(INPUTS)))
    assert (activation.task, activation.is_probability) == expected


def test_probabilities_given() -> None:
    middle = Network(4, lambda z: 0.5 + 1e-3 * z)
    assert not scored(middle)[1].is_probability  # not recognised: nothing says so
    _, activation = scored(middle, probabilities=True)
    assert (activation.task, activation.is_probability) == ("multilabel", True)
    with pytest.raises(TargetError, match=r"probabilities=True .* they reach from -?[0-9.]+ to [0-9.]+"):
        scored(Network(4), probabilities=True)


def test_contradictions() -> None:
    with pytest.raises(TargetError, match=r"has one\. Use task='binary'"):
        scored(Network(1), task="multiclass")
    with pytest.raises(TargetError, match="a sigmoid of one output, and this network has 4"):
        scored(Network(4), task="binary")
    with pytest.raises(TargetError, match="contradicts the network, which ends in a log_softmax"):
        scored(Network(4, nn.LogSoftmax(1)), task="multilabel")


@pytest.mark.parametrize(
    ("config", "k", "expected"),
    [
        ({"problem_type": "regression"}, 2, "regression"),
        ({"problem_type": "multi_label_classification"}, 3, "multilabel"),
        ({"problem_type": "multi_label_classification"}, 1, "binary"),
        ({"problem_type": "single_label_classification"}, 3, "multiclass"),
        ({"problem_type": None, "num_labels": 1, "model_type": "vit"}, 1, "regression"),
        ({"problem_type": None, "num_labels": 3, "model_type": "vit"}, 3, "multiclass"),
        ({"model_type": "siglip"}, 3, "multiclass"),  # a classifier: transformers' own pipeline applies a softmax
    ],
)
def test_task_of_the_configuration(config: Any, k: int, expected: str) -> None:
    network = Network(k)
    network.config = SimpleNamespace(**config)
    assert scored(network)[1].task == expected
    assert scored(network, task="multilabel")[1].task == "multilabel"


def test_task_of_similarities_to_texts() -> None:
    network = Network(3)
    network.config, network.logit_scale = SimpleNamespace(model_type="siglip2"), nn.Parameter(torch.zeros(()))
    assert scored(network)[1].task == "multilabel"


def test_transformers_network() -> None:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        num_labels=3,
        problem_type="multi_label_classification",
    )
    network = ViTForImageClassification(config).eval()
    result = cl.explain(cl.wrap(network, size=32), IMAGE)
    assert result.predictions[0].probability == pytest.approx(_sigmoid(result.predictions[0].logit))


# --- a network with an activation has the map and the predictions of the network without it ---


@pytest.mark.parametrize(
    "method", ["grad_cam", "ablation_cam", "score_cam", "integrated_gradients", "lrp", "deep_lift", "occlusion"]
)
@pytest.mark.parametrize(("head", "task"), [(nn.Softmax(1), "multiclass"), (nn.Sigmoid(), "multilabel")])
def test_map_is_that_of_the_scores(method: str, head: nn.Module, task: Any) -> None:
    expected = cl.explain(cl.wrap(Network(4), size=32, task=task), IMAGE, target=2, method=method)
    result = cl.explain(cl.wrap(Network(4, head), size=32), IMAGE, target=2, method=method)
    assert_close(result.raw, expected.raw)
    assert result.score == pytest.approx(expected.score)
    for one, other in zip(result.predictions, expected.predictions, strict=True):
        assert (one.index, one.name) == (other.index, other.name)
        assert one.probability == pytest.approx(other.probability, abs=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize(("score", "function"), [("probability", lambda p: p), ("log_probability", torch.log)])
def test_score_and_gradient_of_a_probability(task: Any, score: str, function: Any) -> None:
    network, x = Network(4), INPUTS.clone().requires_grad_()
    z = network(x)
    value = function(z.softmax(1) if task == "multiclass" else z.sigmoid())[:, 2]
    (gradient,) = torch.autograd.grad(value.sum(), x)
    maps = cl.attribute(
        cl.wrap(network, size=32, task=task), INPUTS, target=2, method="gradient", score=score, reduce="max"
    )
    assert_close(maps, gradient.abs().amax(1))
    assert float(maps.abs().max()) > 0


def test_targets_of_the_user_follow_the_task() -> None:
    model = cl.wrap(Network(4), size=32, task="multilabel")
    for target, score in ((Probability(2), "probability"), (LogProbability(2), "log_probability")):
        given = cl.attribute(model, INPUTS, target=target, method="gradient")
        assert_close(given, cl.attribute(model, INPUTS, target=2, score=score, method="gradient"))
    softmax = cl.attribute(cl.wrap(Network(4), size=32), INPUTS, target=Probability(2), method="gradient")
    assert not torch.allclose(softmax, cl.attribute(model, INPUTS, target=Probability(2), method="gradient"))


# --- one output ---


def _sigmoid(z: float) -> float:
    return float(torch.tensor(z, dtype=torch.float64).sigmoid())


@pytest.mark.parametrize("head", [lambda z: z, lambda z: z[:, 0], nn.Sigmoid(), lambda z: z.sigmoid()[:, 0]])
@pytest.mark.parametrize("labels", [None, ["defect"]])
def test_one_output_is_a_sigmoid(head: Head, labels: Any) -> None:
    result = cl.explain(cl.wrap(Network(1, head), size=32, labels=labels), IMAGE)
    (prediction,) = result.predictions
    assert prediction.probability == pytest.approx(_sigmoid(prediction.logit))
    assert_close(result.raw, cl.explain(cl.wrap(Network(1), size=32), IMAGE).raw)


@pytest.mark.parametrize("head", [lambda z: z, lambda z: z[:, 0], nn.Sigmoid(), lambda z: 1 / (1 + (-z).exp())])
def test_one_output_with_two_names(head: Head) -> None:
    inputs = cl.wrap(Network(1), size=32).preprocessing(IMAGE)[0][None]
    z = float(Network(1)(inputs).detach())
    model = cl.wrap(Network(1, head), size=32, labels=["good", "defect"])
    by_name = {p.name: p.probability for p in cl.explain(model, IMAGE).predictions}
    assert by_name == pytest.approx({"good": _sigmoid(-z), "defect": _sigmoid(z)}, abs=1e-5)
    positive, negative = (cl.explain(model, IMAGE, target=t, method="gradient") for t in ("defect", "good"))
    assert_close(positive.raw, negative.raw)  # magnitudes of opposite gradients


@pytest.mark.parametrize("head", [lambda z: z, nn.Sigmoid()])
def test_cam_of_both_names(head: Head) -> None:
    """The weights of the head are those of the one output, with opposite signs."""
    model = cl.wrap(_Pooled(1, head), size=32, labels=["good", "defect"])
    plain = _Pooled(1)
    with torch.no_grad():
        activations = plain.body(plain.stem(model.preprocessing(IMAGE)[0][None]).relu())[0]
        expected = torch.einsum("c,chw->hw", plain.fc.weight[0], activations)
    for name, sign in (("defect", 1), ("good", -1)):
        assert_close(cl.explain(model, IMAGE, target=name, method="cam", layer="body").raw, sign * expected)


class _Pooled(Network):
    """Average pooling and the linear layer directly after `body`."""

    def forward(self, x: Tensor) -> Any:
        return self.head(self.fc(self.body(self.stem(x).relu()).mean((2, 3))))


def test_a_score_that_is_a_probability_says_so() -> None:
    result = cl.explain(cl.wrap(Network(1, lambda z: 1 / (1 + (-z).exp())), size=32), IMAGE)
    assert result.score_kind == "probability"
    assert result.score == pytest.approx(result.predictions[0].probability)


def test_an_inactive_relu_is_no_sigmoid() -> None:
    assert not scored(Network(1, lambda z: (z - 1e6).relu()))[1].is_probability
    assert not scored(Network(3, lambda z: (z - 1e6).relu()))[1].is_probability


def test_map_of_the_probability_of_one_output() -> None:
    result = cl.explain(cl.wrap(Network(1), size=32), IMAGE, score="probability")
    assert float(result.raw.abs().max()) > 0
    assert result.score == pytest.approx(result.predictions[0].probability)


# --- regression ---


def test_regression_has_values() -> None:
    model = cl.wrap(Network(1), size=32, labels=["age"], task="regression")
    result = cl.explain(model, IMAGE)
    (prediction,) = result.predictions
    assert prediction.probability is None
    assert result.score_kind == "value"
    assert f"predicted 'age', {prediction.logit:.3g}" in repr(result)
    assert "%" not in repr(result)
    assert result.panel().size[0] > 0
    with pytest.raises(TargetError, match="score='probability' needs probabilities"):
        cl.explain(model, IMAGE, score="probability")


# --- embeddings ---


def test_unit_rows_are_an_embedding() -> None:
    network = Network(16, lambda z: F.normalize(z, dim=1))
    with pytest.raises(TargetError, match="embedding, not class scores: its 16 outputs have length 1"):
        cl.explain(cl.wrap(network, size=32), IMAGE)
    with pytest.raises(TargetError, match="embedding"):
        scored(network)
    text = torch.randn(16, generator=torch.Generator().manual_seed(0))
    result = cl.explain(cl.wrap(network, size=32), IMAGE, target=lambda embedding: embedding @ text)
    assert result.predictions == ()
    assert "predicted" not in repr(result)
    assert float(result.raw.abs().max()) > 0
    assert result.panel().size[0] > 0


@pytest.mark.parametrize("as_dict", [False, True])
def test_the_output_of_open_clip_is_an_embedding(as_dict: bool) -> None:
    """For images alone, open_clip returns the normalised image features, None for the texts, and the scale."""

    def output(z: Tensor) -> Any:
        features, scale = F.normalize(z, dim=1), torch.tensor(100.0)
        if as_dict:
            return {"image_features": features, "logit_scale": scale}
        return features, None, scale

    network = Network(16, output)
    with pytest.raises(TargetError, match="embedding, not class scores: its 16 outputs have length 1"):
        cl.explain(cl.wrap(network, size=32), IMAGE)
    text = torch.randn(16, generator=torch.Generator().manual_seed(0))
    result = cl.explain(cl.wrap(network, size=32), IMAGE, target=lambda embedding: embedding @ text)
    assert result.predictions == ()


def test_unit_rows_with_as_many_names_are_class_scores() -> None:
    network = Network(4, lambda z: F.normalize(z, dim=1))
    assert scored(network, labels=["a", "b", "c", "d"])[1].task == "multiclass"


def test_timm_without_classifier() -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet10t", num_classes=0).eval()
    with pytest.raises(TargetError, match="embedding, not class scores: the network has no classifier"):
        cl.explain(cl.wrap(network, size=64), IMAGE)


# --- callables ---


def test_errors_of_a_callable_are_sentences() -> None:
    with pytest.raises(TargetError, match="one row per image"):
        scored(Network(4), output=lambda output: output[:1])


def test_a_callable_is_read_anew_for_every_model() -> None:
    network = Network(4)
    for column in range(4):
        scores, _ = scored(network, output=lambda output, column=column: output[:, column])
        assert_close(scores[:, 0], network(INPUTS)[:, column])


def test_the_network_is_unmodified() -> None:
    network = Network(4, nn.Softmax(1))
    before = network(INPUTS)
    cl.explain(cl.wrap(network, size=32), IMAGE)
    assert torch.equal(network(INPUTS), before)
    assert not vars(before).keys() & {"_camlucida_final_activation"}
