"""Influence: whether the class scores depend on a call's output, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute
from camlucida.engine import NetworkCopy, candidates, copy_of, default_layer
from camlucida.engine.influence import find_influence, find_influences
from camlucida.engine.layer_checks import Influence
from camlucida.engine.module_calls import profile_calls
from camlucida.errors import LayerError

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


def names_of(copy: NetworkCopy, read: Callable[[Any], Tensor]) -> list[str]:
    return [layer.name for layer in candidates(copy, IMAGE, read)]


def test_influence_is_that_on_the_class_scores() -> None:
    """Another part of the output, and the last Linear of another branch, do not count."""

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.other = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 1, 1)
            self.centres, self.projection = nn.Parameter(torch.randn(5, 4)), nn.Linear(6, 5)

        def forward(self, image: Tensor) -> dict[str, Tensor]:
            features = self.trunk(image)
            other = self.other(features)
            return {
                "tokens": other,
                "scores": features.mean((2, 3)) @ self.centres.T,
                "p": self.projection(other.mean((2, 3))),
            }

    network = Beside().eval()
    assert names_of(copy_of(network), lambda output: output["scores"]) == ["trunk"]
    assert names_of(copy_of(network), lambda output: output["p"]) == ["trunk", "other"]


@pytest.mark.parametrize("resized", [False, True])
def test_a_map_per_class_is_no_layer_to_explain(resized: bool) -> None:
    class Segmenter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 6, 3, 1, 1)
            self.head = nn.Conv2d(6, 4, 1)

        def forward(self, image: Tensor) -> Tensor:
            maps: Tensor = self.head(self.decoder(self.encoder(image).relu()).relu())
            return F.interpolate(maps, image.shape[2:], mode="bilinear") if resized else maps

    copy = copy_of(Segmenter().eval())
    assert names_of(copy, lambda maps: maps[..., 2:, 3:].mean((2, 3))) == ["encoder", "decoder"]
    profile = profile_calls(copy, IMAGE)
    (influences,) = profile.influences.values()
    assert influences[profile.module_calls[2].position] is Influence.CLASS_MAP


def test_a_layer_read_at_its_class_token_only() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.embed, self.norm, self.head = nn.Conv2d(3, 6, 4, 4), nn.LayerNorm(6), nn.Linear(6, 5)

        def forward(self, image: Tensor) -> Tensor:
            tokens = self.embed(image).flatten(2).transpose(1, 2)
            tokens = self.norm(torch.cat([tokens.tanh().mean(1, keepdim=True), tokens], 1))
            scores: Tensor = self.head(tokens[:, 0])
            return scores

    network = Classifier().eval()
    for method in ("grad_cam", "layer_cam", "ablation_cam"):
        with pytest.raises(LayerError, match=r"do not depend on the positions of 'norm'.*the 1 tokens without"):
            attribute(network, IMAGE, target=1, layer="norm", method=method)
    assert attribute(network, IMAGE, target=1, layer="norm", method="eigen_cam").any()  # asks for no class
    assert default_layer(copy_of(network), IMAGE).name == "embed"


def test_a_map_that_is_zero_for_one_image_is_no_fault_of_the_layer() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.copy_(network[0].weight.abs())
        network[0].bias.zero_()
    dark = -1 - torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not attribute(network.eval(), dark, target=0, layer="0", signed=True).any()
