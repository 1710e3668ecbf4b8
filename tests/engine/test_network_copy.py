"""Is the caller's model never touched, and is the copy the same network?"""

from __future__ import annotations

import gc
import io
import logging
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of, trace
from camlucida.engine.layer_specs import resolve
from camlucida.engine.network_copy import NetworkCopy
from camlucida.errors import LayerError, MethodError, ModelError, TargetError

State = Callable[[nn.Module], dict[str, Any]]


class Small(nn.Module):
    """A little of everything that has a state: batch norm, dropout, in-place ReLU, a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out = self.block(x)
        out += x
        return self.head(self.drop(self.relu(out)).mean((2, 3)))


class Counting(Small):
    """Writes to a buffer, a loose tensor, a list and an attribute whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(3))
        self.loose = torch.zeros(2)
        self.history: list[Tensor] = []
        self.recent: deque[Tensor] = deque(maxlen=2)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.loose += 1
        self.calls += 1
        self.last = super().forward(x)
        self.history.append(self.last)
        self.recent.append(self.last)
        return self.last


class Raising(nn.Module):
    """Passes its input on until it is armed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 1)
        self.error: type[BaseException] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.error is not None:
            raise self.error("out of order")
        result: Tensor = self.conv(x)
        return result


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 12, 12)


def with_gradients(network: nn.Module) -> nn.Module:
    """As in the middle of training: `.grad` is filled, some parameters are frozen, the caller has hooks."""
    for i, p in enumerate(network.parameters()):
        p.grad = torch.randn_like(p)
        p.requires_grad_(i % 3 != 0)
    network.register_forward_hook(lambda module, args, output: None)
    network.register_full_backward_hook(lambda module, into, out: None)
    return network


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", [Small, Counting])
@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam"])
def test_attribute_leaves_the_model_alone(
    state: State, images: Tensor, kind: type[nn.Module], training: bool, method: str
) -> None:
    network = with_gradients(kind()).train(training)
    before, pixels = state(network), images.clone()
    attribute(network, images, target=1, layer=["stem.1", "block", None], method=method)
    assert state(network) == before
    assert torch.equal(images, pixels)
    assert images.grad is None


def test_the_reference_check_sees_every_kind_of_touch(state: State) -> None:
    def write(network: Any) -> None:
        network.head.weight.data.add_(1)

    touches: list[Callable[[Any], Any]] = [
        lambda n: n.relu.train(not n.relu.training),
        lambda n: n.head.register_forward_hook(print),
        lambda n: n.head.weight.requires_grad_(False),
        lambda n: n.stem[1].running_mean.add_(1),
        lambda n: setattr(n.head.weight, "grad", torch.ones_like(n.head.weight)),
        lambda n: setattr(n.head, "forward", n.head.forward),
        lambda n: setattr(n.relu, "inplace", False),
        lambda n: setattr(n, "last", 1),
        lambda n: setattr(n.head, "weight", nn.Parameter(n.head.weight.detach().clone())),
        write,
    ]
    for touch in touches:
        network = Small()
        before = state(network)
        touch(network)
        assert state(network) != before


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"target": 99}, TargetError),
        ({"target": "cat"}, TargetError),
        ({"target": lambda scores: scores}, TargetError),
        ({"layer": "layer9"}, LayerError),
        ({"layer": "head"}, LayerError),
        ({"layer": 17}, LayerError),
    ],
)
def test_mistakes_leave_the_model_alone(
    state: State, images: Tensor, wrong: dict[str, Any], error: type[Exception]
) -> None:
    network = with_gradients(Counting()).train()
    before = state(network)
    with pytest.raises(error):
        attribute(network, images, **wrong)
    assert state(network) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_layer_that_raises_leaves_the_model_alone(
    state: State, images: Tensor, error: type[BaseException], where: str
) -> None:
    network = with_gradients(Small()).train()
    raising = Raising()
    network.get_submodule("stem" if where == "before" else "block").append(raising)
    raising.error = error
    before = state(network)
    with pytest.raises(error, match="out of order"):
        attribute(network, images, target=0, layer="block.1")
    assert state(network) == before
    raising.error = None
    assert attribute(network, images, target=0, layer="block.1").isfinite().all()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_the_traced_run_leaves_no_grad_mode_behind(images: Tensor, error: type[BaseException]) -> None:
    """The survey succeeds, the traced run raises right after the layer, where grad mode has been switched on."""

    class Late(Small):
        def forward(self, x: Tensor) -> Tensor:
            result = super().forward(x)
            if len(x) == 2 and armed:
                raise error("late")
            return result

    armed = False
    network = Late()
    copied = copy_of(network)
    layers = resolve(copied, images[:1], ["block"])
    armed = True
    for mode in (True, False):
        with torch.set_grad_enabled(mode):
            with pytest.raises(error, match="late"):
                trace(copied, images, layers, gradients=True)
            assert torch.is_grad_enabled() is mode
    armed = False
    assert torch.equal(trace(copied, images, layers).output, network.eval()(images))  # no run is left at work


@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam"])
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("made_in", [torch.enable_grad, torch.inference_mode])
def test_contexts_of_the_caller(state: State, method: str, context: Any, made_in: Any) -> None:
    with made_in():
        torch.manual_seed(1)
        network = Small().eval()
    torch.manual_seed(1)
    plain = Small().eval()
    expected = attribute(plain, torch.ones(1, 3, 12, 12).cumsum(3), target=2, layer="block", method=method)
    with context():
        images = torch.ones(1, 3, 12, 12).cumsum(3)
        before = state(network)
        result = attribute(network, images, target=2, layer="block", method=method)
        assert state(network) == before
    assert torch.equal(result, expected)
    assert not result.requires_grad


def test_layers_may_be_looked_up_inside_inference_mode() -> None:
    with torch.inference_mode():
        images = torch.randn(1, 3, 12, 12)
        assert resolve(copy_of(Small()), images, [None])[0].name == "relu"


def test_train_mode_explains_the_network_as_it_is_used(images: Tensor) -> None:
    network = Small()
    network(images)  # one training step's worth of statistics
    evaluated = attribute(network.eval(), images, target=0, layer="block")
    trained = attribute(network.train(), images, target=0, layer="block")
    assert torch.equal(trained, evaluated)


def test_all_frozen(images: Tensor) -> None:
    network = Small().eval()
    expected = attribute(network, images, target=0, layer="block")
    assert torch.equal(attribute(network.requires_grad_(False), images, target=0, layer="block"), expected)


def test_parameters_are_shared_and_buffers_are_not() -> None:
    network = Counting()
    copied = copy_of(network)
    for (name, own_value), theirs in zip(network.named_parameters(), copied.module.parameters(), strict=True):
        assert own_value.data_ptr() == theirs.data_ptr(), name
        assert own_value is not theirs
        assert not theirs.requires_grad
    for (name, own_value), theirs in zip(network.named_buffers(), copied.module.buffers(), strict=True):
        assert own_value.data_ptr() != theirs.data_ptr(), name
        assert torch.equal(own_value, theirs)


def test_an_optimisers_step_is_seen_without_a_new_copy(images: Tensor) -> None:
    network = Small().eval()
    copied = copy_of(network)
    old = trace(copied, images, []).output
    optimiser = torch.optim.SGD(network.parameters(), lr=0.5)
    network(images).square().sum().backward()
    optimiser.step()
    assert copy_of(network) is copied
    assert torch.equal(trace(copied, images, []).output, network(images))
    assert not torch.equal(trace(copied, images, []).output, old)


def _assigned(network: Small) -> None:
    network.load_state_dict({k: v.clone() + 0.25 for k, v in network.state_dict().items()}, assign=True)


def _loaded_statistics(network: Small) -> None:
    network.load_state_dict({k: v.clone() * 1.5 for k, v in network.state_dict().items()})


def _trained(network: Small) -> None:
    network.train()(torch.randn(4, 3, 12, 12))
    network.eval()


def _strided(network: Small) -> None:
    network.block[0].padding = (2, 2)
    network.block[0].dilation = (2, 2)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "to(float64)": lambda n: n.to(torch.float64),
    "load_state_dict(assign=True)": _assigned,
    "load_state_dict": _loaded_statistics,
    "a new head": lambda n: setattr(n, "head", nn.Linear(6, 4)),
    "a new head after deleting the old one": lambda n: (delattr(n, "head"), setattr(n, "head", nn.Linear(6, 4))),
    "an activation exchanged": lambda n: setattr(n, "relu", nn.GELU()),
    "batch statistics updated by training": _trained,
    "a weight exchanged": lambda n: setattr(n.head, "weight", nn.Parameter(torch.ones(4, 6))),
    "weights written to": lambda n: n.head.weight.data.mul_(2),
    "a setting": _strided,
    "a loose number": lambda n: setattr(n.block[1], "eps", 0.5),
    "a forward hook": lambda n: n.block.register_forward_hook(lambda module, args, output: output * 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_copy_follows(images: Tensor, change: str) -> None:
    network = Small().eval()
    old = trace(copy_of(network), images, []).output.double()
    CHANGES[change](network)
    images = images.to(next(network.parameters()).dtype)
    with torch.no_grad():
        expected = network(images)
    assert torch.equal(trace(copy_of(network), images, []).output, expected)
    if change != "to(float64)":
        assert not torch.equal(expected.double(), old)


def test_a_loose_tensor_is_followed(images: Tensor) -> None:
    class Scaled(Small):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.ones(())

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.scale

    network = Scaled().eval()
    for change in (lambda: network.scale.fill_(3), lambda: setattr(network, "scale", torch.tensor(5.0))):
        trace(copy_of(network), images, [])
        change()
        assert torch.equal(trace(copy_of(network), images, []).output, network(images))


def test_the_copy_is_kept_and_is_freed_with_the_network(images: Tensor) -> None:
    network = Small()
    copied = copy_of(network)
    network(images)  # in train mode: batch statistics change, so the next copy is another one
    assert copy_of(network) is not copied
    copied = copy_of(network.eval())
    network(images)
    attribute(network, images, target=0)
    assert copy_of(network.train()) is copied
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


# --- networks that are hard to copy -------------------------------------------------------------------------


def assert_same_network(network: nn.Module, images: Tensor, state: State, layer: str) -> None:
    """The copy computes the same, gives a map, and the network is as it was."""
    with torch.no_grad():
        expected = network.eval()(images)
    before = state(network)
    copied = copy_of(network)
    run = trace(copied, images, resolve(copied, images, [layer]), gradients=True, rerun=True)
    assert torch.equal(run.output.detach(), expected)
    ((gradient,),) = run.gradients(run.output[:, 0][None])
    assert gradient.abs().max() > 0
    activations = run.layers[0].activations
    torch.testing.assert_close(run.rerun(run.layers[0], activations[1:], 1), expected[1:])
    assert state(network) == before


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("step", [False, True])
@pytest.mark.parametrize(
    "normalise",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
    ],
)
def test_normalised_weights(images: Tensor, state: State, normalise: Any, step: bool) -> None:
    network = Small()
    normalise(network.head)
    normalise(network.block[0])
    if step:  # leaves a weight with a graph behind it on the module
        network(images).sum().backward()
    assert_same_network(network, images, state, "block")


def test_a_model_that_stashes_its_output(images: Tensor, state: State) -> None:
    network = Counting()
    network(images)
    assert network.last.grad_fn is not None
    assert_same_network(network, images, state, "block")


def test_what_hangs_on_the_model_leads_to_the_copy(images: Tensor, state: State) -> None:
    class Trainer:
        def __init__(self, model: nn.Module) -> None:
            self.model = model
            self.lock = threading.Lock()

        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("no code of the user's runs for the copy")

    with io.BytesIO() as file:
        network = Small()
        network.trainer = Trainer(network)
        network.lock = threading.RLock()
        network.file = file
        network.log = logging.getLogger("test")
        network.block.callbacks = [Trainer(network), (i for i in range(3))]
        network.loaders = {"train": Trainer(network)}
        assert_same_network(network, images, state, "block")
        copied = copy_of(network).module
        assert copied.trainer is not network.trainer
        assert copied.trainer.model is copied
        assert copied.trainer.lock is network.trainer.lock
        assert copied.file is file
        assert copied.loaders["train"].model is copied
        assert network.trainer.model is network


class Listed(nn.Module):
    """Keeps layers where PyTorch does not find them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout(0.5), nn.ReLU(inplace=True)]
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.more = {"head": nn.Linear(6, 4)}

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        result: Tensor = self.more["head"](self.conv(x).mean((2, 3)))
        return result


