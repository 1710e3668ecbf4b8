"""Yardsticks for the engine: a model's state byte for byte, autograd by hand, substitution by a hook.

They do not use the engine; every test compares what the engine says with what these find.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")


def _bytes(tensor: Tensor | None) -> Any:
    if tensor is None:
        return None
    plain = tensor.detach().contiguous().view(-1).view(torch.uint8) if tensor.numel() else tensor
    return str(tensor.dtype), tuple(tensor.shape), plain.numpy().tobytes()


def _attribute(value: Any) -> Any:
    """What an attribute is, without running code of the object: tensors by their bytes, others by who they are."""
    if isinstance(value, Tensor):
        return id(value), value.data_ptr(), _bytes(value)
    if isinstance(value, list | tuple):
        return id(value), tuple(_attribute(part) for part in value)
    if isinstance(value, bool | int | float | str):
        return value
    return id(value)


def _state(network: nn.Module) -> dict[str, Any]:
    state: dict[str, Any] = {"grad mode": torch.is_grad_enabled(), "inference mode": torch.is_inference_mode_enabled()}
    for name, module in network.named_modules(remove_duplicate=False):
        state[f"{name} mode"] = module.training
        state[f"{name} hooks"] = {kind: list(vars(module)[kind].items()) for kind in HOOKS}
        state[f"{name} own forward"] = "forward" in vars(module)
        own = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        state[f"{name} attributes"] = {k: _attribute(v) for k, v in own.items()}
        for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
            for key, tensor in tensors.items():
                if tensor is not None:
                    state[f"{name} {kind} {key}"] = (
                        id(tensor),
                        tensor.data_ptr(),
                        tensor.requires_grad,
                        0 if tensor.is_inference() else tensor._version,
                        _bytes(tensor),
                        _bytes(tensor.grad) if tensor.is_leaf else None,
                    )
    return state


@pytest.fixture
def state() -> Callable[[nn.Module], dict[str, Any]]:
    """Everything about a network that explaining it must leave alone."""
    return _state


@pytest.fixture
def autograd() -> Callable[..., tuple[Tensor, Tensor]]:
    """Activation and gradient of one call of a layer by plain autograd on the network itself.

    The network is run with in-place operations as it has them: what the layer returned is cloned by the hook.
    """

    def measure(
        network: nn.Module, name: str, inputs: Any, score: Callable[[Any], Tensor], call: int = 1, part: Any = None
    ) -> tuple[Tensor, Tensor]:
        kept: list[Tensor] = []
        calls = [0]

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            calls[0] += 1
            if calls[0] != call:
                return None
            tensor = output if part is None else output[part]
            leaf = tensor.detach().clone().requires_grad_()
            kept.append(leaf)
            handed = leaf.clone()
            if part is None:
                return handed
            if isinstance(output, dict):
                return type(output)({**output, part: handed})
            parts = list(output)
            parts[part] = handed
            return tuple(parts)

        handle = network.get_submodule(name).register_forward_hook(hook)
        try:
            with torch.enable_grad():
                output = network(*inputs) if isinstance(inputs, tuple) else network(inputs)
                (gradient,) = torch.autograd.grad(score(output).sum(), kept)
        finally:
            handle.remove()
        return kept[0].detach(), gradient

    return measure


@pytest.fixture
def substituted() -> Callable[..., Any]:
    """The network's output when one call of a layer returns something else, by a hook in the whole network."""

    def measure(network: nn.Module, name: str, inputs: Any, new: Callable[[Any], Any], call: int = 1) -> Any:
        calls = [0]

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            calls[0] += 1
            return new(output) if calls[0] == call else None

        handle = network.get_submodule(name).register_forward_hook(hook)
        try:
            with torch.no_grad():
                return network(*inputs) if isinstance(inputs, tuple) else network(inputs)
        finally:
            handle.remove()

    return measure


@pytest.fixture
def close() -> Callable[..., None]:
    """Equal to within 1e-6 of the largest number (or what is asked for)."""

    def check(found: Tensor, expected: Tensor, relative: float = 1e-6) -> None:
        largest = expected.abs().max().item()
        assert largest > 0, "nothing to compare: all of it is zero"
        torch.testing.assert_close(found, expected, rtol=0, atol=relative * largest)

    return check


def _evaluated(network: Any, images: Tensor) -> Tensor:
    """What the network answers when everything that it reaches is in eval mode; it is put back as it was."""
    held: list[nn.Module] = []
    original = nn.Module.__call__

    def noting(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if module.training:
            held.append(module)
            module.training = False
        return original(module, *args, **kwargs)

    nn.Module.__call__ = noting  # type: ignore[method-assign]
    try:
        with torch.no_grad():
            output: Tensor = network(images)
            return output
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
        for module in held:
            module.training = True


@pytest.fixture
def evaluated() -> Callable[[nn.Module, Tensor], Tensor]:
    """The network's answer with all that it reaches in eval mode, by the network itself."""
    return _evaluated


def _every_tensor(network: Any) -> list[bytes]:
    """The bytes of everything below the network that is a tensor, found by the garbage collector."""
    waiting, seen, found = [network], set(), []
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, types.ModuleType):
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            found.append(value.detach().numpy().tobytes())
            waiting.append(value.__dict__)
        elif isinstance(value, types.FunctionType):
            waiting += [c.cell_contents for c in value.__closure__ or ()]
            waiting += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *vars(value).values()]
        elif isinstance(value, type) and value.__module__.partition(".")[0] in (
            "torch",
            "builtins",
            "numpy",
            "camlucida",
        ):
            continue
        else:
            waiting += gc.get_referents(value)
    return sorted(found)


@pytest.fixture
def every_tensor() -> Callable[[Any], list[bytes]]:
    """The bytes of all tensors that an object leads to."""
    return _every_tensor
