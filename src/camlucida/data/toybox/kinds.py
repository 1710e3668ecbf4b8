"""Definition of the kinds of objects by their parts."""

from __future__ import annotations

from dataclasses import dataclass

from camlucida.data.toybox.curves import Shape
from camlucida.data.toybox.palette import Hues


@dataclass(frozen=True)
class Part:
    """A named part of an object, such as its ears. Rims are painted before fills, so that its shapes merge."""

    name: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of object, which is also a class.

    Attributes:
        name: The class name.
        parts: The parts from back to front.
        natural: The colour ranges that it usually has; it is sometimes painted in any colour.
        turn: The largest rotation to either side, in degrees.
    """

    name: str
    parts: tuple[Part, ...]
    natural: tuple[Hues, ...] = ()
    turn: float = 20.0

    @property
    def part_names(self) -> tuple[str, ...]:
        """Return the names of the parts from back to front."""
        return tuple(part.name for part in self.parts)


def part(name: str, *shapes: Shape) -> Part:
    """Return a part made of shapes."""
    return Part(name, shapes)