def test_layers_in_a_plain_list(images: Tensor) -> None:
    """`network.eval()` does not reach them. In the copy they are in eval mode, in the network they stay as they are."""
    network = Listed().eval()
    before = [layer.training for layer in network.hidden], network.hidden[1].running_mean.clone()
    copied = copy_of(network)
    run = trace(copied, images, resolve(copied, images, ["conv"]), gradients=True, rerun=True)
    assert before[0] == [True] * 4 == [layer.training for layer in network.hidden]
    assert torch.equal(before[1], network.hidden[1].running_mean)
    assert copied.module.hidden[0].weight.data_ptr() == network.hidden[0].weight.data_ptr()
    activations = run.layers[0].activations
    for layer in network.hidden:
        layer.eval()
    assert torch.equal(run.output.detach(), network(images))
    torch.testing.assert_close(run.rerun(run.layers[0], activations[:1], 0), network(images[:1]))


@pytest.mark.parametrize("method", [True, False], ids=["closes over the method", "closes over the module"])
def test_a_closure_put_in_place_of_forward(images: Tensor, state: State, method: bool) -> None:
    """A patched `forward` runs the copy's modules, not the caller's: in train mode those would change."""
    network = Small().train()
    block = network.block
    old = block.forward

    def patched(x: Tensor, scale: float = 2.0) -> Tensor:
        return scale * (old(x) if method else nn.Sequential.forward(block, x))

    block.forward = patched  # type: ignore[method-assign]
    before = state(network)
    result = attribute(network, images, target=0, layer="block.1", signed=True)
    assert state(network) == before
    block.forward = old  # type: ignore[method-assign]
    network.head.weight.data *= 1.0
    plain = attribute(network, images, target=0, layer="block.1", signed=True)
    assert not torch.equal(result, plain)
    assert block.forward is not patched


