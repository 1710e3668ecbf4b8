"""The placeholder, in the copy of a network, of an object that can be neither copied nor shared with the network."""

from __future__ import annotations

from typing import Any, NoReturn

from camlucida.errors import ModelError


class Refusal:
    """Placeholder that raises a `ModelError` naming the attribute as soon as a forward pass uses it.

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
