"""Copies of a network with some of its weights drawn anew: what an explanation should notice (Adebayo et al., 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from camlucida.engine.network_copy import duplicate, unwrapped

MAX_BLOCK_LAYERS = 8
"""A block of a network (a residual block, a transformer block) has at most so many layers with weights of its own."""


@dataclass(frozen=True)
class Stage:
    """Modules whose weights are drawn anew together."""

    name: str
    modules: tuple[str, ...]


def stages(network: nn.Module) -> list[Stage]:
    """The network cut into stages, from the class scores down to the picture.

    A stage is a layer, or a block of a few layers where the network has such: `layer4.2`, `blocks.11`. Weights that
    belong to no layer (a class token) are with the module that holds them.
    """
    collected: list[Stage] = []
    _split_stages(unwrapped(network), "", collected)
    return collected[::-1]


def _split_stages(module: nn.Module, name: str, collected: list[Stage]) -> None:
    holders = [n for n, m in module.named_modules(prefix=name) if _own_parameters(m)]
    if not holders:
        return
    children = list(module.named_children())
    splits = isinstance(module, nn.Sequential | nn.ModuleList) or not name or len(holders) > MAX_BLOCK_LAYERS
    if not children or not splits:
        collected.append(Stage(name or type(module).__name__, tuple(holders)))
        return
    if _own_parameters(module):
        collected.append(Stage(name or type(module).__name__, (name,)))
    for child, part in children:
        _split_stages(part, f"{name}.{child}".lstrip("."), collected)


def _own_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(module.named_parameters(recurse=False))


def randomize_weights(network: nn.Module, selected: Iterable[Stage], *, seed: int) -> nn.Module:
    """A copy of the network, in which the stages `drawn` have new weights; all others share the network's own.

    Layers draw as they do when they are made, and norms forget what they have counted; weights that no layer draws by
    itself (a class token, a layer scale) are drawn from a normal distribution with their own mean and spread.
    The caller's generator is not moved.
    """
    copied = duplicate(network)
    modules = dict(copied.named_modules())
    with torch.random.fork_rng(devices=_devices(copied)), torch.no_grad():
        for stage in selected:
            for name in stage.modules:
                torch.manual_seed(_module_seed(seed, name))
                _reinitialize(modules[name])
    return copied


def _reinitialize(module: nn.Module) -> None:
    for name, parameter in _own_parameters(module):  # storage of its own before anything is written
        setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if callable(reset):
        reset()
        return
    for _, parameter in _own_parameters(module):
        parameter.copy_(torch.randn_like(parameter) * parameter.std(correction=0) + parameter.mean())


def _module_seed(seed: int, name: str) -> int:
    """A layer is drawn the same whatever else is: then a cascade of stages is one network, step by step."""
    return (seed * 1_000_003 + sum((i + 1) * ord(c) for i, c in enumerate(name))) % 2**31


def _devices(network: nn.Module) -> Sequence[int]:
    return sorted({p.device.index or 0 for p in network.parameters() if p.is_cuda})
