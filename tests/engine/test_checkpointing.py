"""Is a network explained as if it had no gradient checkpointing, however it checkpoints, and does it keep it?"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.utils.checkpoint
import torch.utils.checkpoint as aliased
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import camlucida as cl
from camlucida.engine.checkpointing import no_checkpointing

IMAGES = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))


def imported_inside(segment: Any, x: Tensor, **options: Any) -> Any:
    from torch.utils.checkpoint import checkpoint as again

    return again(segment, x, **options)


class OwnCheckpoint(torch.autograd.Function):
    """A checkpointing without `torch.utils.checkpoint`, as diffusion models have it."""

    @staticmethod
    def forward(ctx: Any, segment: Any, x: Tensor) -> Tensor:
        ctx.segment = segment
        ctx.save_for_backward(x)
        with torch.no_grad():
            return segment(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = ctx.segment(x)
        return None, torch.autograd.grad(out, x, *gradients)[0]


WAYS: dict[str, Callable[[Any, Tensor], Any]] = {
    "reentrant": lambda f, x: checkpoint(f, x, use_reentrant=True),
    "not reentrant": lambda f, x: checkpoint(f, x, use_reentrant=False),
    "module": lambda f, x: torch.utils.checkpoint.checkpoint(f, x, use_reentrant=True),
    "alias": lambda f, x: aliased.checkpoint(f, x, use_reentrant=False, preserve_rng_state=False),
    "imported inside": functools.partial(imported_inside, use_reentrant=True),
    "partial": functools.partial(checkpoint, use_reentrant=False),
    "keywords": lambda f, x: checkpoint(lambda *, t: f(t), t=x, use_reentrant=False),
    "sequential": lambda f, x: checkpoint_sequential(list(f), 2, x, use_reentrant=False),
    "nested": lambda f, x: checkpoint(lambda t: checkpoint(f, t, use_reentrant=True), x, use_reentrant=False),
}
if "function" in inspect.signature(checkpoint).parameters and hasattr(torch.utils.checkpoint, "_checkpoint_impl"):
    WAYS["decorator"] = lambda f, x: checkpoint(use_reentrant=False)(lambda t: f(t))(x)


class Network(nn.Module):
    def __init__(self, way: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.way = nn.Conv2d(3, 6, 3, stride=2, padding=1), way
        self.block = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.way(self.block, self.stem(x)).relu().mean((2, 3)))


def maps(network: nn.Module, layer: str | None, method: str = "grad_cam") -> Tensor:
    result = cl.attribute(network, IMAGES, layer=layer, method=method, target=1, signed=True)
    assert isinstance(result, Tensor)
    return result


class TestByHand:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("method", ["grad_cam", "score_cam", "gradient", "lrp"])
    def test_same_map(self, way: str, method: str) -> None:
        plain, network = Network(lambda f, x: f(x)), Network(WAYS[way])
        layers = ["stem", "block.0", "block.2", "block.3", None] if "cam" in method else [None]
        for layer in layers:
            assert torch.equal(maps(network, layer, method), maps(plain, layer, method)), layer

    def test_context_still_entered(self) -> None:
        """A context that a segment runs in may change what it computes."""

        def contexts() -> Any:
            return torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", torch.bfloat16)

        def by_hand(segment: Any, x: Tensor) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return segment(x)

        network = Network(lambda f, x: checkpoint(f, x, use_reentrant=False, context_fn=contexts).float())
        plain = Network(lambda f, x: by_hand(f, x).float())
        assert torch.equal(maps(network, "block.0"), maps(plain, "block.0"))

    def test_own_function_with_flag(self) -> None:
        class Flagged(Network):
            use_grad_checkpointing: bool

            def forward(self, x: Tensor) -> Any:
                x = self.stem(x)
                x = OwnCheckpoint.apply(self.block, x) if self.use_grad_checkpointing else self.block(x)
                return self.head(x.relu().mean((2, 3)))

        network = Flagged(lambda f, x: None)
        network.use_grad_checkpointing = True
        assert torch.equal(maps(network, "block.0"), maps(Network(lambda f, x: f(x)), "block.0"))
        assert network.use_grad_checkpointing


class TestLibraries:
    @pytest.mark.parametrize(
        "name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"]
    )
    def test_timm(self, name: str) -> None:
        timm = pytest.importorskip("timm")
        size = {"img_size": 64} if "patch" in name else {}
        network = timm.create_model(name, pretrained=False, num_classes=5, **size).eval()
        images = torch.randn(1, 3, 64, 64)
        expected = cl.attribute(network, images, target=1, signed=True)
        network.set_grad_checkpointing(True)
        assert torch.equal(cl.attribute(network, images, target=1, signed=True), expected)
        network.train()
        assert torch.equal(cl.attribute(network, images, target=1, signed=True), expected)

    def test_transformers(self) -> None:
        transformers = pytest.importorskip("transformers")
        config = transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=32,
            patch_size=8, num_labels=4,
        )  # fmt: skip
        network = transformers.ViTForImageClassification(config).eval()
        images = torch.randn(1, 3, 32, 32)
        expected = cl.attribute(network, images, target=1, signed=True)
        for reentrant in (True, False):
            enable = getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)
            enable({"use_reentrant": reentrant})
            network.train()
            assert torch.equal(cl.attribute(network, images, target=1, signed=True), expected)
            assert any(vars(module).get("gradient_checkpointing") is True for module in network.modules())


class TestTorch:
    def test_code_restored(self) -> None:
        original = inspect.unwrap(checkpoint).__code__
        maps(Network(WAYS["reentrant"]), "block.0")
        assert inspect.unwrap(checkpoint).__code__ is original

        def fail(segment: Any, x: Tensor) -> Any:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            maps(Network(fail), "block.0")
        assert inspect.unwrap(checkpoint).__code__ is original

    @pytest.mark.parametrize("way", ["reentrant", "not reentrant", "partial"])
    def test_training_in_another_thread(self, way: str) -> None:
        """While a copy runs here, a segment that trains there runs twice, as it should."""
        n_runs = []

        def train() -> None:
            x = torch.randn(1, 4, requires_grad=True)
            out = WAYS[way](lambda t: (n_runs.append(1), t.sin())[1], x)
            out.sum().backward()
            assert torch.allclose(x.grad, x.cos())  # type: ignore[arg-type]

        with no_checkpointing():
            thread = threading.Thread(target=train)
            thread.start()
            thread.join()
        assert len(n_runs) == 2
        train()
        assert len(n_runs) == 4
