"""Are activations, gradients and reruns those of the network itself, whatever its forward does?

Every network here has one trap. All run in float64 and are compared with plain autograd and with substitution by a
hook in the network itself (see conftest.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlucida.engine import LayerTrace, Trace, copy_of, layout, nested, resolve, trace
from camlucida.errors import LayerError

Check = Callable[..., LayerTrace]


def first(output: Any) -> Tensor:
    """The first class's score, wherever the network puts its scores."""
    return next(t for _, t in nested.tensors(output))[:, 0]


def all_values(output: Any) -> Tensor:
    return torch.cat([t.flatten() for _, t in nested.tensors(output)])


def traced(network: nn.Module, inputs: Any, *names: str) -> Trace:
    copied = copy_of(network)
    return trace(copied, inputs, resolve(copied, inputs, names), gradients=True, rerun=True)


def stacked_gradients(run: Trace, scores: Tensor) -> list[Tensor]:
    """The gradients (k, b, c, h, w) of every layer."""
    return [torch.stack(of_classes) for of_classes in run.gradients(scores)]


@pytest.fixture
def exact(autograd: Callable[..., Any], substituted: Callable[..., Any], close: Callable[..., None]) -> Check:
    """Check one layer of a network: activation, gradient, and reruns of every image of the batch."""

    def check(
        network: nn.Module,
        name: str,
        inputs: Any,
        *,
        module: str | None = None,
        call: int = 1,
        part: Any = None,
        relative: float = 1e-6,
    ) -> LayerTrace:
        network = network.eval()
        run = traced(network, inputs, name)
        (result,) = run.layers
        where = result.layout
        activation, gradient = autograd(network, module or name, inputs, first, call, part)
        close(result.activations, where.to_grid(activation), relative)
        (gradients,) = stacked_gradients(run, first(run.output)[None])
        close(gradients[0], where.to_grid(gradient), relative)

        images = inputs[0] if isinstance(inputs, tuple) else inputs
        for image in range(len(images)):
            alone = _alone(inputs, image, len(images))
            grid = result.activations[image]
            variants = torch.stack([grid, grid * torch.rand_like(grid), torch.randn_like(grid)])
            kept = variants.clone()
            again = run.rerun(result, variants, image)
            assert torch.equal(variants, kept), "a rerun wrote to what it was given"
            for n, variant in enumerate(variants):

                def new(output: Any, variant: Tensor = variant) -> Any:
                    old = output if part is None else output[part]
                    return _with(output, part, where.from_grid(variant[None], old))

                expected = substituted(network, module or name, alone, new, call)
                close(_row(again, n, len(variants)), all_values(expected), relative)
        return result

    return check


def _alone(inputs: Any, image: int, images: int) -> Any:
    if isinstance(inputs, tuple):
        return tuple(_alone(part, image, images) for part in inputs)
    return inputs[image : image + 1] if inputs.ndim and len(inputs) == images else inputs


def _with(output: Any, part: Any, tensor: Tensor) -> Any:
    if part is None:
        return tensor
    if isinstance(output, dict):
        return type(output)({**output, part: tensor})
    return tuple(tensor if i == part else old for i, old in enumerate(output))


def _row(output: Any, n: int, variants: int) -> Tensor:
    rows = [t for _, t in nested.tensors(output)]
    assert all(len(t) == variants for t in rows)
    return torch.cat([t[n].flatten() for t in rows])


def perturbed(network: nn.Module) -> nn.Module:
    """Statistics of batch norms as after training, no gain at one: nothing passes through unchanged."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return network.double().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, dtype=torch.float64)


# --- writing in place ---------------------------------------------------------------------------------------


class InPlace(nn.Module):
    """Batch norm, then ReLU in place; a skip added in place; functional writes between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.skip = nn.Conv2d(6, 6, 1)
        self.bn2 = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.stem(x)))
        identity = self.skip(x)
        out = self.bn2(self.conv(x))
        out += identity
        F.relu_(out)
        return self.head(out.mean((2, 3)))


@pytest.mark.parametrize("name", ["stem", "bn", "relu", "skip", "conv", "bn2"])
def test_in_place(exact: Check, images: Tensor, name: str) -> None:
    exact(perturbed(InPlace()), name, images)


def test_before_an_in_place_relu(images: Tensor) -> None:
    """What batch norm returned, not what the ReLU after it made of it."""
    network = perturbed(InPlace())
    run = traced(network, images, "bn", "relu")
    before, after = run.layers[0].activations, run.layers[1].activations
    assert before.min() < 0
    assert torch.equal(after, before.relu())
    by_bn, by_relu = stacked_gradients(run, first(run.output)[None])
    assert torch.equal(by_bn[0], torch.where(before > 0, by_relu[0], 0))


