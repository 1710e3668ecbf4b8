"""Maps that know nothing, or everything: what a metric must be able to tell apart before it is believed.

Each control is an explainer like a method, so that every metric can judge it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.evidence import Explainer, Sight

Made = Callable[[Sight, Tensor], Tensor]
"""The picture as the model sees it and pictures (n, c, H, W) in, maps (n, H, W) out."""


@dataclass(frozen=True)
class Control:
    """A map made without asking the model, or by a question to another one.

    name      in tables
    summary   what it is
    knows     what it is made from: nothing, the picture, or the truth
    """

    name: str
    summary: str
    knows: str
    make: Made
    relu: bool = False

    def maps(self, sight: Sight, pictures: Tensor, classes: Tensor) -> Tensor:
        return self.make(sight, pictures)


def uniform(sight: Sight, pictures: Tensor) -> Tensor:
    """The same everywhere."""
    return torch.ones_like(pictures[:, 0])


def standard_controls() -> tuple[Explainer, ...]:
    """Those that every evaluation has beside the methods."""
    return (Control("uniform", "the same everywhere", "nothing", uniform),)
