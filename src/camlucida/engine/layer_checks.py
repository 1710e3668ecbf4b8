"""What is verified of a layer: its influence on the class scores, and where its positions lie in the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias

from torch import Tensor

from camlucida.engine.layout import Layout

ScoreReader: TypeAlias = Callable[[Any], Tensor]
"""Reads the class scores (b, k) from the network's output. It is hashable: results are cached by it."""


class Influence(Enum):
    """Whether the class scores depend on what a call returned.

    Attributes:
        NONE: They do not depend on it.
        PREFIX: They depend on tokens without a spatial position only, such as the class token.
        CLASS_MAP: It is the class scores themselves, as one map per class: the score of a class depends on one channel.
        POSITIONS: They depend on it at positions of the grid.
    """

    NONE = "none"
    PREFIX = "prefix"
    CLASS_MAP = "class map"
    POSITIONS = "positions"


@dataclass(frozen=True)
class LayoutCheck:
    """How the positions of a layout responded when a patch of noise moved over the image (`geometry`).

    Attributes:
        outcome: "verified"; "contradicted" where the response is local, but not at the position of the patch; "not
            local" where all positions respond alike, so that nothing can be said.
        correlation: Pearson correlation of the response's centroid with the position of the patch, the smaller one of
            the two axes; NaN where no position responds.
        error: Mean distance of the centroid from the patch, in fractions of the image's sides.
        spread: Root mean square distance of the response from its centroid, in the same unit; 0.41 if it is uniform.
        layout: The layout that was verified, which may differ from the inferred one; None if none was.
        is_seen: Whether an earlier layer returned the grid of a layout that is not local.
    """

    outcome: Literal["verified", "contradicted", "not local"]
    correlation: float
    error: float
    spread: float
    layout: Layout | None
    is_seen: bool = False

    @property
    def is_reliable(self) -> bool:
        """Return whether the layer may be chosen without the user naming it."""
        return self.layout is not None and (self.outcome == "verified" or self.is_seen)
