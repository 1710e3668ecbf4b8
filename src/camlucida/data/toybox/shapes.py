"""The kinds of objects as data: named parts, painted from back to front."""

from __future__ import annotations

from camlucida.data.toybox.animals import BIRD, CAT, DOG, FISH
from camlucida.data.toybox.kinds import Kind, Part
from camlucida.data.toybox.things import BOAT, CAR, HOUSE, KEY, MUG, TREE

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CAT, DOG, CAR, HOUSE, TREE, FISH, MUG, KEY, BOAT, BIRD)}
"""All kinds of objects by name, in the order of the classes."""

CLASSES: tuple[str, ...] = tuple(KINDS)
"""The class names; a label is an index into this tuple."""

__all__ = ["CLASSES", "KINDS", "Kind", "Part"]
