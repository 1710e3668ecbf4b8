"""Values that are handed from one part to the next: every field of a request arrives where it is meant to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.attribution.outputs import class_scores
from camlucida.attribution.request import AttributionRequest
from camlucida.engine.run_options import RunOptions
from camlucida.errors import LayerError
from camlucida.reliability.inputs import metric_inputs_of
from camlucida.reliability.trust import _request_of

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 36, 3), dtype=np.uint8))
IMAGES = torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(1)).double()


class Net(nn.Module):
    """Two stages of different grids, one activation that runs twice, a head that is not linear in what it pools."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.Tanh()
        self.second = nn.Conv2d(4, 6, 3, stride=2)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.second(self.act(self.first(x))))
        return self.head(x.square().mean((2, 3)))  # type: ignore[no-any-return]


def network() -> Net:
    torch.manual_seed(0)
    net = Net().double().eval()
    with torch.no_grad():
        net.head.weight.mul_(20)
    return net


def by_hand(net: Net, k: Tensor, kind: str, layer: str) -> Tensor:
    """Grad-CAM written with autograd alone, of the class k of each image."""
    first = net.first(IMAGES)
    second = net.second(net.act(first))
    output = net.head(net.act(second).square().mean((2, 3)))
    scores = {"logit": output, "probability": output.softmax(1), "log_probability": output.log_softmax(1)}[kind]
    at = {"first": first, "second": second}[layer]
    (gradient,) = torch.autograd.grad(scores.gather(1, k[:, None]).sum(), at)
    return (gradient.mean((2, 3), keepdim=True) * at).sum(1).detach()


@pytest.mark.parametrize("kind", ["logit", "probability", "log_probability"])
@pytest.mark.parametrize("layer", ["first", "second"])
@pytest.mark.parametrize("signed", [False, True])
def test_score_layer_and_sign_arrive(kind: str, layer: str, signed: bool) -> None:
    net, k = network(), torch.tensor([1, 3])
    wanted = by_hand(net, k, kind, layer)
    assert (wanted < 0).any()
    assert (wanted > 0).any()
    found = cl.attribute(net, IMAGES, target=k, layer=layer, score=kind, signed=signed)
    assert_close(found, wanted if signed else wanted.relu())


def test_the_models_own_layer_is_the_default() -> None:
    model = cl.wrap(network(), size=(12, 16), layer="first")
    found = cl.attribute(model, IMAGES, target=torch.tensor([1, 3]), signed=True)
    assert_close(found, by_hand(network(), torch.tensor([1, 3]), "logit", "first"))
    assert cl.explain(model, IMAGE).layer == "first"


@pytest.mark.parametrize("method", ["rise", "score_cam", "occlusion", "ablation_cam"])
def test_each_image_has_its_own_class(method: str) -> None:
    """The map of a batch is the maps of its images alone, each for its own class."""
    how: dict[str, Any] = {"method": method, "signed": True} | ({"n": 9} if method == "rise" else {})
    how |= {} if method in ("rise", "occlusion") else {"layer": "second"}
    together = cl.attribute(network(), IMAGES, target=torch.tensor([1, 3]), **how)
    for i, k in enumerate((1, 3)):
        assert_close(together[i : i + 1], cl.attribute(network(), IMAGES[i : i + 1], target=k, **how))
    assert not torch.allclose(together[1:], cl.attribute(network(), IMAGES[1:], target=1, **how))


def test_batch_and_precision_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    net = network()
    net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    request = AttributionRequest.of(batch_size=2, precision="bf16", method="rise", options={"n": 6})
    assert request.run_options == RunOptions("bf16", 2)
    few = runs_of(2)
    assert max(few) == 2
    assert len(few) > len(runs_of(None))


def runs_of(batch: int | None) -> list[int]:
    """How many images stood in each run of the network, seen by a target."""
    seen: list[int] = []

    def target(output: Tensor) -> Tensor:
        seen.append(len(output))
        return output[:, 0]

    class Counting(Net):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(len(x))
            return super().forward(x)

    sizes: list[int] = []
    torch.manual_seed(0)
    net = Counting().double().eval()
    cl.attribute(net, IMAGES[:1], target=0, method="rise", n=12)  # whatever is looked for at the first call
    sizes.clear()
    cl.attribute(net, IMAGES[:1], target=0, method="rise", n=12, batch_size=batch)
    return sizes


