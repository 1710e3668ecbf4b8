"""A call of a function, as a function of the arguments that relevance may reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import nested


@dataclass(frozen=True)
class OpCall:
    """A call of a torch function.

    Attributes:
        func: The function.
        name: Its canonical name.
        args: Positional arguments.
        kwargs: Keyword arguments.
        live: The tensors among the arguments that relevance may reach, without duplicates.
        in_place: Whether the function modifies its first argument.
    """

    func: Callable[..., Any]
    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    live: tuple[Tensor, ...]
    in_place: bool

    def named_arguments(self, names: Sequence[str]) -> dict[str, Any]:
        """Return all arguments by name, given the names of the positional ones."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    def with_constants(self, *constant: Tensor) -> OpCall:
        """Return the same call with some arguments detached."""

        def detach(_: nested.Path, t: Tensor) -> Tensor:
            return t.detach() if any(t is c for c in constant) else t

        live = tuple(t for t in self.live if not any(t is c for c in constant))
        return OpCall(
            self.func,
            self.name,
            nested.transform(tuple(self.args), detach),
            nested.transform(dict(self.kwargs), detach),
            live,
            self.in_place,
        )

    def as_function(self) -> Callable[..., Any]:
        """Return the call as a function of `live`.

        It holds no reference to these tensors, whose graph may contain the function.
        """
        blanks = [torch.empty(0) for _ in self.live]
        blank_of = {id(t): blank for t, blank in zip(self.live, blanks, strict=True)}
        template = nested.transform((tuple(self.args), dict(self.kwargs)), lambda _, t: blank_of.get(id(t), t))
        func, in_place = self.func, self.in_place

        def run(*live: Tensor) -> Any:
            # The function modifies a clone; the caller then copies the result to the network's own tensor.
            values = {id(b): t.clone() if in_place else t for b, t in zip(blanks, live, strict=True)}
            args, kwargs = nested.transform(template, lambda _, t: values.get(id(t), t))
            return func(*args, **kwargs)

        return run


def short_name(func: Callable[..., Any]) -> str:
    """Return the name of a function; for an attribute, such as `x.mT`, the attribute's name."""
    if func.__name__ == "__get__":  # an attribute, such as x.mT
        return str(getattr(getattr(func, "__self__", None), "__name__", ""))
    return func.__name__.partition(".")[0]


def full_name(func: Callable[..., Any]) -> str:
    """Return the qualified name of a function, for messages."""
    owner = getattr(func, "__objclass__", None) or getattr(func, "__module__", None) or "torch"
    return f"{getattr(owner, '__name__', owner)}.{short_name(func)}"
