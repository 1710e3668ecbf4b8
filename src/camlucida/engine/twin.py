"""The twin: a structural copy of a network that shares its weights, so that the network itself is never touched.

Explaining needs modules in eval mode, without in-place operations, and a way to look at what each of them
returns. Doing that to the caller's model means changing it and hoping to put everything back. The twin is a
second tree of modules around the *same* parameters, so all of it can be done there once. A twin serves many
threads at once: the run at work is found through a `ContextVar`, and with none at work a call is a plain call.
"""

from __future__ import annotations

import copy
import functools
import threading
import types
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from camlucida.errors import ModelError


class Run(Protocol):
    """Something that watches a twin while it runs: it is asked about every call of every module."""

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run `forward(*args, **kwargs)` of `module`, or answer in its place."""


_running: ContextVar[tuple[Twin, Run] | None] = ContextVar("camlucida_running", default=None)


class Twin:
    """A copy of `network` in eval mode that shares the parameters' storage and can be watched while it runs.

    Parameters are shared, so the copy costs no weights and follows an optimiser's steps. Buffers are copied:
    they are small, and a `forward` may write to them (a counter, running statistics).

    Raises `ModelError` for scripted networks, uninitialised lazy ones, and those that cannot be copied.
    """

    def __init__(self, network: nn.Module) -> None:
        source = unwrapped(network)
        self._source = weakref.ref(source)
        self._fingerprint = _fingerprint(source)
        self.module, everything = _copied(source)
        self.names: dict[nn.Module, str] = {m: name for name, m in self.module.named_modules()}
        self._modules = dict(self.module.named_modules(remove_duplicate=False))
        for module in everything:
            _calm(module)
            if module in self.names:
                self._watch(module)
        self.notes: dict[Any, Any] = {}
        """What was found out about the network (its layers, its batch axes), kept by those who found it out."""

    @property
    def fresh(self) -> bool:
        """Whether the twin still shares the network's weights (not after `.to()`, a new head, assigned weights)."""
        source = self._source()
        return source is not None and _fingerprint(source) == self._fingerprint

    def named(self, name: str) -> nn.Module | None:
        """The module of that name in the copy, also under a second name of a module that stands twice."""
        return self._modules.get(name)

    def run(self, run: Run, inputs: Any) -> Any:
        """Run the copy on `inputs` while `run` watches. A tensor, a tuple of arguments, or a dict of keywords."""
        with self.watched(run):
            if isinstance(inputs, tuple):
                return self.module(*inputs)
            if isinstance(inputs, dict):
                return self.module(**inputs)
            return self.module(inputs)

    @contextmanager
    def watched(self, run: Run) -> Iterator[None]:
        """While inside, `run` is asked about every call in this thread."""
        token = _running.set((self, run))
        try:
            yield
        finally:
            _running.reset(token)

    def _watch(self, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            return  # has no Python forward to look into; it just runs
        plain = module.forward

        @functools.wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            at_work = _running.get()
            if at_work is None or at_work[0] is not self:
                return plain(*args, **kwargs)
            return at_work[1].call(module, plain, args, kwargs)

        module.forward = forward


def duplicate(network: nn.Module) -> nn.Module:
    """A structural copy in eval mode that shares the weights, with nothing in it that watches: to be changed at will.

    A parameter that is exchanged in the copy leaves the network's own alone; one that is written to does not.
    """
    copied, everything = _copied(unwrapped(network))
    for module in everything:
        _calm(module)
    return copied


_twins: weakref.WeakKeyDictionary[nn.Module, Twin] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def twin_of(network: nn.Module) -> Twin:
    """The network's twin: made on first use, kept as long as the network lives, made anew when it has changed."""
    with _making:
        twin = _twins.get(network)
        if twin is None or not twin.fresh:
            twin = _twins[network] = Twin(network)
        return twin


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside `DataParallel`, `DistributedDataParallel` and `torch.compile`."""
    while True:
        if isinstance(network, torch.jit.ScriptModule):
            raise ModelError(
                f"{type(network).__name__} is a scripted or traced network: its layers cannot be looked into. "
                "Pass the Python module it was made from."
            )
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


def _fingerprint(network: nn.Module) -> tuple[Any, ...]:
    """Changes whenever a twin made before would no longer be the same network.

    Asked for before every run, so it walks the modules itself, once: PyTorch's own generators, one for modules, one
    for parameters, one for buffers, took a sixth of the time of MobileNet's forward.
    """
    found: list[Any] = []
    seen: set[int] = set()
    waiting: list[nn.Module | None] = [network]
    while waiting:
        module = waiting.pop()
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        scripted = isinstance(module, torch.jit.ScriptModule)
        parameters = module.parameters() if scripted else module._parameters.values()
        buffers = module.buffers() if scripted else module._buffers.values()
        found.append(id(module))
        found += [(p.data_ptr(), p.dtype, p.shape) for p in parameters if p is not None and _has_storage(p)]
        found += [_written(b) for b in buffers if b is not None and _has_storage(b)]
        if not scripted:
            found += _settings(vars(module))
            waiting += module._modules.values()
    return tuple(found)


def _settings(own: Mapping[str, Any]) -> list[Any]:
    """What a forward may read besides weights: strides, flags, functions, loose tensors, hooks. Not the mode."""
    settings: list[Any] = [(k, _setting(v)) for k, v in own.items() if k[0] != "_" and k != "training"]
    for hooks in (own["_forward_hooks"], own["_forward_pre_hooks"]):
        settings += map(id, hooks.values())
    return settings


PLAIN = frozenset((bool, int, float, str, type(None)))


def _setting(value: Any) -> Any:
    if type(value) in PLAIN:  # nearly all are; and far cheaper than to ask for instances
        return value
    if isinstance(value, Tensor):
        return id(value), *_written(value)
    if isinstance(value, tuple | list):
        return tuple([_setting(part) for part in value])
    if isinstance(value, bool | int | float | str):
        return value
    return id(value) if isinstance(value, types.FunctionType | types.BuiltinFunctionType) else type(value)


def _written(tensor: Tensor) -> tuple[int, int]:
    """Changes when a tensor moves or is written to."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _has_storage(tensor: Tensor) -> bool:
    return not is_lazy(tensor)


def _copied(network: nn.Module) -> tuple[nn.Module, list[nn.Module]]:
    """The copy, and all modules in it: also those in a plain list, which PyTorch itself does not find."""
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # copying may touch deprecated attributes; none of the user's business
        memo = _memo(network)
        try:
            copied = copy.deepcopy(network, memo)
        except Exception as error:
            raise ModelError(
                f"{type(network).__name__} cannot be copied, and explaining works on a copy: "
                f"{_culprit(network)} raised {type(error).__name__}: {error}. "
                "Keep such objects outside of the network, or give its class a __deepcopy__."
            ) from error
        for module in [m for m in memo[id(memo)] if isinstance(m, nn.Module)]:
            _rebind(module, memo)
        found = [memo.get(id(module)) for module in memo[id(memo)] if isinstance(module, nn.Module)]
    return copied, list(dict.fromkeys([*copied.modules(), *(m for m in found if isinstance(m, nn.Module))]))


def _rebind(module: nn.Module, memo: dict[int, Any]) -> None:
    """Functions on a module that close over a module or its methods (a patched `forward`) close over the copies."""
    for name, value in list(vars(module).items()):
        if isinstance(value, types.FunctionType) and any(_is_of_a_module(cell) for cell in value.__closure__ or ()):
            cells = tuple(
                types.CellType(copy.deepcopy(cell.cell_contents, memo)) if _is_of_a_module(cell) else cell
                for cell in value.__closure__ or ()
            )
            rebound = types.FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
            rebound.__kwdefaults__ = value.__kwdefaults__
            vars(memo[id(module)])[name] = rebound


def _is_of_a_module(cell: types.CellType) -> bool:
    try:
        content = cell.cell_contents
    except ValueError:  # a name that is only bound later
        return False
    return isinstance(content, nn.Module) or isinstance(getattr(content, "__self__", None), nn.Module)


def _memo(network: nn.Module) -> dict[int, Any]:
    """What `deepcopy` must not copy: parameters become views of themselves, foreign objects stay who they are.

    The entry under the memo's own id is the list of tensors and modules that were met: the memo's keys are ids,
    so whatever they name must stay alive while copying.
    """
    memo: dict[int, Any] = {}
    keep: list[Any] = []

    def share(value: Any) -> None:
        if id(value) in memo:
            return
        if isinstance(value, Tensor):
            keep.append(value)
            memo[id(value)] = _shared(value)
        elif isinstance(value, torch.jit.ScriptModule):
            pass  # copies itself, weights and all
        elif isinstance(value, nn.Module):
            if value not in seen:
                share_module(value)
        elif isinstance(value, dict):
            for part in (*value.keys(), *value.values()):
                share(part)
        elif isinstance(value, list | tuple | set | frozenset | deque):
            for part in value:
                share(part)
        elif isinstance(value, functools.partial):
            share((value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            share(value.__self__)
        elif not isinstance(value, str | bytes | int | float | complex | type | types.FunctionType | None):
            memo[id(value)] = value  # a trainer, a logger, a lock, an open file, a configuration: not ours to copy

    seen: set[nn.Module] = set()

    def share_module(module: nn.Module) -> None:
        seen.add(module)
        keep.append(module)
        for value in list(vars(module).values()):
            share(value)

    share_module(network)
    memo[id(memo)] = keep
    return memo


def _shared(tensor: Tensor) -> Tensor:
    """A parameter's storage under a parameter of our own, which wants no gradient; a copy of any other tensor.

    A forward may write to buffers and loose tensors (a counter), and these writes must stay in the copy.
    """
    if not _has_storage(tensor):
        raise ModelError("the network has lazy layers without weights. Run it once on a batch, then explain it.")
    if not isinstance(tensor, nn.Parameter):
        return tensor.detach().clone()
    alias = tensor.detach()
    if tensor.is_inference():  # may not take part in a backward pass, so it cannot be shared
        alias = alias.clone()
    return nn.Parameter(alias, requires_grad=False)


def _culprit(network: nn.Module) -> str:
    """Which attribute refuses to be copied, by trying them one by one, deepest first."""
    for name, module in reversed(list(network.named_modules())):
        for attribute, value in vars(module).items():
            if attribute != "_modules" and not _copies(value, network):
                return f"its attribute '{f'{name}.' if name else ''}{attribute}'"
        if name and not _copies(module, network):
            return f"its layer '{name}'"
    return "it"


def _copies(value: Any, network: nn.Module) -> bool:
    try:
        copy.deepcopy(value, _memo(network))
    except Exception:
        return False
    return True


def _calm(module: nn.Module) -> None:
    """Switch off, in the copy, what would change, hide or overwrite what a layer returned."""
    if isinstance(module, torch.jit.ScriptModule):
        module.eval()
        return
    module.training = False
    if isinstance(getattr(module, "inplace", None), bool):
        setattr(module, "inplace", False)  # noqa: B010 - to a type checker attributes of modules are tensors
    module._backward_hooks.clear()
    module._backward_pre_hooks.clear()
    # PyTorch's transformer fast path computes a whole block in one call and never reaches its children.
    if isinstance(module, nn.TransformerEncoderLayer):
        module.activation_relu_or_gelu = 0
    if isinstance(module, nn.TransformerEncoder):
        module.use_nested_tensor = False
