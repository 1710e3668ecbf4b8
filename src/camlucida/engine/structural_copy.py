"""A structural copy of a network: its own modules, attributes and state around the same parameters.

Parameters share the caller's storage. Everything else that a `forward` can write to is copied: buffers, containers,
arrays, objects written in Python, and the contents of closures. Wherever a module, a tensor or a container of the
network is referenced (a closure, a default argument, a weak reference, a trainer), the copy references its own. The
copy therefore never modifies the caller's network, and does not keep it alive.
"""

from __future__ import annotations

import copy
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from camlucida.engine.kinds import COPIES_ITSELF, HOOK_DICTS, RECORDERS, TRAINING_ONLY, Kind, kind_of
from camlucida.engine.reach import attributes_of, fits, leading_to_modules, reaches_module, refers_to
from camlucida.engine.value_copier import ValueCopier
from camlucida.errors import ModelError


class StructuralCopy(ValueCopier):
    """The copy of one network, and what is known about it.

    Args:
        network: The network, in any mode. It is read, never called.

    Attributes:
        module: The copy.
        modules: All modules of the network as (original, copy, name), including those in plain containers, closures and
            objects, which `named_modules` does not list.
        tensors: The same for parameters, buffers and loose tensors.
        containers: Everything in the copy that a forward pass can write to, other than tensors.
        incomparable: Names of attributes whose contents cannot be compared later: the copy serves one request.
        held_by_class: Whether a class keeps the network alive, and the copy, an instance of the class, does so as well.

    Raises:
        ModelError: If an object cannot be copied; the message names the attribute.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.modules: list[tuple[nn.Module, nn.Module, str]] = []
        self.tensors: list[tuple[Tensor, Tensor, str]] = []
        self.incomparable: list[str] = []
        self.held_by_class = False
        self._inside_object = self._inside_hook = False
        self._leading_to_modules: dict[type, dict[str, Any]] = {}
        self._of_network = {id(module) for module in network.modules()}
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # reading deprecated attributes warns
            try:
                self.module: nn.Module = self._copied(network)
            except ModelError:
                raise
            except Exception as error:
                kind = "layer" if self._where.startswith("layer ") else "attribute"
                culprit = f"its {kind} {self._where.removeprefix('layer ')!r}" if self._where else "it"
                raise ModelError(
                    f"{type(network).__name__} cannot be copied, and explaining works on a copy: "
                    f"{culprit} raised {type(error).__name__}: {error}. "
                    "Keep such objects outside of the network, or define __deepcopy__ in its class."
                ) from error
        self.modules = [(a, b, name) for a, b, name in self.modules if isinstance(b, nn.Module)]
        del self._memo, self._originals

    def _copied(self, value: Any, name: str = "") -> Any:
        if type(value) in _ATOMS:
            return value
        if id(value) in self._memo:
            return self._memo[id(value)]
        kind = kind_of(value)
        if kind is Kind.ATOM or (self._inside_hook and kind in RECORDERS and not reaches_module(value)):
            return value
        self._originals.append(value)
        with self._at(name):
            copied = self.by_kind[kind](self, value, name)
        self._memo[id(value)] = copied
        return copied

    @contextmanager
    def _at(self, name: str) -> Iterator[None]:
        """Track which attribute is being copied; after an exception it remains known."""
        before, self._where = self._where, name
        yield
        self._where = before

    def _module(self, module: nn.Module, name: str) -> nn.Module:
        inner = vars(module).get("_modules", {}).get("_orig_mod")
        if isinstance(inner, nn.Module) and type(module).__name__ == "OptimizedModule":
            compiled: nn.Module = self._copied(inner, name)  # the compiled code calls the caller's layers
            return compiled
        cls = type(module)
        if (own_way := getattr(cls, COPIES_ITSELF, None)) and "parametrize" not in getattr(own_way, "__module__", ""):
            self._where = f"layer {name}"
            copied: nn.Module = self._copies_itself(module, vars(module), name)
        else:
            copied = self._shell(module, nn.Module.__new__(cls))
            self._fill_attributes(module, copied, name)
        self.modules.append((module, copied, name))
        self._rebind_class(cls, copied, name)
        return copied

    def _fill_attributes(self, value: Any, shell: Any, name: str) -> None:
        own = getattr(shell, "__dict__", None)
        is_module = isinstance(value, nn.Module)
        for key, part in attributes_of(value).items():
            if is_module and key in TRAINING_ONLY:
                copied = type(part)() if isinstance(part, dict) else None
            elif is_module and key in ("_parameters", "_buffers", "_modules"):
                copied = self._parts(part, name)
            elif is_module and key in HOOK_DICTS and not part:
                copied = type(part)()
            elif is_module and key in ("_forward_hooks", "_forward_pre_hooks"):
                self._inside_hook = True
                copied = self._dict(part, f"{name}.{key}" if name else key)
                self._inside_hook = False
            else:
                copied = self._copied(part, f"{name}.{key}" if name else key)
            if own is not None and key in vars(value):
                own[key] = copied
            else:
                object.__setattr__(shell, key, copied)

    def _parts(self, parts: dict[str, Any], name: str) -> Any:
        """Return the copy of a module's dict of parameters, buffers or modules, whose keys are parts of layer names."""
        if id(parts) in self._memo:
            return self._memo[id(parts)]
        self._originals.append(parts)
        copied = self._memo[id(parts)] = type(parts)()
        for key, part in parts.items():
            copied[key] = self._copied(part, f"{name}.{key}" if name else str(key))
        return copied

    def _script(self, module: Any, name: str) -> Any:
        copied = copy.deepcopy(module, self._memo)  # including the weights, which cannot be shared
        self.modules.append((module, copied, name))
        return copied

    def _tensor(self, tensor: Tensor, name: str) -> Tensor:
        copied = shared(tensor)
        if extra := getattr(tensor, "__dict__", None):
            copied.__dict__.update({key: self._copied(part, f"{name}.{key}") for key, part in extra.items()})
        self.tensors.append((tensor, copied, name))
        return copied

    def _object(self, value: Any, name: str) -> Any:
        if self._inside_object:
            return self._filled_object(value, name)
        if not fits(value):
            return self._opaque(value, name)
        self._inside_object = True
        try:
            return self._filled_object(value, name)
        finally:
            self._inside_object = False

    def _filled_object(self, value: Any, name: str) -> Any:
        base: Any = types.SimpleNamespace if isinstance(value, types.SimpleNamespace) else object
        shell = self._shell(value, base.__new__(type(value)))
        self._fill_attributes(value, shell, name)
        return shell

    def _opaque(self, value: Any, name: str) -> Any:
        if refers_to(value, self._of_network):
            return self._refused(value, name)
        self.incomparable.append(name)
        return value

    def _refused(self, value: Any, name: str) -> Any:
        return Refusal(name, type(value).__name__)

    def _rebind_class(self, cls: type, copied: nn.Module, name: str) -> None:
        """Bind methods and attributes of a class that reach modules to the copied modules, on this instance."""
        if cls not in self._leading_to_modules:
            self._leading_to_modules[cls] = leading_to_modules(cls)
        for key, value in self._leading_to_modules[cls].items():
            if key not in vars(copied):
                self.held_by_class = True
                bound = self._copied(value, f"{name}.{key}" if name else key)
                is_method = isinstance(value, types.FunctionType)
                vars(copied)[key] = types.MethodType(bound, copied) if is_method else bound

    by_kind: ClassVar[dict[Kind, Callable[[Any, Any, str], Any]]] = {
        **ValueCopier.by_kind,
        Kind.TENSOR: _tensor,
        Kind.SCRIPT: _script,
        Kind.MODULE: _module,
        Kind.OBJECT: _object,
        Kind.OPAQUE: _opaque,
        Kind.ITERATOR: _refused,
    }


