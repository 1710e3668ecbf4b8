"""Selection of the trainable layers in each epoch: the head, all, or successively more from the end."""

from __future__ import annotations

import math

from torch import nn

from camlucida.models.heads import last_layer

MAX_BLOCK_FRACTION = 0.2
"""Fraction of all parameters above which a module is split into its children, which are unfrozen separately."""


def unfreeze(network: nn.Module, train: str, epoch: int, epochs: int) -> None:
    """Make the layers of an epoch (0, 1, …) trainable and put them into train mode; all others are frozen in eval mode.

    Frozen batch norms use their running statistics without updating them, so that a frozen backbone computes the same
    function for every batch.
    """
    if train == "all":
        network.requires_grad_(True).train()
        return
    blocks = [network.get_submodule(name) for name in block_names(network)]
    network.requires_grad_(False).eval()
    for block in blocks[len(blocks) - n_trainable_blocks(len(blocks), train, epoch, epochs) :]:
        block.requires_grad_(True).train()
    if train == "gradual" and epoch == epochs - 1:
        network.requires_grad_(True).train()  # includes parameters outside any block, such as a class token


def n_trainable_blocks(blocks: int, train: str, epoch: int, epochs: int) -> int:
    """Return the number of trainable blocks at the end: one, the head, in the first epoch, and all in the last."""
    return 1 if train == "head" else 1 + math.ceil((blocks - 1) * epoch / (epochs - 1))


def block_names(network: nn.Module) -> list[str]:
    """Return the names of the modules with weights in order, the head last."""
    total = sum(p.numel() for p in network.parameters())
    head = last_layer(network)
    return [*(name for name in _split_into_blocks(network, "", total) if name != head), head]


def _split_into_blocks(module: nn.Module, prefix: str, total: int) -> list[str]:
    names: list[str] = []
    for child, part in module.named_children():
        name = f"{prefix}{child}"
        size = sum(p.numel() for p in part.parameters())
        if size > MAX_BLOCK_FRACTION * total and any(True for _ in part.children()):
            names += _split_into_blocks(part, f"{name}.", total)
        elif size:
            names.append(name)
    return names