def test_a_forward_put_on_the_instance(images: Tensor, state: State) -> None:
    network = Small()
    plain = network.block.forward

    def twice(self: nn.Sequential, x: Tensor) -> Tensor:
        return nn.Sequential.forward(self, x) * 2

    network.block.forward = types.MethodType(twice, network.block)
    assert network.block.forward != plain
    assert_same_network(network, images, state, "block")


def test_tied_weights(images: Tensor, state: State) -> None:
    class Tied(Small):
        def __init__(self) -> None:
            super().__init__()
            self.again = nn.Linear(4, 6, bias=False)
            self.again.weight = nn.Parameter(torch.randn(6, 4))
            self.head.weight = nn.Parameter(torch.randn(6, 6))
            self.head.bias = None
            self.third = nn.Linear(6, 6, bias=False)
            self.third.weight = self.head.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.third(super().forward(x))

    network = Tied()
    assert_same_network(network, images, state, "block")
    copied = copy_of(network).module
    assert copied.third.weight is copied.head.weight


def test_one_module_under_two_names(images: Tensor, state: State) -> None:
    class Twice(Small):
        def __init__(self) -> None:
            super().__init__()
            self.other = self.block

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.other(self.block(self.stem(x))).mean((2, 3)))

    network = Twice()
    assert_same_network(network, images, state, "other")
    copied = copy_of(network)
    block, other = resolve(copied, images, ["block", "other"])
    assert block.module is other.module is copied.named("other")
    assert (block.n_calls, other.call) == (2, 2)