class WritesToTheTape(nn.Module):
    """After the layer, the network writes to what was computed before it."""

    def __init__(self, write: Callable[[Tensor, Tensor], Tensor], between: nn.Module | None = None) -> None:
        super().__init__()
        self.early = nn.Conv2d(3, 6, 3, padding=1)
        self.between = between or nn.Identity()
        self.layer = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Conv2d(6, 4, 1)
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(x)
        kept = self.between(early)
        out = self.layer(kept)
        out = self.write(kept, out)
        return self.head(out + early).tanh().mean((2, 3))


def _add_to_early(early: Tensor, out: Tensor) -> Tensor:
    early += out
    return early


def _overwrite(early: Tensor, out: Tensor) -> Tensor:
    early[:, :3] = out[:, :3]
    return torch.cat([early[:, :2], out[:, 2:]], 1)


def _scale(early: Tensor, out: Tensor) -> Tensor:
    return early.mul_(0.5) + out.sigmoid_()


def _cat(early: Tensor, out: Tensor) -> Tensor:
    return torch.cat([early, out], 1).relu_()[:, 3:9]


@pytest.mark.parametrize("write", [_add_to_early, _overwrite, _scale, _cat])
@pytest.mark.parametrize("between", [nn.Identity, nn.Dropout, nn.Tanh])
def test_the_network_writes_to_what_is_on_the_tape(
    exact: Check, images: Tensor, write: Any, between: type[nn.Module]
) -> None:
    """`between` may return the very tensor it was given: a write to one is a write to both."""
    exact(WritesToTheTape(write, between()).double(), "layer", images)


@pytest.mark.parametrize("write", [_add_to_early, _overwrite, _scale])
def test_layers_on_each_others_tapes(images: Tensor, write: Any) -> None:
    network = WritesToTheTape(write).double().eval()
    run = traced(network, images, "early", "layer")
    plain = network(images)
    for result in run.layers * 2:
        for image in range(len(images)):
            again = run.rerun(result, result.activations[image : image + 1].repeat(2, 1, 1, 1), image)
            torch.testing.assert_close(again, plain[[image, image]])


def test_a_network_that_writes_to_its_input(exact: Check, images: Tensor) -> None:
    class Normalising(InPlace):
        def forward(self, x: Tensor) -> Tensor:
            x -= 0.5
            return super().forward(x.mul_(2))

    network = perturbed(Normalising())
    run = traced(network, images.clone(), "skip")
    torch.testing.assert_close(run.output.detach(), network(images.clone()))
    arguments = images.clone()
    result = traced(network, arguments, "skip")
    assert torch.equal(arguments, images)
    again = result.rerun(result.layers[0], result.layers[0].activations[1:2].repeat(2, 1, 1, 1), 1)
    assert torch.equal(arguments, images)
    torch.testing.assert_close(again, network(images.clone())[[1, 1]])


def test_a_network_that_writes_to_its_input_and_the_tape(images: Tensor) -> None:
    """It has to run twice to see what is overwritten: the second run must not start from what the first one wrote."""

    class Normalising(WritesToTheTape):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.sub_(0.5).mul_(2))

    network = Normalising(_add_to_early).double().eval()
    expected = network(images.clone())
    run = traced(network, images, "layer")
    torch.testing.assert_close(run.output.detach(), expected)
    again = run.rerun(run.layers[0], run.layers[0].activations[1:2].repeat(2, 1, 1, 1), 1)
    torch.testing.assert_close(again, expected[[1, 1]])


def test_an_input_that_is_passed_on_and_written_to(exact: Check, images: Tensor) -> None:
    """The input and what is on the tape are one tensor: the whole network runs again."""

    class PassingOn(WritesToTheTape):
        def forward(self, x: Tensor) -> Tensor:
            same = self.between(x)
            out = self.layer(self.early(x).tanh())
            same[:, 0] += out[:, 0]
            return self.head(out * x.sum(1, keepdim=True)).tanh().mean((2, 3))

    network = PassingOn(_scale).double().eval()
    run = traced(network, images, "layer")
    (result,) = run.layers
    again = run.rerun(result, result.activations[2:].repeat(2, 1, 1, 1), 2)
    torch.testing.assert_close(again, network(images.clone())[[2, 2]])


# --- calls and branches -------------------------------------------------------------------------------------


class Reused(nn.Module):
    """One ReLU and one convolution for everything."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        x = self.relu(self.conv(x))
        x = self.relu(self.conv(x))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "module", "call"),
    [("relu", "relu", 3), ("relu#1", "relu", 1), ("relu#2", "relu", 2), ("relu#3", "relu", 3), ("conv#1", "conv", 1)],
)
def test_a_module_called_several_times(exact: Check, images: Tensor, name: str, module: str, call: int) -> None:
    result = exact(Reused().double(), name, images, module=module, call=call)
    assert f"call {call} of" in result.layer.label


def test_all_calls_at_once(images: Tensor) -> None:
    network = Reused().double().eval()
    names = ["relu", "relu#2", "conv", "relu#1", "conv#1"]
    together = traced(network, images, *names)
    gradients = stacked_gradients(together, first(together.output)[None])
    for name, result, gradient in zip(names, together.layers, gradients, strict=True):
        alone = traced(network, images, name)
        assert torch.equal(result.activations, alone.layers[0].activations)
        torch.testing.assert_close(gradient, stacked_gradients(alone, first(alone.output)[None])[0])


class Branches(nn.Module):
    """Two branches side by side; a third nothing is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.left = nn.Conv2d(6, 6, 3, padding=1)
        self.right = nn.Conv2d(6, 6, 3, padding=1)
        self.unused = nn.Conv2d(6, 6, 1)
        self.never = nn.Conv2d(6, 6, 1)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        left = self.left(x)
        self.unused(x)
        right = self.right(x)
        return self.head(torch.cat([left.relu(), right.tanh()], 1).mean((2, 3)))


