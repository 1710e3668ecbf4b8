"""Is every method well-behaved? A method joins by being registered; nothing here names one."""

from __future__ import annotations

import copy
import inspect
import re
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import CamlucidaError, MethodError, TargetError
from camlucida.methods import Method
from camlucida.methods.registry import PIXEL_GRADIENT_INPUTS
from camlucida.types import Attention

relevance_by_hand = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("relevance_by_hand.py"))))


def maps(subject: Any, method: Method, images: Tensor, network: nn.Module | None = None, **rest: Any) -> Tensor:
    where = {"layer": "layer"} if method.needs_layer else {}
    options = where | {"target": 1} | few_runs(method) | rest
    result: Tensor = attribute(network or subject.make(), images, method=method, **options)
    return result


REFERENCES: dict[tuple[str, str, bool], Tensor] = {}


def reference(subject: Any, method: Method, images: Tensor, signed: bool = False) -> Tensor:
    """The maps of the images on a network of its own, computed once for all tests that compare others with them."""
    key = (method.name, subject.name, signed)
    if key not in REFERENCES:
        REFERENCES[key] = maps(subject, method, images, signed=signed)
    return REFERENCES[key]


def few_runs(method: Method) -> dict[str, Any]:
    """Methods that run the network `n` times do it 24 times here, not thousands, and ask about no more parts.

    24 runs on three images still take several chunks, and a network with folded batch norms.
    """
    limits = {"n": 24, "segments": 9, "steps": 10}
    return {name: min(few, method.options[name]) for name, few in limits.items() if name in method.options}


def cell(method: Method, subject: Any) -> int:
    """How many pixels wide one place of the map is."""
    width: int = subject.stride if method.map_size == "layer" else 1
    return width


def test_error_names_requirements(method: Method, misfit: Any, images: Tensor) -> None:
    why = r"average pooling and one linear layer|ReLUs, and .* has none|has no attention at all"
    with pytest.raises(MethodError, match=why):
        maps(misfit, method, images)


