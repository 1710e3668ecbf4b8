"""Functions as models: what they may return, and that their maps are those of the network inside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camlucida as cl
from camlucida.analysis import embed
from camlucida.attribution.method_choice import applicable, check_applicable, default_method
from camlucida.data.datasets import Item, ListDataset
from camlucida.engine import copy_of
from camlucida.errors import DataError, LayerError, MethodError, ModelError
from camlucida.evaluation import evaluate
from camlucida.evaluation.baselines import controls_of
from camlucida.methods import find
from camlucida.sanity_checks import sanity

from .opaque import N_CLASSES, PERTURBATIONS, SIZE, network, photo

RETURNS = {
    "tensor": lambda scores: scores,
    "array": lambda scores: scores.numpy(),
    "double array": lambda scores: scores.double().numpy(),
    "list": lambda scores: scores.tolist(),
    "list of tensors": list,
    "list of arrays": lambda scores: [row.numpy() for row in scores],
}


def boxed(net: nn.Module, how: Any = RETURNS["tensor"], **options: Any) -> cl.Model:
    return cl.wrap(lambda images: how(net(images).detach()), **{"size": SIZE, **options})


@pytest.mark.parametrize("method", PERTURBATIONS)
def test_maps_of_a_function_are_those_of_its_network(method: str) -> None:
    net = network()
    opaque = cl.explain(boxed(net), photo(), method=method)
    known = cl.explain(cl.wrap(net, size=SIZE), photo(), method=method)
    assert (opaque.raw - known.raw).abs().max() <= 1e-4 * known.raw.abs().max()
    assert opaque.index == known.index
    assert opaque.score == pytest.approx(known.score, rel=1e-5)
    assert [p.index for p in opaque.predictions] == [p.index for p in known.predictions]


@pytest.mark.parametrize("how", sorted(RETURNS))
def test_scores_may_be_tensors_arrays_and_lists(how: str) -> None:
    net, images = network(), torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    scores = boxed(net, RETURNS[how]).network(images)
    assert scores.shape == (3, N_CLASSES)
    assert not scores.requires_grad
    torch.testing.assert_close(scores.float(), net(images).detach(), rtol=1e-6, atol=1e-6)


def test_one_score_per_image_is_one_output() -> None:
    model = cl.wrap(lambda images: images.mean((1, 2, 3)), size=SIZE, task="regression")
    explanation = cl.explain(model, photo(), method="occlusion")
    assert explanation.score == pytest.approx(float(_input(model).mean()), rel=1e-5)


def test_an_output_is_selected_by_its_key() -> None:
    net = network()
    model = cl.wrap(lambda x: {"loss": net(x)[:, 0], "a": net(x), "b": -net(x)}, size=SIZE, output="b")
    known = cl.explain(cl.wrap(net, size=SIZE), photo(), target=2, method="occlusion")
    assert cl.explain(model, photo(), target=2, method="occlusion").score == pytest.approx(-known.score, rel=1e-5)


def _input(model: cl.Model) -> Tensor:
    return model.preprocessing(Image.fromarray(photo()))[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: torch.zeros(2, 4, 5), r"a function returned \(2, 4, 5\) for 1 image: it must return one row"),
        (lambda images: None, "a function returned NoneType, which is no array of numbers"),
        (lambda images: ["cat"], "a function returned list, which is no array of numbers"),
        (lambda images: [[1.0, 2.0], [3.0]], "a function returned list, which is no array of numbers"),
    ],
)
def test_wrong_outputs_are_described(function: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cl.explain(cl.wrap(function, size=SIZE), photo())


def test_errors_of_the_function_are_reported_as_its_own() -> None:
    def scores(images: Tensor) -> Tensor:
        raise KeyError("no such table")

    with pytest.raises(
        ModelError, match=r"a function cannot run on a batch of 1×3×16×16; it raised KeyError: 'no such"
    ):
        cl.explain(cl.wrap(scores, size=SIZE), photo())


def test_the_function_cannot_write_to_the_inputs() -> None:
    net = network()

    def scores(images: Tensor) -> Tensor:
        result = net(images).detach()
        images.fill_(7)
        return result

    known = cl.explain(cl.wrap(net, size=SIZE), photo(), method="rise", n=20)
    found = cl.explain(cl.wrap(scores, size=SIZE), photo(), method="rise", n=20)
    torch.testing.assert_close(found.raw, known.raw, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrong", ["another order", "only one image", "mixed images", "constant scores of the first"])
def test_images_run_one_by_one_where_rows_do_not_follow_them(wrong: str) -> None:
    net = network()
    sizes: list[int] = []

    def scores(images: Tensor) -> Tensor:
        sizes.append(len(images))
        result = net(images).detach()
        match wrong:
            case "another order":
                return result.flip(0)
            case "only one image":
                return result.reshape(1, N_CLASSES)
            case "mixed images":
                return result - result.mean(0) + result[:1] * 0 + (result if len(images) == 1 else 0)
            case _:
                return result[:1].expand(len(images), -1)

    known = cl.explain(cl.wrap(net, size=SIZE), photo(), target=1, method="rise", n=40)
    found = cl.explain(cl.wrap(scores, size=SIZE), photo(), target=1, method="rise", n=40)
    torch.testing.assert_close(found.raw, known.raw, rtol=1e-4, atol=1e-6)
    assert sizes.count(2) == 1  # the batch that was verified
    assert max(sizes) == 2


def test_batches_are_verified_once_and_have_the_requested_size() -> None:
    net, sizes = network(), list[int]()

    def scores(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return net(images).detach()

    model = cl.wrap(scores, size=SIZE)
    cl.explain(model, photo(), method="rise", n=40, batch_size=5)
    assert sizes.count(5) == 8
    assert sizes.count(2) == 1
    cl.explain(model, photo(1), method="rise", n=40, batch_size=5)
    assert sizes.count(2) == 1


def test_a_changed_function_is_never_answered_from_a_cache() -> None:
    net = network()
    model = boxed(net)
    first = cl.explain(model, photo(), target=0, method="occlusion")
    with torch.no_grad():
        net[4].weight.mul_(-1)
    second = cl.explain(model, photo(), target=0, method="occlusion")
    torch.testing.assert_close(second.raw, -first.raw, rtol=1e-3, atol=1e-6)
    assert len({model.weights_hash for _ in range(3)} | {first.weights_hash, second.weights_hash}) == 5
    assert copy_of(model.network) is not copy_of(model.network)


def test_probabilities_are_recognised_by_their_values() -> None:
    net = network()
    found = cl.explain(cl.wrap(lambda x: net(x).softmax(1), size=SIZE), photo(), method="occlusion")
    known = cl.explain(cl.wrap(net, size=SIZE), photo(), method="occlusion", score="probability")
    assert found.score_kind == "probability"
    assert found.score == pytest.approx(known.score, rel=1e-4)
    assert found.predictions[0].probability == pytest.approx(known.predictions[0].probability, rel=1e-4)
    torch.testing.assert_close(found.raw, known.raw, rtol=1e-3, atol=1e-6)


def test_the_default_method_is_one_that_runs() -> None:
    model = boxed(network())
    assert cl.explain(model, photo()).method == default_method(model) == "occlusion"
    assert cl.explain(cl.wrap(network(), size=SIZE), photo()).method == "grad_cam"
    assert cl.attribute(model, torch.zeros(1, 3, SIZE, SIZE)).shape == (1, SIZE, SIZE)


def test_applicable_methods_need_scores_only() -> None:
    assert applicable(boxed(network()).network) == ["occlusion", "rise", "lime", "kernel_shap"]
    assert {"grad_cam", "rise", "lrp"} <= set(applicable(network()))
    check_applicable([find("flips(rise)")], boxed(network()).network)


@pytest.mark.parametrize(
    ("method", "needs"),
    [
        ("grad_cam", "the activations of a layer"),
        ("refine(layer_cam)", "the activations of a layer"),
        ("gradient", "the gradient at the input"),
        ("guided_backprop", "a backward pass through the layers"),
        ("attention_rollout", "the attention weights of a transformer"),
    ],
)
def test_other_methods_say_what_they_need(method: str, needs: str) -> None:
    sentence = rf"{re.escape(method)} needs {needs}, and the model is a function, which has no layers .*and no gradient"
    with pytest.raises(MethodError, match=sentence + r"\. Methods for it: occlusion, rise, lime, kernel_shap\."):
        cl.explain(boxed(network()), photo(), method=method)


def test_layers_weights_and_precision_cannot_be_asked_for() -> None:
    model = boxed(network())
    with pytest.raises(LayerError, match="the model is a function, whose layers cannot be accessed"):
        cl.layers(model)
    with pytest.raises(ModelError, match="sanity re-initialises the weights of the model, and the model is a function"):
        sanity(model, [photo()])
    with pytest.raises(
        ModelError, match="embed needs the features before the class scores, and the model is a function"
    ):
        embed(model, ListDataset("one", [Item(Image.fromarray(photo()), "one")]))
    with pytest.raises(MethodError, match="precision='bf16' rounds the weights of a network, and the model is a func"):
        cl.explain(model, photo(), method="rise", n=20, precision="bf16")


def test_trust_uses_the_default_method() -> None:
    labels = [f"class {i}" for i in range(N_CLASSES)]
    result = cl.trust(
        boxed(network(), labels=labels), photo(), method="occlusion(window=0.5, stride=0.5)", n_windows=16
    )
    assert result.method.startswith("occlusion")
    with pytest.raises(MethodError, match="grad_cam needs the activations of a layer"):
        cl.trust(boxed(network()), photo(), method="grad_cam")


def test_evaluate_measures_a_function_and_never_resumes(tmp_path: Path) -> None:
    data = ListDataset("two", [Item(Image.fromarray(photo(seed)), f"{seed}") for seed in range(2)])
    model = boxed(network(), labels=[f"class {i}" for i in range(N_CLASSES)])
    settings: dict[str, Any] = {"methods": ["occlusion(window=0.5, stride=0.5)"], "metrics": ["entropy"]}
    result = evaluate(model, data, **settings, controls=controls_of(model), out=tmp_path)
    assert not [row for row in result.failures if "oracle" not in row[1]]
    assert "random_weights" not in result.methods
    with pytest.raises(DataError, match="holds another run: weights is"):
        evaluate(model, data, **settings, out=tmp_path)


def test_values_that_are_no_network_are_refused() -> None:
    with pytest.raises(ModelError, match="not the class Conv2d: create one"):
        cl.wrap(nn.Conv2d)
    with pytest.raises(ModelError, match=r"wrap needs a torch.nn.Module, not int. A function"):
        cl.wrap(3)