@pytest.mark.parametrize("name", ["stem", "left", "right"])
def test_parallel_branches(exact: Check, images: Tensor, name: str) -> None:
    exact(Branches().double(), name, images)


def test_a_later_layer_that_does_not_follow_from_the_first(
    images: Tensor, autograd: Callable[..., Any], close: Any
) -> None:
    network = Branches().double().eval()
    run = traced(network, images, "left", "right")
    for name, gradient in zip(["left", "right"], stacked_gradients(run, first(run.output)[None]), strict=True):
        close(gradient[0], autograd(network, name, images, first)[1])


def test_a_layer_the_score_does_not_depend_on_raises(images: Tensor) -> None:
    run = traced(Branches().double().eval(), images, "unused")
    with pytest.raises(LayerError, match="does not depend on 'unused'"):
        stacked_gradients(run, first(run.output)[None])


def test_a_layer_that_is_never_reached_raises(images: Tensor) -> None:
    with pytest.raises(LayerError, match="'never' was not called while Branches ran"):
        traced(Branches().double().eval(), images, "never")


class Deciding(nn.Module):
    """Goes another way for dark images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bright = nn.Conv2d(6, 6, 3, padding=1)
        self.dark = nn.Conv2d(6, 6, 5, padding=2)
        self.tail = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        middle = self.stem(x)
        middle = self.bright(middle) if x.mean() > 0 else self.dark(self.dark(middle))
        return self.head(self.tail(middle).relu().mean((2, 3)))


def test_branches_that_depend_on_the_image(exact: Check, images: Tensor) -> None:
    network = Deciding().double()
    bright, dark = images.abs(), -images.abs()
    exact(network, "bright", bright)
    exact(network, "dark", dark, call=2)
    exact(network, "tail", dark)
    exact(network, "tail", bright)
    with pytest.raises(LayerError, match="'dark' was not called"):
        traced(network, bright, "dark")


def test_the_bare_name_is_the_last_call_with_more_calls(exact: Check, images: Tensor) -> None:
    class Repeating(Branches):
        def forward(self, x: Tensor) -> Tensor:
            left = self.stem(x)
            for _ in range(1 if x.mean() > 0 else 3):
                left = self.left(left).tanh()
            return self.head(torch.cat([left, left], 1).mean((2, 3)))

    network = Repeating().double()
    exact(network, "left", images.abs())
    exact(network, "left", -images.abs(), call=3)


# --- the network's own no_grad ------------------------------------------------------------------------------


class FrozenByContext(nn.Module):
    """A backbone under `no_grad`, a head outside of it, and a step in between that is no module."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Sequential(nn.Conv2d(6, 6, 3), nn.Tanh())
        )
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)
        self.where = where

    @torch.no_grad()
    def frozen(self, x: Tensor) -> Tensor:
        x = self.backbone(x)
        return self.norm(x) if self.where == "inside" else x

    def forward(self, x: Tensor) -> Tensor:
        x = self.frozen(x)
        x = x if self.where == "inside" else self.norm(x)
        return self.head(x.square().mean((2, 3)))


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize("name", ["backbone.0", "backbone.2.0", "backbone.2", "backbone", "norm", None])
def test_no_grad_around_the_layer(images: Tensor, where: str, name: str | None, close: Any) -> None:
    """The gradient is that of the same network without its `no_grad`."""
    network = perturbed(FrozenByContext(where))
    run = traced(network, images, name)  # type: ignore[arg-type]
    (gradient,) = stacked_gradients(run, first(run.output)[None])
    assert name is not None or run.layers[0].layer.name == "norm"

    plain = perturbed(FrozenByContext(where))
    plain.load_state_dict(network.state_dict())
    plain.frozen = FrozenByContext.frozen.__wrapped__.__get__(plain)
    reference = traced(plain, images, name)  # type: ignore[arg-type]
    close(gradient, stacked_gradients(reference, first(reference.output)[None])[0])


def test_no_grad_on_the_whole_forward(images: Tensor, close: Any) -> None:
    class Decorated(InPlace):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    network = perturbed(Decorated())
    plain = perturbed(InPlace())
    plain.load_state_dict(network.state_dict())
    for name in ("bn", "skip", "bn2", None):
        run, reference = traced(network, images, name), traced(plain, images, name)  # type: ignore[arg-type]
        close(
            stacked_gradients(run, first(run.output)[None])[0],
            stacked_gradients(reference, first(reference.output)[None])[0],
        )


