"""Load weights into a network: other numbers of classes and other input sizes, and mismatches in one sentence."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.quoting import printable

MAX_CLASSES = 1_000_000
"""Largest number of outputs that a file may request for the last layer."""


def load_weights(network: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network. Raises `ModelError`, which describes the mismatch in one sentence."""
    own_state = network.state_dict()
    mismatched = [key for key in own_state if key in state and own_state[key].shape != state[key].shape]
    if mismatched:
        key = mismatched[0]
        advice = _size_advice(network, state) or "Check the architecture and its width."
        raise ModelError(
            f"{source} does not fit {type(network).__name__}: {key} is {tuple(state[key].shape)} in the file and "
            f"{tuple(own_state[key].shape)} in the network{_more(mismatched)}. {advice}"
        )
    for key, value in own_state.items():
        if key in state and value.is_floating_point() and not state[key].is_floating_point():
            kind = "complex numbers" if state[key].is_complex() else "integers, quantized without their scale"
            raise ModelError(
                f"{source} does not fit {type(network).__name__}: {key} contains {kind}. Save float tensors."
            )
    # Modules rename keys of their older versions (torchvision's ViT) according to the version in the file.
    weights = OrderedDict(state)
    versions = getattr(state, "_metadata", None)
    if versions is None and not set(own_state) - set(state):
        versions = own_state._metadata  # type: ignore[attr-defined]
    if versions is not None:
        weights._metadata = versions  # type: ignore[attr-defined]
    try:
        missing, extra = network.load_state_dict(weights, strict=False)
    except (RuntimeError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise ModelError(
            f"{source} does not fit {type(network).__name__}: {' '.join(printable(error, 400).split())[:200]}"
        ) from None
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or extra:
        lacks = f"lacks {missing[0]}{_more(missing)}" if missing else ""
        has = f"has {printable(extra[0])}{_more(extra)}, which the network does not" if extra else ""
        raise ModelError(
            f"{source} does not fit {type(network).__name__}: it {' and '.join(filter(None, (lacks, has)))}. "
            "Check the architecture."
        )


def without_auxiliary(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights without those of an auxiliary head, which a network of torchvision has in training only."""
    if getattr(network, "aux_classifier", network) is not None:
        return state
    return {key: value for key, value in state.items() if not key.startswith("aux_classifier.")}


def resize_heads(network: nn.Module, state: dict[str, Tensor]) -> int | None:
    """Return the number of classes of the weights, if it differs from that of the network.

    The last layers of the network are resized if the weights differ from it only in the number of their outputs.
    """
    own_state = network.state_dict()
    mismatched = {
        key.rpartition(".")[0] for key in own_state if key in state and own_state[key].shape != state[key].shape
    }
    heads = {name: _head_with_rows(network.get_submodule(name), state.get(f"{name}.weight")) for name in mismatched}
    resized = [head for head in heads.values() if head is not None]
    if not resized or len(resized) < len(heads):
        return None
    for name, head in heads.items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, head)
    return min(len(head.weight) for head in resized)


def _head_with_rows(head: nn.Module, weight: Tensor | None) -> nn.Linear | nn.Conv2d | None:
    """Return a linear layer (or a 1 × 1 convolution, as in SqueezeNet) with as many outputs as `weight` has rows."""
    if weight is None or not isinstance(head, nn.Linear | nn.Conv2d) or head.weight.shape[1:] != weight.shape[1:]:
        return None
    if not 1 <= len(weight) <= MAX_CLASSES:
        raise ModelError(
            f"a last layer for {len(weight):,} classes cannot be explained: 1 to {MAX_CLASSES:,} are supported."
        )
    if isinstance(head, nn.Linear):
        return nn.Linear(head.in_features, len(weight), head.bias is not None, dtype=head.weight.dtype)
    if head.kernel_size != (1, 1) or head.groups != 1:
        return None
    return nn.Conv2d(head.in_channels, len(weight), 1, bias=head.bias is not None, dtype=head.weight.dtype)


def resize_positions(network: nn.Module, state: Mapping[str, Tensor], size: tuple[int, int]) -> None:
    """Give a network of timm the input size of weights whose position embedding has another number of positions.

    Args:
        network: The network, which is modified.
        state: The weights. Nothing is changed if their position embedding fits, since that of `network` would have to
            be interpolated.
        size: (height, width) of the network input.

    Raises:
        ModelError: The network does not accept the size.
    """
    if not _has_other_positions(network, state):
        return
    resizable: Any = network
    try:
        resizable.set_input_size(img_size=size)
    except Exception as error:  # an assertion where a size is no multiple of the patch size
        raise ModelError(
            f"{type(network).__name__} does not accept an input of {size[0]} × {size[1]} pixels: "
            f"{' '.join(printable(error, 400).split())[:200]}"
        ) from None


def _has_other_positions(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    own, stored = getattr(network, "pos_embed", None), state.get("pos_embed")
    if not isinstance(own, Tensor) or stored is None or not hasattr(network, "set_input_size"):
        return False
    return own.ndim == stored.ndim == 3 and own.shape[1] != stored.shape[1] and own.shape[2] == stored.shape[2]


def _size_advice(network: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Return which input size makes weights fit, after trying it on a copy; "" if none does."""
    if not _has_other_positions(network, state):
        return ""
    tried: Any = copy.deepcopy(network)
    n_prefix = 0 if getattr(tried, "no_embed_class", False) else int(getattr(tried, "num_prefix_tokens", 0))
    n_patches = max(state["pos_embed"].shape[1] - n_prefix, 0)
    side = math.isqrt(n_patches)
    if side**2 != n_patches:
        return f"Its {n_patches} positions are no square: pass --size HEIGHTxWIDTH, or size=(height, width)."
    try:
        height, width = (side * int(patch) for patch in tried.patch_embed.patch_size)
        tried.set_input_size(img_size=(height, width))
        resize_heads(tried, dict(state))
    except Exception:  # of timm: any
        return ""
    fitted = tried.state_dict()
    if any(fitted[key].shape != state[key].shape for key in fitted if key in state):
        return ""
    how = f"--size {height}, or size={height}" if height == width else f"size=({height}, {width})"
    return f"Its positions are those of an input of {height} × {width} pixels: pass {how}."


def _more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