class TestMaps:
    def test_shape_and_finite(self, method: Method, subject: Any, images: Tensor) -> None:
        result = reference(subject, method, images, signed=True)
        assert result.shape == (3, 20 // cell(method, subject), 12 // cell(method, subject))
        assert result.isfinite().all()
        assert result.abs().max() > 0
        assert not result.requires_grad

    def test_precision(self, method: Method, subject: Any, images: Tensor) -> None:
        """Maps are float32 at least, and of the same image whatever the network runs in."""
        # Noise that is rounded has other superpixels; an even grid it keeps.
        parts = {"superpixels": "grid"} if "superpixels" in method.options else {}
        exact = maps(subject, method, images, subject.make().double(), signed=True, **parts)
        assert exact.dtype == torch.float64
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            result = maps(subject, method, images, subject.make().to(dtype), signed=True, **parts)
            assert result.dtype == torch.float32
            similarity = torch.cosine_similarity(result.double().flatten(1), exact.flatten(1))
            # guided gradients may all be cut off
            nothing = (result == 0).flatten(1).all(1) & (exact == 0).flatten(1).all(1)
            similarity = similarity.where(~nothing, 1)
            # On its way to the pixels a gradient passes every ReLU, and a rounded number may lie on its other side.
            in_half = 0.1 if PIXEL_GRADIENT_INPUTS & set(method.needs) else 0.05
            allowed = 1e-5 if dtype.itemsize > 2 else in_half
            assert_close(
                similarity, torch.ones_like(similarity), rtol=0, atol=allowed, msg=lambda m, d=dtype: f"{d}: {m}"
            )

    def test_same_twice_bit_for_bit(self, method: Method, subject: Any, images: Tensor) -> None:
        network = subject.make()
        first_maps, again = (maps(subject, method, images, network) for _ in range(2))
        assert_close(again, first_maps, rtol=0, atol=0)
        assert_close(reference(subject, method, images), first_maps, rtol=0, atol=0)

    def test_a_batch_is_its_images(self, method: Method, subject: Any, images: Tensor) -> None:
        network = subject.make().double()
        one_by_one = [maps(subject, method, image[None], network) for image in images]
        assert_close(maps(subject, method, images, network), torch.cat(one_by_one))

    def test_several_targets_are_each_of_them(self, method: Method, subject: Any, images: Tensor) -> None:
        network, targets = subject.make().double(), [2, 0, "1 rather than 3", None, torch.tensor([3, 0, 1])]
        result = maps(subject, method, images, network, target=targets)
        assert result.shape[:2] == (3, 5)
        for t, target in enumerate(targets):
            assert_close(result[:, t], maps(subject, method, images, network, target=target))

    def test_several_layers_are_each_of_them(self, method: Method, subject: Any, images: Tensor) -> None:
        layers = ["layer"] if "head_weights" in method.needs else list(subject.layers)
        if not method.needs_layer:
            with pytest.raises(MethodError, match="takes no layer"):
                maps(subject, method, images, layer=layers)
            return
        network = subject.make().double()
        result = maps(subject, method, images, network, layer=layers)
        assert list(result) == layers
        for layer, map_ in result.items():
            assert_close(map_, maps(subject, method, images, network, layer=layer))

    def test_constant_images(self, method: Method, subject: Any) -> None:
        network = subject.make()
        for value in (0.0, 1.0, -3.0):
            assert maps(subject, method, torch.full((1, 3, 20, 12), value), network).isfinite().all(), value

    def test_a_wide_image(self, method: Method, subject: Any, images: Tensor) -> None:
        result = maps(subject, method, images.mT[..., :8, :])
        assert result.shape == (3, 8 // cell(method, subject), 20 // cell(method, subject))
        assert result.isfinite().all()

    def test_class_free_is_correct(self, method: Method, subject: Any, images: Tensor) -> None:
        result = maps(subject, method, images, target=[0, 1, 2, 3], signed=True)
        same = all(torch.equal(result[:, 0], result[:, t]) for t in range(1, 4))
        assert same == method.class_free

    def test_relu_is_correct(self, method: Method, subject: Any, images: Tensor) -> None:
        signed = reference(subject, method, images, signed=True)
        assert_close(reference(subject, method, images), signed.relu() if method.relu else signed)

    def test_unknown_options(self, method: Method, subject: Any, images: Tensor) -> None:
        with pytest.raises(MethodError, match=rf"{method.name} has no option 'sharpness'. Its options: "):
            maps(subject, method, images, sharpness="red")

    def test_equals_the_method_called_by_hand(self, method: Method, subject: Any, images: Tensor) -> None:
        """What the engine hands to a method is what plain hooks on the original network give."""
        network = subject.make().double()
        arguments = by_hand(network, subject, images.double())
        expected = method(*(arguments[need]() for need in method.needs), **few_runs(method))
        assert_close(maps(subject, method, images, network, signed=True), expected)


def by_hand(network: nn.Module, subject: Any, images: Tensor) -> dict[str, Callable[[], Any]]:
    """Every fixture a method may ask for, for `layer` and class 1: made with hooks and autograd, no engine."""
    size = (images.shape[2] // subject.stride, images.shape[3] // subject.stride)

    def run(change: Callable[[Tensor], Tensor]) -> Tensor:
        handle = network.get_submodule("layer").register_forward_hook(lambda _, __, output: change(output))
        try:
            result: Tensor = network(images)[:, 1]
        finally:
            handle.remove()
        return result

    kept: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        kept.append(output.detach().clone().requires_grad_())
        return kept[-1].clone()

    score = run(keep)
    (gradient,) = torch.autograd.grad(score.sum(), kept[0])
    activations = subject.grid(kept[0].detach(), size)

    def ablate(infill: float) -> Tensor:
        rows = []
        for channel in range(activations.shape[1]):

            def without(output: Tensor, channel: int = channel) -> Tensor:
                grid = subject.grid(output, size).clone()
                grid[:, channel] = infill
                return subject.ungrid(grid, output)

            rows.append(run(without).detach())
        return torch.stack(rows)

    def each(variants: Callable[[Tensor], Tensor], count: int) -> list[Tensor]:
        return [variants(torch.tensor([i]))[0] for i in range(count)]

    def forward(variants: Callable[[Tensor], Tensor], count: int, shared: object = None) -> Tensor:
        return torch.stack([network(v)[:, 1].detach() for v in each(variants, count)])

    def rerun(variants: Callable[[Tensor], Tensor], count: int, shared: object = None) -> Tensor:
        return torch.stack([run(partial(subject.ungrid, v)).detach() for v in each(variants, count)])

    def input_gradients(variants: Callable[[Tensor], Tensor], count: int, of: nn.Module = network) -> Any:
        for i, v in enumerate(each(variants, count)):
            images = v.detach().clone().requires_grad_()
            result = of(images.clone())[:, 1]
            (gradient,) = torch.autograd.grad(result.sum(), images)
            yield torch.tensor([i]), result.detach()[None], gradient[None]

    def curvature(direction: Tensor) -> Tensor:
        def of(x: Tensor) -> Tensor:
            return run(partial(subject.ungrid, x.clone())).sum()  # the rest may write in place

        return torch.autograd.functional.hvp(of, activations, direction)[1]

    def competing_classes(n: int) -> tuple[Tensor, Tensor]:
        """The classes nearest in score to class 1, each image's own, one backward pass of the whole network each."""
        with torch.no_grad():
            outputs = network(images)
        gradients, scores = torch.zeros(n, *activations.shape).to(activations), torch.zeros(n, len(images)).to(outputs)
        for i, row in enumerate(outputs.tolist()):
            other_classes = sorted({0, 2, 3}, key=lambda other: abs(row[other] - row[1]))
            for place, other in enumerate(other_classes[:n]):
                result: list[Tensor] = []

                def keep_it(output: Tensor, found: list[Tensor] = result) -> Tensor:
                    found.append(output.detach().clone().requires_grad_())
                    return found[0].clone()

                handle = network.get_submodule("layer").register_forward_hook(lambda _, __, o, keep=keep_it: keep(o))
                score_of_it = network(images[i : i + 1])[0, other]
                handle.remove()
                (gradient,) = torch.autograd.grad(score_of_it, result[0])
                gradients[place, i], scores[place, i] = subject.grid(gradient, size)[0], row[other]
        return gradients, scores

    def layer_relevance(*_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        result = relevance_by_hand.at_layer(network, kept[0], images, 1)
        return subject.grid(result, size), torch.zeros(len(images))

    def look(images_: Tensor) -> tuple[Tensor, Tensor]:
        arguments = by_hand(network, subject, images_)
        return arguments["activations"](), arguments["gradients"]()

    def attended() -> tuple[Attention, tuple[Tensor, ...]]:
        x = network.stem(images).flatten(2).mT
        x = torch.cat([network.token.expand(len(x), -1, -1), x], dim=1)
        y = network.layer(x)
        weights = (network.query(y) @ network.key(y).mT / 8**0.5).softmax(-1).detach().requires_grad_()
        result = network.head(network.norm(x + weights @ network.value(y))[:, 0])[:, 1]
        (gradient,) = torch.autograd.grad(result.sum(), weights)
        read = torch.eye(x.shape[1], dtype=x.dtype)[0]
        image = (images.shape[2], images.shape[3])
        return Attention((weights.detach()[:, None],), read, 1, size, image), (gradient[:, None],)

    return {
        "attention": lambda: attended()[0],
        "attention_gradients": lambda: attended()[1],
        "inputs": lambda: images,
        "score_inputs": lambda: forward,
        "score_activations": lambda: rerun,
        "input_gradients": lambda: input_gradients,
        "guided": lambda: partial(input_gradients, of=with_relus(network, guided=True)),
        "deconvolved": lambda: partial(input_gradients, of=with_relus(network, guided=False)),
        "hvp": lambda: curvature,
        "layer_at": lambda: look,
        "relevance": lambda: lambda *_, **__: relevance_by_hand.at_images(network, images, 1),
        "layer_relevance": lambda: layer_relevance,
        "multipliers": lambda: lambda start: Paired.multipliers(network, images, start),
        "bias_gradients": lambda: lambda: Probed().gradients(network, images),
        "report": lambda: lambda name, value: None,
        "progress": lambda: lambda done, total: None,
        "competing_classes": lambda: competing_classes,
        "activations": lambda: activations,
        "gradients": lambda: subject.grid(gradient, size),
        "score": lambda: score.detach(),
        "ablate": lambda: ablate,
        "head_weights": lambda: network.head.weight[1].detach().expand(len(images), -1),
    }


class RuledReLU(torch.autograd.Function):
    """Backwards only what is positive; with `guided` only where the ReLU was open."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, guided: bool) -> Tensor:
        ctx.open = x > 0 if guided else torch.ones_like(x, dtype=torch.bool)
        return x * (x > 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return gradient * (gradient > 0) * ctx.open, None


class Ruled(nn.Module):
    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.guided = guided

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = RuledReLU.apply(x, self.guided)
        return out


def with_relus(network: nn.Module, *, guided: bool) -> nn.Module:
    """A copy with every ReLU module exchanged for one with another backward pass."""
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(module, name, Ruled(guided))
    return copied


def run_layers(network: nn.Module, x: Any, run: Any) -> Any:
    """The networks' `forward`, step by step, as `run` takes the steps."""
    kind = type(network).__name__
    if kind == "Plain":
        for block in (network.stem, network.layer):
            x = run.curve(torch.relu, run.affine(block[1], run.affine(block[0], x)))
        x = run.plain(lambda x: x.mean((2, 3)), x)
    elif kind == "Skip":
        x = run.curve(torch.relu, run.affine(network.stem, x))
        y = run.affine(network.layer, run.curve(torch.relu, run.affine(network.one, x)))
        x = run.windows(run.curve(torch.relu, run.plain(torch.add, y, x)))
        return run.affine(network.head[3], run.curve(torch.relu, run.affine(network.head[0], x)))
    elif kind == "Tokens":
        x = run.plain(lambda x: x.flatten(2).mT, run.affine(network.stem, x))
        x = run.plain(lambda x: torch.cat([network.token.expand(len(x), -1, -1), x], dim=1), x)
        y = run.norm(network.layer, x)
        q, k, v = (run.affine(part, y) for part in (network.query, network.key, network.value))
        w = run.softmax(run.product(lambda q, k: q @ k.mT / 8**0.5, q, k))
        x = run.plain(torch.add, x, run.product(torch.matmul, w, v))
        x = run.norm(network.norm, run.plain(lambda x: x[:, 0], x))
    else:
        x = run.norm(network.norm, run.plain(lambda x: x.permute(0, 2, 3, 1), run.affine(network.stem, x)))
        x = run.curve(F.gelu, run.affine(network.layer[0], x))
        x = run.plain(lambda x: x.mean((1, 2)), x)
    return run.affine(network.head, x)


class Paired:
    """DeepLIFT: everything is (of the image, of the baseline), a step's gradient on the image is the multiplier."""

    @classmethod
    def multipliers(cls, network: nn.Module, images: Tensor, start: Tensor) -> Tensor:
        x = images.clone().requires_grad_()
        result: Tensor = torch.autograd.grad(run_layers(network, (x, start), cls())[0][:, 1].sum(), x)[0]
        return result

    def plain(self, f: Any, *xs: Any) -> Any:
        return f(*(x for x, _ in xs)), f(*(x0 for _, x0 in xs)).detach()

    affine = plain

    def moved(self, value: Tensor, step: Tensor, value0: Tensor) -> Any:
        """`value`, with the gradient of `step`."""
        return value.detach() + step - step.detach(), value0.detach()

    def curve(self, f: Any, pair: Any) -> Any:
        x, x0 = pair
        gradient = (f(x) - f(x0)).detach() / (x - x0).detach()
        return self.moved(f(x), torch.where(x == x0, torch.special.expit(x) * 0, gradient * x), f(x0))

    def product(self, f: Any, a: Any, b: Any) -> Any:
        middle = [((x + x0) / 2).detach() for x, x0 in (a, b)]
        return self.moved(f(a[0], b[0]), f(a[0], middle[1]) + f(middle[0], b[0]), f(a[1], b[1]))

    def softmax(self, pair: Any) -> Any:
        x, x0 = pair
        s, s0 = x.softmax(-1).detach(), x0.softmax(-1)
        mean = (s - s0) / (s.log() - s0.log())
        step = mean * (x - (mean * x).sum(-1, keepdim=True) / mean.sum(-1, keepdim=True))
        return self.moved(s, step, s0)

    def norm(self, module: Any, pair: Any) -> Any:
        (c, c0) = (x - x.mean(-1, keepdim=True) for x in pair)
        sigma, sigma0 = ((x.square().mean(-1, keepdim=True) + module.eps).sqrt().detach() for x in (c, c0))
        y, y0, width = (c / sigma).detach(), c0 / sigma0, sigma + sigma0
        spread = ((c + c0).detach() * c).mean(-1, keepdim=True) / width
        step = (2 * c - (y + y0) * spread) / width
        return self.moved(y * module.weight + module.bias, step * module.weight, y0 * module.weight + module.bias)

    def windows(self, pair: Any) -> Any:
        """`AdaptiveMaxPool2d(2)` of 10 x 6, flattened: what rises from the largest of x, what falls to that of x0."""
        x, x0 = (v.unflatten(2, (2, 5)).unflatten(4, (2, 3)).transpose(3, 4).flatten(4) for v in pair)
        (top, at), (top0, at0) = x.max(-1), x0.max(-1)
        here, there = (torch.where(top > top0, 1.0, 0.0), torch.where(top < top0, 1.0, 0.0))
        step = torch.zeros_like(top)
        for indices, mask in ((at, here), (at0, there)):
            one, one0 = (v.gather(-1, indices[..., None])[..., 0] for v in (x, x0))
            gradient = (top - top0).detach() / torch.where(mask > 0, one - one0, 1).detach()
            step = step + mask * gradient * one
        result, found0 = self.moved(top, step, top0)
        return result.flatten(1), found0.flatten(1)


class Probed:
    """Full gradients: a probe of zeros is added to what every step gave, and has the score's gradient there."""

    def __init__(self) -> None:
        self.probes: list[tuple[Tensor, Tensor]] = []

    def gradients(self, network: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = images.clone().requires_grad_()
        score = run_layers(network, x, self)[:, 1].sum()
        result = torch.autograd.grad(score, [x, *(probe for probe, _ in self.probes)])
        biases = [g * bias for g, (_, bias) in zip(result[1:], self.probes, strict=True)]
        return result[0], [self.placed(bias, images) for bias in biases]

    def placed(self, bias: Tensor, images: Tensor) -> Tensor:
        if bias.ndim == 3:  # the tokens' class token is the first, their grid 5 x 3
            return bias[:, 1:].mT.unflatten(2, (5, 3))
        if bias.ndim == 4:  # the grid stands last, unless channels do
            return bias if bias.shape[2] > bias.shape[3] else bias.permute(0, 3, 1, 2)
        return bias.sum(1)

    def probed(self, y: Tensor, bias: Tensor) -> Tensor:
        probe = torch.zeros_like(y, requires_grad=True)
        self.probes.append((probe, bias.detach()))
        return y + probe

    def affine(self, module: Any, x: Tensor) -> Tensor:
        return self.probed(
            module(x), module(torch.zeros_like(x)) if type(module) is not nn.Conv2d else (module.bias[:, None, None])
        )

    def plain(self, f: Any, *xs: Any) -> Tensor:
        result: Tensor = f(*xs)
        return result

    product = plain

    def softmax(self, x: Tensor) -> Tensor:
        return x.softmax(-1)

    def curve(self, f: Any, x: Tensor) -> Tensor:
        return self.probed(f(x), f(x) - torch.autograd.functional.jvp(f, x.detach(), x.detach())[1])

    norm = curve

    def windows(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x, 2).flatten(1)


# --- what is written about it ---


def test_is_documented(method: Method) -> None:
    assert method.summary.endswith(".") or ":" in method.doc.partition("\n")[0]
    assert len(method.summary) > 20
    assert re.search(r"\b(19|20)\d\d\b", method.paper), "which paper, of which year?"
    assert re.search(r"eq\. \d| = ", method.paper), "which equation?"
    assert method.deviation  # "none" is a fine value
    for name in (*method.needs, *method.options, "returns"):
        assert re.search(rf"^{name}\b", method.doc, re.MULTILINE), f"the docstring does not say what {name} is"


def test_is_a_short_file(method: Method) -> None:
    source = Path(inspect.getsourcefile(method.function) or "")
    assert source.stem == method.name
    assert len(source.read_text().splitlines()) <= 60


def test_options_have_defaults(method: Method) -> None:
    assert inspect.Parameter.empty not in method.options.values()
    assert method.with_options({}) == dict(method.options)


# --- the network is never touched ---


def state_of(network: nn.Module) -> dict[str, Any]:
    """Everything of a network that explaining could change."""
    return {
        "grad mode": torch.is_grad_enabled(),
        "generator": torch.get_rng_state().tolist(),
        "modules": [
            (
                name,
                id(module),
                module.training,
                "forward" in vars(module),
                getattr(module, "inplace", None),
                sorted(vars(module)),
                [list(v) for k, v in sorted(vars(module).items()) if k.endswith("_hooks")],
            )
            for name, module in network.named_modules()
        ],
        "tensors": [
            (name, id(t), t.data_ptr(), t.requires_grad, t._version, t.detach().flatten().tolist())
            for name, t in (*network.named_parameters(), *network.named_buffers())
        ],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in network.parameters()],
    }


class Oops(Exception):
    pass


def raise_oops(output: Tensor) -> Tensor:
    raise Oops


ENDS = ["success", "wrong class", "layer raises", "Ctrl-C", "target raises", "no such layer"]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("end", ENDS)
def test_the_network_is_unmodified(
    method: Method, subject_in_turn: Callable[[int], Any], images: Tensor, trap: Any, end: str, training: bool
) -> None:
    """Every method ends in every way, in both modes, on networks in turn, so that each network is met in both modes."""
    subject = subject_in_turn(ENDS.index(end) + 2 * training)
    network = subject.make().train(training)
    next(network.parameters()).requires_grad_(False)
    list(network.parameters())[1].grad = torch.ones_like(list(network.parameters())[1])
    before, pixels = state_of(network), images.clone()
    rest: dict[str, Any] = {}
    expected: type[BaseException] | None = None
    if end == "wrong class":
        rest, expected = {"target": 4}, TargetError
    elif end == "no such layer":
        rest, expected = {"layer": "layer9"}, CamlucidaError  # or that it takes none
    elif end == "target raises":
        rest, expected = {"target": raise_oops}, TargetError
    elif end in ("layer raises", "Ctrl-C"):
        maps(subject, method, images, network)  # so that the next run gets as far as the trap, in every kind of run
        trap.raises = expected = Oops if end == "layer raises" else KeyboardInterrupt
    if expected is None:
        maps(subject, method, images, network, **rest)
    else:
        with pytest.raises(expected):
            maps(subject, method, images, network, **rest)
    trap.raises = None
    assert state_of(network) == before
    assert torch.equal(images, pixels)
    assert maps(subject, method, images, network).isfinite().all()  # and nothing of ours is broken


def test_whatever_grad_mode_is_around(method: Method, subject: Any, images: Tensor) -> None:
    network, expected = subject.make(), reference(subject, method, images)
    for around in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with around():
            result = maps(subject, method, images, network)
        assert_close(result, expected, rtol=0, atol=0)