_ATOMS = frozenset((bool, int, float, str, type(None), type, torch.dtype))


def shared(tensor: Tensor) -> Tensor:
    """Return a parameter with the same storage that requires no gradient, or a copy of any other tensor.

    A forward pass may write to buffers and loose tensors (a counter), and these writes must stay in the copy.

    Raises:
        ModelError: For the parameter of a lazy layer that has not been initialised.
    """
    if is_lazy(tensor):
        raise ModelError("the network has lazy layers without weights. Run it once on a batch, then explain it.")
    if not isinstance(tensor, nn.Parameter):
        return tensor.detach().clone()
    alias = tensor.detach()
    if tensor.is_inference():  # cannot take part in a backward pass, so it is copied
        alias = alias.clone()
    return nn.Parameter(alias, requires_grad=False)


class Refusal:
    """Placeholder, in the copy, of an object that can be neither copied nor shared with the network.

    It raises a `ModelError` naming the attribute as soon as a forward pass uses it.

    Args:
        name: Name of the attribute on the network.
        kind: Name of the class of the object.
    """

    __slots__ = ("_kind", "_name")

    def __init__(self, name: str, kind: str) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_kind", kind)

    def __repr__(self) -> str:
        return f"<{object.__getattribute__(self, '_kind')}, not in the copy>"


def _refuse(refusal: Refusal, *_: Any, **__: Any) -> NoReturn:
    name, kind = object.__getattribute__(refusal, "_name"), object.__getattribute__(refusal, "_kind")
    raise ModelError(
        f"the forward of the network uses its attribute {name!r}, a {kind} that can be neither copied nor used without "
        "changing the network or its training. Explaining works on a copy: keep such objects outside of the forward."
    )


_USES = "getattr setattr delattr call iter next len bool contains getitem setitem delitem enter exit int float index"
_USES += " add radd iadd sub rsub isub mul rmul imul truediv rtruediv matmul rmatmul lt le gt ge array"
for _use in _USES.split():
    setattr(Refusal, f"__{_use}__", _refuse)