def test_every_map_is_at_its_index() -> None:
    """Of a set: score, layer, target and map of each are those of the same request alone."""
    model = cl.wrap(network().float(), size=(12, 16), labels=[f"class {i}" for i in range(5)])
    together = cl.explain(model, IMAGE, method=["grad_cam", "hires_cam"], target=[1, 3], layer=["first", "second"])
    asked = [(m, t, l) for m in ("grad_cam", "hires_cam") for t in (1, 3) for l in ("first", "second")]
    assert len({e.raw.sum() for e in together}) == len(asked) == 8
    for e, (method, target, layer) in zip(together, asked, strict=True):
        alone = cl.explain(model, IMAGE, method=method, target=target, layer=layer)
        assert (e.method, e.index, e.layer, e.target) == (method, target, layer, f"class {target}")
        assert e.score == pytest.approx(alone.score)
        assert_close(e.raw, alone.raw)


def test_the_record_is_of_this_run() -> None:
    model = cl.wrap(network().float(), size=(12, 16))
    e = cl.explain(
        model, IMAGE, method="rise", n=5, seed=7, batch_size=3, precision="bf16", score="probability", target=2
    )
    record = e.record()
    assert (record["precision"], record["batch_size"], record["score_kind"], record["class"]) == (
        "bf16",
        3,
        "probability",
        2,
    )
    assert (record["options"]["n"], record["options"]["seed"]) == (5, 7)


def test_a_signed_panel_has_a_scale_of_both_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    scales = []
    monkeypatch.setattr("camlucida.attribution.explanation.draw_panel", lambda *_, scale, **__: scales.append(scale))
    e = cl.explain(cl.wrap(network().float(), size=(12, 16)), IMAGE, method="gradient", target=1, reduce="sum")
    assert e.shows_signs
    e.panel()
    e.panel(colormap="viridis")
    assert scales == [(-e.peak, e.peak), (0.0, e.peak)]


def test_which_of_two_outputs() -> None:
    logits, out = torch.zeros(2, 3), torch.ones(2, 4)
    for named in ({"logits": logits, "out": out}, {"out": out, "logits": logits}):
        assert torch.equal(class_scores(named), logits)
    assert class_scores(logits.bfloat16()).dtype is torch.float32
    assert class_scores(logits.half()).dtype is torch.float32
    assert class_scores(logits.double()).dtype is torch.float64


def test_two_fills_at_one_layer() -> None:
    """Of two methods in one run that differ in an option only, each has its own."""
    model = cl.wrap(network().float(), size=(12, 16))
    methods = ["ablation_cam(infill=0.0)", "ablation_cam(infill=2.0)"]
    together = cl.explain(model, IMAGE, method=methods, layer="second", target=1)
    for e, method in zip(together, methods, strict=True):
        assert_close(e.raw, cl.explain(model, IMAGE, method=method, layer="second", target=1).raw)
    assert not torch.allclose(together[0].raw, together[1].raw)


def test_views_at_several_layers() -> None:
    """The mean over crops at each of two layers is that at the layer alone."""
    together = cl.attribute(network(), IMAGES, target=1, layer=["first", "second"], method="crops(hires_cam)")
    for layer, found in together.items():
        assert_close(found, cl.attribute(network(), IMAGES, target=1, layer=layer, method="crops(hires_cam)"))


@pytest.mark.parametrize(
    "how",
    [
        {"method": "grad_cam", "layer": "first"},
        {"method": "grad_cam", "layer": "act#1"},
        {"method": "grad_cam", "layer": "act"},
        {"method": "smooth(hires_cam, n=2, seed=5)", "layer": "second"},
        {"method": "fuse_max(grad_cam)", "layer": ["first", "second"]},
        {"method": "rise", "n": 7, "seed": 3},
        {"method": "rise(n=7, seed=3)"},
    ],
)
def test_trust_asks_for_the_same_map_again(how: dict[str, Any]) -> None:
    model = cl.wrap(network().float(), size=(12, 16), labels=[f"class {i}" for i in range(5)])
    e = cl.explain(model, IMAGE, target=3, **how)
    single = e if isinstance(e, cl.Explanation) else e[0]
    again = metric_inputs_of(model, single.image, **_request_of(single))
    assert again.model_input.target == 3
    assert_close(again.raw.cpu(), single.raw)


@pytest.mark.parametrize("layer", ["²", "--3", "9" * 5000, True, 1.5, [[1]], object(), 2**70, -(2**70)])
def test_what_no_layer_can_be(layer: Any) -> None:
    with pytest.raises(LayerError):
        cl.attribute(network(), IMAGES, layer=layer)


def test_layers_by_numbers_of_numpy() -> None:
    assert_close(
        cl.attribute(network(), IMAGES, target=0, layer=np.int64(-1)),  # type: ignore[call-overload]
        cl.attribute(network(), IMAGES, target=0, layer=-1),
    )
