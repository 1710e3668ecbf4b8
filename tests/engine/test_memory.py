"""Does the first call at an input size need about as much memory as the later ones?

Counted in bytes of storages that are alive, seen by a dispatch mode: no allocator and no clock take part.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from camlucida import attribute
from camlucida.engine import candidates, copy_of, default_layer, influence
from camlucida.engine.batch_axes import batch_axes
from camlucida.engine.layer_checks import Influence
from camlucida.engine.module_calls import profile_calls


class Alive(TorchDispatchMode):
    """While inside, `peak` is the most bytes that were alive after an operation, of storages it has returned."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, list | tuple) else [output]:
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.peak = max(self.peak, self.alive())
        return output

    def alive(self) -> int:
        self.storages = {key: pair for key, pair in self.storages.items() if not pair[0].expired()}
        return sum(nbytes for _, nbytes in self.storages.values())


def peak(call: Callable[[], Any]) -> int:
    with Alive() as alive:
        call()
    return alive.peak


def deep(n_layers: int = 12) -> nn.Module:
    """Many large maps, then small ones, then the classes: where all are kept at once, it shows."""
    torch.manual_seed(0)
    large = [nn.Sequential(nn.Conv2d(8 if i else 3, 8, 3, padding=1), nn.ReLU()) for i in range(n_layers)]
    small = [nn.Sequential(nn.Conv2d(8, 8, 3, 4, 1), nn.ReLU()) for _ in range(2)]
    return nn.Sequential(*large, *small, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()


@pytest.mark.parametrize("layer", ["13", None, -1, "13.0", ["12", "13"]])
def test_the_first_call_needs_no_more_than_later_ones(layer: Any) -> None:
    network, images = deep(), torch.randn(1, 3, 64, 48)
    first = peak(lambda: attribute(network, images, target=1, layer=layer))
    later = peak(lambda: attribute(network, images, target=1, layer=layer))
    assert first <= 1.5 * later


@pytest.mark.parametrize("method", ["recipro_cam", "ablation_cam", "score_cam"])
def test_methods_that_run_the_rest_again(method: str) -> None:
    network, images = deep(), torch.randn(1, 3, 64, 48)
    first = peak(lambda: attribute(network, images, target=1, layer="13", method=method))
    later = peak(lambda: attribute(network, images, target=1, layer="13", method=method))
    assert first <= 1.5 * later


def test_images_and_one_image_are_compared_without_keeping_outputs() -> None:
    network, images = deep(), torch.randn(1, 3, 96, 80)
    two = torch.cat([images, images])
    with torch.no_grad():
        forward = peak(lambda: network(two))
    assert peak(lambda: batch_axes(copy_of(network), images)) <= forward + 6 * two.nbytes


def test_a_class_token_is_found_in_small_groups() -> None:
    """Calls that do not influence the scores at positions stand last; the test goes back by a few calls at a time."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(3, 16, 8, 8)
            self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(12))
            self.mix, self.head = nn.Linear(1, 1), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.embed(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([tokens.mean(1, keepdim=True) + self.norms[0](tokens)[:, :1], tokens], 1)
            for norm in self.norms[1:]:  # nothing mixes tokens any more
                tokens = tokens + norm(tokens)
            scores: Tensor = self.head(tokens[:, 0])
            return scores

    network, images = Network().eval(), torch.randn(1, 3, 64, 48)
    copied = copy_of(network)
    with torch.no_grad():
        forward = peak(lambda: network(images))
    assert peak(lambda: default_layer(copied, images)) <= forward + 8 * images.nbytes
    assert default_layer(copied, images).name == "norms.0"


def test_an_earlier_linear_is_not_kept_for_the_test_of_influence() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.mlp = nn.Parameter(torch.randn(256, 8)), nn.Sequential(nn.Linear(8, 256), nn.Linear(256, 8))

        def forward(self, x: Tensor) -> Tensor:
            x = x + (x @ self.wide.T).relu() @ self.wide  # like Swin's attention, no module's call
            tokens: Tensor = x + self.mlp(x)
            return tokens

    network = nn.Sequential(nn.Conv2d(3, 8, 2, 2), nn.Flatten(2), Transposed(), Block(), Block(), nn.LayerNorm(8))
    network = nn.Sequential(network, Mean(), nn.Linear(8, 4)).eval()
    images, copied = torch.randn(1, 3, 64, 48), copy_of(network)
    profile = profile_calls(copied, images)
    norm = next(call.position for call in profile.module_calls if isinstance(call.module, nn.LayerNorm))
    with torch.no_grad():
        forward = peak(lambda: network(images))
    assert peak(lambda: influence.find_influence(copied, images, profile, [norm])) <= 1.1 * forward
    assert profile.influences_on(None)[norm] is Influence.POSITIONS


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def test_the_layouts_of_early_stages_are_checked_only_when_needed() -> None:
    torchvision = pytest.importorskip("torchvision")

    def network() -> nn.Module:
        torch.manual_seed(0)
        swin: nn.Module = torchvision.models.SwinTransformer([4, 4], 8, [3, 1], [1, 1], [2, 2], num_classes=4)
        return swin.eval()

    swin, images = network(), torch.randn(1, 3, 128, 128)
    attribute(swin, images, target=1)
    first = peak(lambda: default_layer(copy_of(network()), images))
    later = peak(lambda: attribute(swin, images, target=1))
    assert first <= 1.8 * later
    both = copy_of(network())
    default = default_layer(both, images)
    assert [layer.name for layer in candidates(both, images)] == [
        layer.name for layer in candidates(copy_of(network()), images)
    ]
    assert default.name == default_layer(both, images).name


def test_all_candidates_are_tested_on_a_smaller_image(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = deep(), torch.randn(1, 3, 256, 192)
    expected = [layer.name for layer in candidates(copy_of(deep()), images)]
    monkeypatch.setattr(influence, "MAX_GRAPH_BYTES", 2**20)
    with torch.no_grad():
        forward = peak(lambda: network(images))
    assert peak(lambda: candidates(copy_of(network), images)) <= 2 * forward
    assert [layer.name for layer in candidates(copy_of(network), images)] == expected


def test_a_network_of_one_size_is_tested_at_that_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneSize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = deep()[:14]
            self.head = nn.Linear(8 * 4 * 3, 4)

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.head(self.features(x).flatten(1))
            return scores

    images = torch.randn(1, 3, 64, 48)
    expected = [layer.name for layer in candidates(copy_of(OneSize()), images)]
    monkeypatch.setattr(influence, "MAX_GRAPH_BYTES", 2**10)
    assert [layer.name for layer in candidates(copy_of(OneSize()), images)] == expected
    assert expected[-1] == "features"


def test_a_test_of_influence_leaves_nothing() -> None:
    network, images = deep(), torch.randn(1, 3, 64, 48)
    with Alive() as alive:
        candidates(copy_of(network), images)
        gc.collect()
        shared = sum(p.nbytes for p in network.parameters()) + images.nbytes  # of views of both
        assert alive.alive() <= shared + network(images).nbytes  # the profile keeps the class scores of one image
