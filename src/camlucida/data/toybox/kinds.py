"""What a kind of object is made of."""

from __future__ import annotations

from dataclasses import dataclass

from camlucida.data.toybox.curves import Shape
from camlucida.data.toybox.palette import Hues


@dataclass(frozen=True)
class Part:
    """A nameable piece of an object, such as its ears. Rims are painted before fills, so its shapes fuse."""

    name: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    parts     from back to front
    natural   the colours it usually has; it is sometimes painted in any colour all the same
    turn      how far it may lean to either side, in degrees
    """

    name: str
    parts: tuple[Part, ...]
    natural: tuple[Hues, ...] = ()
    turn: float = 20.0

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of the parts, from back to front."""
        return tuple(part.name for part in self.parts)


def part(name: str, *shapes: Shape) -> Part:
    """A part from its shapes."""
    return Part(name, shapes)
