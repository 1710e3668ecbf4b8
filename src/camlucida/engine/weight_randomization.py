"""Weight randomisation: copies of a network with re-initialised weights, for sanity checks (Adebayo et al., 2018).

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from camlucida.engine.network_copy import duplicate, unwrapped
from camlucida.errors import ModelError
from camlucida.opaque_networks import described, has_layers

MAX_BLOCK_LAYERS = 8
"""Maximum number of layers with weights in a block (a residual block, a transformer block)."""


@dataclass(frozen=True)
class Stage:
    """Modules whose weights are re-initialised together.

    Attributes:
        name: Name of the stage.
        modules: Names of the modules with weights in it.
    """

    name: str
    modules: tuple[str, ...]


def stages(network: nn.Module) -> list[Stage]:
    """Split a network into stages, from the class scores to the input.

    A stage is a layer, or a block of a few layers where the network has blocks: `layer4.2`, `blocks.11`. Weights
    outside of layers (a class token) belong to the module that holds them.
    """
    if not has_layers(network):
        raise ModelError(f"the model is {described(network)}, whose weights cannot be re-initialised.")
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
    """Return a copy of the network with re-initialised weights in the selected stages.

    Layers are re-initialised as on construction, and norms reset their statistics. Weights without an initialisation of
    their own (a class token, a layer scale) are drawn from a normal distribution with their own mean and standard
    deviation. All other weights are shared with the network. The caller's random state is not changed.

    Args:
        network: The network, which is not modified.
        selected: The stages to re-initialise.
        seed: Seed of the random weights.
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
    for name, parameter in _own_parameters(module):  # separate storage, before anything is written to it
        setattr(module, name, nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if callable(reset):
        reset()
        return
    for _, parameter in _own_parameters(module):
        parameter.copy_(torch.randn_like(parameter) * parameter.std(correction=0) + parameter.mean())


def _module_seed(seed: int, name: str) -> int:
    """Return a seed that depends on the layer alone, so that the steps of a cascade share their random weights."""
    return (seed * 1_000_003 + sum((i + 1) * ord(c) for i, c in enumerate(name))) % 2**31


def _devices(network: nn.Module) -> Sequence[int]:
    return sorted({p.device.index or 0 for p in network.parameters() if p.is_cuda})