def test_a_no_grad_beside_the_layer_stays_one(exact: Check, images: Tensor) -> None:
    """A gate that the network computes without a gradient has none."""

    class Gated(Branches):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            left = self.left(x)
            with torch.no_grad():
                gate = self.right(left).sigmoid()
            return self.head(torch.cat([left * gate, left], 1).mean((2, 3)))

    exact(Gated().double(), "left", images)
    exact(Gated().double(), "stem", images)


# --- outputs and inputs that are no tensors -----------------------------------------------------------------


class Pair(NamedTuple):
    features: Tensor
    summary: Tensor


@dataclass(frozen=True)
class Answer:
    logits: Tensor
    extra: Any = None


class Returning(nn.Module):
    """A stage whose output is packed, and a network whose output is packed."""

    def __init__(self, pack: Callable[[Tensor, Tensor], Any], unpack: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.stage = Packing(pack)
        self.head = nn.Linear(6, 4)
        self.unpack = unpack

    def forward(self, x: Tensor) -> Any:
        packed = self.stage(x)
        scores = self.head(self.unpack(packed).relu().mean((2, 3)))
        return Answer(scores, {"twice": [scores * 2]})


class Packing(nn.Module):
    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.pack = pack

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        return self.pack(x, x.flatten(2).mean(2))


@dataclass
class Stage:
    summary: Tensor
    hidden: tuple[Tensor, ...]


PACKINGS: dict[str, tuple[Callable[[Tensor, Tensor], Any], Callable[[Any], Tensor]]] = {
    "tuple": (lambda x, s: (s, x), lambda p: p[1]),
    "list": (lambda x, s: [x, s], lambda p: p[0]),
    "namedtuple": (lambda x, s: Pair(x, s), lambda p: p.features),
    "dict": (lambda x, s: {"summary": s, "features": x}, lambda p: p["features"]),
    "ordered dict": (lambda x, s: OrderedDict(features=x), lambda p: p["features"]),
    "dataclass": (lambda x, s: Stage(s, (x,)), lambda p: p.hidden[0]),
    "nested": (lambda x, s: {"a": [s, {"b": (None, "text", x)}]}, lambda p: p["a"][1]["b"][2]),
    "twice": (lambda x, s: {"last": x, "all": (x, x)}, lambda p: p["all"][1]),
    "with indices": (lambda x, s: (torch.arange(3), x), lambda p: p[1]),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_outputs(images: Tensor, packing: str, autograd: Any, close: Any, substituted: Any) -> None:
    """The first tensor with positions counts, wherever the network reads it."""
    pack, unpack = PACKINGS[packing]
    network = Returning(pack, unpack).double().eval()
    run = traced(network, images, "stage")
    (result,) = run.layers
    activation, gradient = autograd(network, "stage.conv", images, first)
    assert type(run.output) is Answer
    close(result.activations, activation)
    close(stacked_gradients(run, run.output.logits[None, :, 0])[0][0], gradient)
    variants = torch.randn(4, 6, 16, 16, dtype=torch.float64)
    again = run.rerun(result, variants, 2)
    expected = substituted(network, "stage.conv", images[:1].expand(4, -1, -1, -1), lambda old: variants)
    close(again.logits, expected.logits)
    close(again.extra["twice"][0], expected.extra["twice"][0])


def test_model_outputs_of_transformers(exact: Check, images: Tensor) -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")

    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3, padding=1)

        def forward(self, x: Tensor) -> Any:
            x = self.conv(x)
            return outputs.BaseModelOutputWithNoAttention(last_hidden_state=x, hidden_states=(x * 2, x))

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = Backbone()
            self.tail = nn.Conv2d(6, 6, 3)
            self.head = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Any:
            result = self.backbone(x)
            logits = self.head(self.tail(result.hidden_states[1]).relu().mean((2, 3)))
            return outputs.ImageClassifierOutputWithNoAttention(logits=logits, hidden_states=(result[0],))

    network = Classifier().double().eval()
    run = traced(network, images, "backbone")
    assert stacked_gradients(run, run.output.logits[None, :, 0])[0].abs().max() > 0
    again = run.rerun(run.layers[0], run.layers[0].activations[:1] * 2, 0)
    assert type(again) is type(run.output)
    torch.testing.assert_close(again["logits"], again.logits)
    exact(Classifier().double(), "tail", images)


class Parts(nn.Module):
    """A stage that returns two maps; the network reads both."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.stage = Twofold(kind)
        self.head = nn.Linear(11, 4)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        result = self.stage(x)
        coarse, fine = result.values() if self.kind is dict else result
        return self.head(torch.cat([coarse.relu().mean((2, 3)), fine.tanh().mean((2, 3))], 1))


class Twofold(nn.Module):
    def __init__(self, kind: type) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 5, 2, stride=2)
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        coarse, fine = self.coarse(x), self.fine(x)
        return {"coarse": coarse, "fine": fine} if self.kind is dict else (coarse, fine)


def test_a_named_part(exact: Check, images: Tensor) -> None:
    assert exact(Parts(dict).double(), "stage@fine", images, module="stage", part="fine").layout.grid == (16, 16)
    assert exact(Parts(dict).double(), "stage", images, part="coarse").layout.grid == (8, 8)
    exact(Parts(tuple).double(), "stage@1", images, module="stage", part=1)


def test_several_parts_at_once(images: Tensor) -> None:
    network = Parts(dict).double().eval()
    run = traced(network, images, "stage@coarse", "stage@fine", "stage")
    assert [result.layout.grid for result in run.layers] == [(8, 8), (16, 16), (8, 8)]
    coarse, fine, bare = stacked_gradients(run, first(run.output)[None])
    assert torch.equal(coarse, bare)
    for name, gradient in (("stage@coarse", coarse), ("stage@fine", fine)):
        alone = traced(network, images, name)
        torch.testing.assert_close(gradient, stacked_gradients(alone, first(alone.output)[None])[0])


def test_an_unknown_part_says_which_there_are(images: Tensor) -> None:
    with pytest.raises(LayerError, match="no part 'middle'; it has coarse, fine"):
        traced(Parts(dict).double().eval(), images, "stage@middle")


class ManyInputs(InPlace):
    def forward(self, x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x * scale.reshape(-1, 1, 1, 1) + offset)


def test_several_inputs(exact: Check, images: Tensor) -> None:
    """Numbers of the whole batch are left as they are, numbers of one image go with it."""
    network = perturbed(ManyInputs())
    inputs = (images, torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor(0.5).double())
    exact(network, "skip", inputs)
    named = dict(zip(["x", "scale", "offset"], inputs, strict=True))
    run, reference = traced(network, named, "skip"), traced(network, inputs, "skip")
    assert torch.equal(run.output, reference.output)
    variants = reference.layers[0].activations[:2]
    assert torch.equal(run.rerun(run.layers[0], variants, 2), reference.rerun(reference.layers[0], variants, 2))


# --- layouts ------------------------------------------------------------------------------------------------


class Transformer(nn.Module):
    """Patches, a class token and registers in front, PyTorch's own encoder, the class token read at the end."""

    def __init__(
        self, prefix: int = 1, batch_first: bool = True, norm_first: bool = False, read: str = "class"
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.prefix = nn.Parameter(torch.randn(1, prefix, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=batch_first, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=batch_first and not norm_first)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)
        self.batch_first, self.read = batch_first, read

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.prefix.expand(len(x), -1, -1), x], 1)
        x = self.encoder(x if self.batch_first else x.transpose(0, 1))
        x = self.norm(x if self.batch_first else x.transpose(0, 1))
        return self.head(x[:, 0] if self.read == "class" else x.mean(1))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", ["embed", "encoder.layers.0", "encoder.layers.1.norm1", "encoder.layers.0.linear2"])
