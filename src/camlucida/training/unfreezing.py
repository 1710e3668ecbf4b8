"""Which layers learn in which epoch: the head, all, or more and more of them from the end."""

from __future__ import annotations

import math

from torch import nn

from camlucida.models.heads import last_layer

MAX_BLOCK_FRACTION = 0.2
"""Share of all parameters above which a part of the network is looked into: it thaws in pieces."""


def unfreeze(network: nn.Module, train: str, epoch: int, epochs: int) -> None:
    """Set what learns in this epoch (0, 1, …), and put it into train mode; the rest is as in eval mode.

    Frozen batch norms use and keep the numbers they came with: a frozen backbone is the same function for every batch.
    """
    if train == "all":
        network.requires_grad_(True).train()
        return
    blocks = [network.get_submodule(name) for name in block_names(network)]
    network.requires_grad_(False).eval()
    for block in blocks[len(blocks) - n_trainable_blocks(len(blocks), train, epoch, epochs) :]:
        block.requires_grad_(True).train()
    if train == "gradual" and epoch == epochs - 1:
        network.requires_grad_(True).train()  # also what stands in no block, such as a class token


def n_trainable_blocks(blocks: int, train: str, epoch: int, epochs: int) -> int:
    """How many of the last blocks learn: one, the head, in the first epoch, all in the last."""
    return 1 if train == "head" else 1 + math.ceil((blocks - 1) * epoch / (epochs - 1))


def block_names(network: nn.Module) -> list[str]:
    """The names of the parts with weights, in their order, the head last."""
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