WRAPPERS: list[Callable[[nn.Module], Any]] = [
    nn.DataParallel,
    lambda n: torch.compile(n, backend="eager"),
    lambda n: nn.DataParallel(torch.compile(n, backend="eager")),
    lambda n: torch.compile(nn.DataParallel(n), backend="eager"),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrappers_are_taken_off(images: Tensor, state: State, wrap: Any) -> None:
    network = Small().eval()
    expected = attribute(network, images, target=0, layer="block")
    before = state(network)
    assert torch.equal(attribute(wrap(network), images, target=0, layer="block"), expected)
    assert state(network) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("compile_", [torch.jit.script, lambda n: torch.jit.trace(n, torch.zeros(1, 3, 12, 12))])
def test_scripted_networks_are_refused_with_a_message(images: Tensor, compile_: Any) -> None:
    scripted = compile_(Small().eval())
    with pytest.raises(MethodError, match="TorchScript network, which has no layers that can be accessed"):
        attribute(scripted, images, method="grad_cam")
    with pytest.raises(ModelError, match="scripted or traced"):
        attribute(nn.DataParallel(scripted), images)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_scripted_part_runs_as_it_is(images: Tensor) -> None:
    network = Small().train()
    network.stem = torch.jit.script(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5)))
    copied = copy_of(network)
    run = trace(copied, images, resolve(copied, images, ["block"]), rerun=True)
    assert copy_of(network) is copied
    assert network.stem.training
    assert [m.training for m in network.stem.modules()] == [True] * 4
    assert int(dict(network.stem.named_buffers())["1.num_batches_tracked"]) == 0
    assert torch.equal(run.output, network.eval()(images))
    torch.testing.assert_close(run.rerun(run.layers[0], run.layers[0].activations[:1], 0), network(images[:1]))


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_lazy_layers_without_weights_are_refused_with_a_message(images: Tensor) -> None:
    network = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ModelError, match="lazy layers without weights"):
        attribute(network, images)
    network(images)
    assert attribute(network, images).isfinite().all()