def test_pytorchs_encoder(exact: Check, images: Tensor, name: str, batch_first: bool, norm_first: bool) -> None:
    """Children are reached although PyTorch has a fast path around them; tokens may come before images."""
    result = exact(perturbed(Transformer(1, batch_first, norm_first, read="mean")), name, images)
    inside = name != "embed"
    kind = ("tokens" if batch_first else "tokens_first") if inside else "nchw"
    assert (result.layout.kind, result.layout.grid, result.layout.prefix) == (kind, (4, 4), int(inside))


@pytest.mark.parametrize("batch_first", [False, True])
def test_attention_gives_out_a_tuple(exact: Check, images: Tensor, batch_first: bool) -> None:
    exact(perturbed(Transformer(1, batch_first, read="mean")), "encoder.layers.1.self_attn", images, part=0)


def test_as_many_images_as_tokens(exact: Check) -> None:
    """(9, 9, 8): which nine are the images cannot be seen from the shape."""
    images = torch.randn(9, 3, 12, 12, dtype=torch.float64)
    result = exact(perturbed(Transformer(0, batch_first=False, read="mean")), "encoder.layers.1", images)
    assert result.layout.kind == "tokens_first"


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [(16, 16), (12, 20), (24, 8)])
def test_prefix_tokens_and_grids_that_are_not_square(exact: Check, prefix: int, size: tuple[int, int]) -> None:
    network = perturbed(Transformer(prefix, read="mean"))
    result = exact(network, "encoder.layers.0", torch.randn(2, 3, *size, dtype=torch.float64))
    assert (result.layout.grid, result.layout.prefix) == ((size[0] // 4, size[1] // 4), prefix)


def test_tokens_without_a_position_are_left_alone(images: Tensor, close: Any) -> None:
    """A rerun keeps the class token that the layer returned."""
    network = perturbed(Transformer(2))
    run = traced(network, images, "norm")
    (result,) = run.layers
    again = run.rerun(result, torch.randn(5, 8, 4, 4, dtype=torch.float64), 1)
    close(again, network(images)[[1] * 5])


class ChannelsLast(nn.Module):
    """(b, h, w, c) inside, as Swin and ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 7, 4, stride=4)
        self.norm = nn.LayerNorm(7)
        self.mlp = nn.Sequential(nn.Linear(7, 14), nn.GELU(), nn.Linear(14, 7))
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        x = x + self.mlp(self.norm(x))
        return self.head(x.mean((1, 2)))


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (12, 28)])
@pytest.mark.parametrize("name", ["norm", "mlp", "mlp.1"])
def test_channels_last(exact: Check, name: str, size: tuple[int, int]) -> None:
    """At 28 x 28 the output of `norm` is (b, 7, 7, 7): only the layer tells where the channels are."""
    result = exact(perturbed(ChannelsLast()), name, torch.randn(2, 3, *size, dtype=torch.float64))
    assert (result.layout.kind, result.layout.grid) == ("nhwc", (size[0] // 4, size[1] // 4))


@pytest.mark.parametrize("shift", [(0, 0), (3, 3), (1, 2)])
def test_windows_there_and_back(shift: tuple[int, int]) -> None:
    where = layout.Layout("windows", (14, 21), window=(7, 7), shift=shift)
    windows = torch.randn(2 * 6, 49, 5)
    assert torch.equal(where.from_grid(where.to_grid(windows), windows), windows)
    grid = torch.randn(2, 5, 14, 21)
    assert torch.equal(where.to_grid(where.from_grid(grid, windows)), grid)


@pytest.mark.parametrize(
    "where",
    [
        layout.Layout("nchw", (3, 5)),
        layout.Layout("nhwc", (3, 5)),
        layout.Layout("tokens", (3, 5), prefix=2),
        layout.Layout("tokens_first", (3, 5), prefix=1),
    ],
)
def test_layouts_there_and_back(where: layout.Layout) -> None:
    tokens = 15 + where.prefix
    shape = {"nchw": (2, 4, 3, 5), "nhwc": (2, 3, 5, 4), "tokens": (2, tokens, 4), "tokens_first": (tokens, 2, 4)}
    tensor = torch.randn(shape[where.kind])
    grid = where.to_grid(tensor)
    assert grid.shape == (2, 4, 3, 5)
    assert torch.equal(where.from_grid(grid, tensor), tensor)
    new = torch.randn(2, 4, 3, 5)
    assert torch.equal(where.to_grid(where.from_grid(new, tensor)), new)
    assert torch.equal(where.to_grid(tensor), grid), "from_grid wrote to what it was given"


class Windowed(nn.Module):
    """Swin's way: roll, cut into windows, attend, join, roll back."""

    def __init__(self) -> None:
        super().__init__()
        self.window, self.shift_size = 4, 2
        self.norm = nn.LayerNorm(8)
        self.attn = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        k, s = self.window, self.shift_size
        y = self.norm(x).roll((-s, -s), (1, 2)).reshape(b, h // k, k, w // k, k, c)
        y = self.attn(y.transpose(2, 3).reshape(-1, k * k, c))
        y = y.reshape(b, h // k, w // k, k, k, c).transpose(2, 3).reshape(b, h, w, c)
        return x + y.roll((s, s), (1, 2)).tanh()


class WindowedNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 2, stride=2)
        self.block, self.block2 = Windowed(), Windowed()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block(self.embed(x).permute(0, 2, 3, 1)))
        return self.head(x.square().mean((1, 2)))


@pytest.mark.parametrize("name", ["block.attn", "block2.attn", "block2.norm"])
@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_windows(exact: Check, name: str, size: tuple[int, int]) -> None:
    result = exact(perturbed(WindowedNetwork()), name, torch.randn(2, 3, *size, dtype=torch.float64))
    assert result.layout.kind == ("windows" if "attn" in name else "nhwc")


def test_the_positions_of_windows() -> None:
    """With attention that passes on what it is given, windows on the grid are what went into them."""
    network = perturbed(WindowedNetwork())
    nn.init.eye_(network.block.attn.weight)
    nn.init.zeros_(network.block.attn.bias)
    run = traced(network, torch.randn(2, 3, 16, 24, dtype=torch.float64), "block.norm", "block.attn")
    before, after = (result.activations for result in run.layers)
    torch.testing.assert_close(after, before)


def test_the_positions_of_timms_windows() -> None:
    swin = pytest.importorskip("timm.models.swin_transformer")
    network = swin.SwinTransformer(
        img_size=56, patch_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 2), window_size=7, num_classes=5
    ).eval()

    class Passing(nn.Module):
        def forward(self, x: Tensor, mask: Any = None) -> Tensor:
            return x * 2

    network.layers[0].blocks[0].attn = Passing()
    network.layers[0].blocks[1].attn = Passing()
    assert tuple(network.layers[0].blocks[1].shift_size) == (3, 3)
    images = torch.randn(2, 3, 56, 56)
    for block in (0, 1):
        run = traced(network, images, f"layers.0.blocks.{block}.norm1", f"layers.0.blocks.{block}.attn")
        norm, attention = run.layers
        assert attention.layout.kind == "windows"
        assert torch.equal(attention.activations, norm.activations * 2)

    # and an image with one bright patch is bright there
    patch = torch.zeros(1, 3, 56, 56)
    patch[:, :, 4 * 11 : 4 * 12, 4 * 2 : 4 * 3] = 100
    run = traced(network, patch, "layers.0.blocks.1.attn")
    blank = traced(network, torch.zeros_like(patch), "layers.0.blocks.1.attn")
    changed = (run.layers[0].activations - blank.layers[0].activations).abs().sum((0, 1))
    assert divmod(int(changed.argmax()), 14) == (11, 2)


class PositionTable(nn.Module):
    """A module that makes a table out of parameters alone; with a batch of one its shape looks like an image's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        self.table = Table()
        self.layer = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        table = self.table().view(-1, 8)  # cannot be a table for several images
        x = self.layer(x + table)
        assert table.shape == (16, 8)
        return self.head((x * table).sin().mean(1))


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 16, 8))

    def forward(self) -> Tensor:
        return self.weight * 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tables_of_positions_are_no_images(exact: Check, images: Tensor, count: int) -> None:
    exact(perturbed(PositionTable()), "layer", images[:count])


@pytest.mark.parametrize("positions_first", [False, True])
def test_rows_that_mix_positions_and_images(exact: Check, images: Tensor, positions_first: bool) -> None:
    """(images * positions, c) on the tape: one image's rows lie together, or are spread out over all of it."""

    class Rows(PositionTable):
        def __init__(self) -> None:
            super().__init__()
            self.mlp = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            b = len(x)
            x = self.embed(x).flatten(2).transpose(1, 2)
            rows = self.mlp((x.transpose(0, 1) if positions_first else x).reshape(-1, 8))
            rows = rows.reshape(16, b, 8).transpose(0, 1) if positions_first else rows.reshape(b, 16, 8)
            return self.head((self.layer(x) * rows).sin().mean(1))

    exact(perturbed(Rows()), "layer", images)
    exact(perturbed(Rows()), "layer", images[:1])


# --- sizes, kinds of numbers, heads -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (9, 9), (11, 23), (31, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_and_grey_images(exact: Check, size: tuple[int, int], channels: int) -> None:
    network = perturbed(
        nn.Sequential(
            nn.Conv2d(channels, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(True), nn.Conv2d(6, 5, 3, 2, 1), Pooled(5)
        )
    )
    result = exact(network, "3", torch.randn(2, channels, *size, dtype=torch.float64))
    assert result.layout.grid == tuple(-(-s // 4) for s in size)


class Pooled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x.tanh().mean((2, 3)))
        return result


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    network = perturbed(InPlace()).float()
    images = torch.randn(2, 3, 16, 16)
    reference = traced(network, images, "bn2")
    (expected,) = stacked_gradients(reference, first(reference.output)[None])
    half = perturbed(InPlace())
    half.load_state_dict(network.state_dict())
    run = traced(half.to(dtype), images.to(dtype), "bn2")
    (result,) = stacked_gradients(run, first(run.output)[None])
    assert result.dtype == run.layers[0].activations.dtype == torch.float32
    assert result.isfinite().all()
    maps = [
        (g * r.layers[0].activations).sum((0, 2)) for g, r in zip((result, expected), (run, reference), strict=True)
    ]
    # Not position by position: where an activation is nearly zero, rounding switches a ReLU on or off.
    similarity = torch.cosine_similarity(maps[0].flatten(), maps[1].flatten(), 0)
    torch.testing.assert_close(similarity, torch.ones(()), rtol=0, atol=0.01)
    again = run.rerun(run.layers[0], run.layers[0].activations[:1], 0)
    assert again.dtype == dtype
    torch.testing.assert_close(again, run.output[:1].detach(), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", ["conv", "tail"])
def test_a_recurrent_head(exact: Check, images: Tensor, batch_first: bool, name: str) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.early = nn.LSTM(16, 6, batch_first=batch_first)
            self.conv = nn.Conv2d(3, 6, 3, padding=1)
            self.tail = nn.Conv2d(6, 6, 3, padding=1)
            self.lstm = nn.LSTM(6, 5, batch_first=batch_first)
            self.head = nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            rows = x.mean(1)
            _, (hidden, _) = self.early(rows if batch_first else rows.transpose(0, 1))  # (1, b, 6) on the tape
            x = self.tail(self.conv(x).relu() * hidden[0][:, :, None, None])
            columns = x.mean(2).transpose(1, 2)
            out, _ = self.lstm(columns if batch_first else columns.transpose(0, 1))
            return self.head(out[:, -1] if batch_first else out[-1])

    exact(Recurrent().double(), name, images)


# --- several at once ----------------------------------------------------------------------------------------


def test_several_classes_at_once_equal_one_by_one(images: Tensor) -> None:
    network = perturbed(InPlace())
    run = traced(network, images, "bn", "bn2")
    together = stacked_gradients(run, run.output.T)
    assert [tuple(g.shape[:2]) for g in together] == [(4, 3), (4, 3)]
    for k in range(4):
        alone = traced(network, images, "bn", "bn2")
        for all_, (one,) in zip(together, stacked_gradients(alone, alone.output.T[k : k + 1]), strict=True):
            assert torch.equal(all_[k], one)


def test_several_layers_at_once_equal_one_by_one(images: Tensor) -> None:
    network = perturbed(InPlace())
    names = ["bn2", "stem", "skip", "relu", "bn", "conv"]
    together = traced(network, images, *names)
    assert [found.layer.name for found in together.layers] == names
    gradients = stacked_gradients(together, together.output.T[:2])
    variants = torch.randn(2, 6, 16, 16, dtype=torch.float64)
    for name, result, gradient in zip(names, together.layers, gradients, strict=True):
        alone = traced(network, images, name)
        assert torch.equal(result.activations, alone.layers[0].activations)
        torch.testing.assert_close(gradient, stacked_gradients(alone, alone.output.T[:2])[0], rtol=1e-9, atol=1e-12)
        assert torch.equal(together.rerun(result, variants, 1), alone.rerun(alone.layers[0], variants, 1))


def test_images_do_not_see_each_other(images: Tensor) -> None:
    network = perturbed(InPlace())
    batch = traced(network, images, "bn2")
    (gradients,) = stacked_gradients(batch, batch.output.T[:1])
    for image in range(3):
        alone = traced(network, images[image : image + 1], "bn2")
        torch.testing.assert_close(alone.layers[0].activations[0], batch.layers[0].activations[image])
        torch.testing.assert_close(stacked_gradients(alone, alone.output.T[:1])[0][:, 0], gradients[:, image])


# --- what it costs ------------------------------------------------------------------------------------------


class Costly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.layer, self.after = Noting(), Noting(), Noting()
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.after(self.layer(self.before(x))).mean((2, 3)))


class Noting(nn.Module):
    """Notes how often it runs, and whether what it returns has a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x).relu()
        RAN.append((self, result.requires_grad))
        return result


RAN: list[tuple[nn.Module, bool]] = []


def test_no_graph_before_the_layer_and_no_gradient_of_parameters() -> None:
    network, images = Costly().eval(), torch.randn(2, 3, 8, 8)
    copied = copy_of(network)
    layers = resolve(copied, images, ["layer"])
    RAN.clear()
    run = trace(copied, images, layers, gradients=True)
    assert [*RAN] == [(copied.module.before, False), (copied.module.layer, False), (copied.module.after, True)]
    stacked_gradients(run, run.output.T)
    assert all(p.grad is None for p in [*network.parameters(), *copied.module.parameters()])
    RAN.clear()
    assert not trace(copied, images, layers).output.requires_grad
    assert [graph for _, graph in RAN] == [False] * 3


def test_in_place_activations_do_not_make_the_network_run_twice() -> None:
    network = nn.Sequential(Noting(), nn.ReLU(inplace=True), Noting(), Pooled(3)).eval()
    copied, images = copy_of(network), torch.randn(2, 3, 8, 8)
    layers = resolve(copied, images, ["2"])
    trace(copied, images, layers, gradients=True, rerun=True)  # the first at a size also runs single images
    RAN.clear()
    trace(copied, images, layers, gradients=True, rerun=True)
    assert len(RAN) == 2


def test_calls_sharing_one_tensor_do_not_restart_the_rerun() -> None:
    class Dropping(Costly):
        def forward(self, x: Tensor) -> Tensor:
            early = self.before(x)
            dropped = self.drop(early)
            out = self.layer(x)
            dropped += out
            return self.head(self.after(early).mean((2, 3)))

    network = Dropping()
    network.drop = nn.Dropout(0.5)
    images = torch.randn(2, 3, 8, 8)
    run = traced(network.eval(), images, "layer")
    (result,) = run.layers
    run.rerun(result, result.activations, 0)
    RAN.clear()
    again = run.rerun(result, result.activations[1:], 1)
    assert [*RAN] == [(copy_of(network).module.after, False)]
    torch.testing.assert_close(again, network(images)[1:])


def test_a_rerun_runs_only_the_suffix() -> None:
    network, images = Costly().eval(), torch.randn(2, 3, 8, 8)
    run = traced(network, images, "layer")
    run.rerun(run.layers[0], run.layers[0].activations, 0)
    RAN.clear()
    run.rerun(run.layers[0], run.layers[0].activations, 0)
    assert [*RAN] == [(copy_of(network).module.after, False)]
