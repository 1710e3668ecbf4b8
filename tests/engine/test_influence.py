"""Influence: calls whose output never reaches the class scores have none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camlucida.engine import copy_of
from camlucida.engine.influence import find_influence, find_influences
from camlucida.engine.module_calls import profile_calls

IMAGE = torch.randn(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))


class Branches(nn.Module):
    """One call is used; one is discarded; one is detached; one computes from a constant and is discarded."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.discarded, self.detached = (nn.Conv2d(3, 4, 3, 1, 1) for _ in range(3))
        self.constant = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 5)
        self.register_buffer("table", torch.ones(1, 3, 8, 12))

    def forward(self, image: Tensor) -> Tensor:
        self.discarded(image)
        self.constant(self.table)
        features = self.used(image) + self.detached(image).detach()
        scores: Tensor = self.head(features.mean((2, 3)))
        return scores


def test_only_calls_that_reach_the_scores_have_influence() -> None:
    for find in (find_influence, find_influences):
        copy = copy_of(Branches())
        profile = profile_calls(copy, IMAGE)
        names = {call.name: call.position for call in profile.module_calls if call.name != "head"}
        find(copy, IMAGE, profile, [position for name, position in names.items() if name])
        influences = {name: profile.influences_on(None)[position].value for name, position in names.items() if name}
        assert influences == {"used": "positions", "discarded": "none", "detached": "none", "constant": "none"}