class Stubborn(list[int]):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("one of a kind")


class StubbornLayer(nn.Identity):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("one of a kind")


def test_what_refuses_to_be_copied_is_named(images: Tensor) -> None:
    network = Small()
    network.block[0].notes = Stubborn([1, 2])
    with pytest.raises(ModelError, match=r"Small cannot be copied.*'block\.0\.notes' raised TypeError: one of a kind"):
        attribute(network, images)
    network = Small()
    network.block.append(StubbornLayer())
    with pytest.raises(ModelError, match=r"its layer 'block\.2' raised TypeError: one of a kind"):
        attribute(network, images)


def test_a_callers_forward_hook_works_on_the_copy(images: Tensor, state: State) -> None:
    """A hook may change what a layer returns, so it runs, with the copy's modules; it records into its own list."""
    network, seen = Small().train(), []

    def double(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        seen.append(module)
        return output * 2

    plain = trace(copy_of(network), images, []).output
    network.block.register_forward_hook(double)
    before = state(network)
    hooked = trace(copy_of(network), images, []).output
    attribute(network, images, target=0, layer="stem", method="ablation_cam")
    assert state(network) == before
    assert seen
    assert network.block not in seen
    assert torch.equal(hooked, network.eval()(images))
    assert not torch.equal(hooked, plain)


def test_a_hook_that_records_does_not_outdate_the_copy(images: Tensor) -> None:
    network, sizes = Small().eval(), []
    network.block.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    copied = copy_of(network)
    trace(copied, images, [])
    assert sizes == [2]
    assert copy_of(network) is copied


def test_backward_hooks_of_the_caller_do_not_fire(images: Tensor) -> None:
    network, fired = Small().eval(), []
    network.block.register_full_backward_hook(lambda module, into, out: fired.append(module))
    network.head.weight.register_hook(lambda gradient: fired.append(gradient))
    attribute(network, images, target=0, layer="stem")
    assert fired == []


def test_without_a_run_the_copy_is_a_plain_network(images: Tensor) -> None:
    network = Small().eval()
    copied = NetworkCopy(network)
    assert torch.equal(copied.module(images), network(images))
