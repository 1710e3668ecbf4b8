"""Networks that can be explained in part only (scripted parts, a fixed batch size): the reason in one sentence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from camlucida.engine import nested
from camlucida.engine.batch_axes import select_image
from camlucida.engine.image_axes import is_image
from camlucida.engine.named_inputs import call_network
from camlucida.engine.network_copy import NetworkCopy

BATCH_SIZES = (1, 2, 3)
"""Batch sizes that are tried after a network raised an error."""
LARGER_SIZES = (4, 8, 16, 32)
"""Batch sizes that are tried if the network runs on none of the smaller ones."""


def scripted_parts(copy: NetworkCopy) -> list[str]:
    """Return the names of the scripted or traced modules in a network, outermost ones only."""
    names = [name for module, name in copy.names.items() if isinstance(module, torch.jit.ScriptModule)]
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def scripted_hint(copy: NetworkCopy, name: str | None = None) -> str:
    """Return a sentence about the scripted parts of a network, to be appended to a message; empty if there are none.

    Args:
        copy: The network copy.
        name: A layer: the sentence is about this layer, and empty if it is not in a scripted part.
    """
    parts = scripted_parts(copy)
    if name is not None:
        part = next((part for part in parts if name == part or name.startswith(f"{part}.")), None)
        if part is None:
            return ""
        what = "is a scripted part" if name == part else f"is inside the scripted part {part!r}"
        return f"{name!r} {what} (torch.jit) of the network, where layers cannot be observed. {_ADVICE}"
    if not parts:
        return ""
    listed = ", ".join(map(repr, parts[:3])) + (" …" if len(parts) > 3 else "")
    return f" Layers inside scripted parts (torch.jit: {listed}) cannot be observed. {_ADVICE}"


_ADVICE = "Choose a layer outside, or use the Python module that the part was created from."


def fixed_batch_message(copy: NetworkCopy, inputs: Any) -> str:
    """Return a sentence if a network runs on batches of some sizes only; empty otherwise.

    Called after the network raised an error, since it runs the network on several batches of the first image.

    Args:
        copy: The network copy.
        inputs: Network inputs.
    """
    tried = sorted({*BATCH_SIZES, *_batch_sizes(inputs)})
    possible = [size for size in tried if _runs(copy, select_image(inputs, 0, size))]
    impossible = [size for size in tried if size not in possible]
    possible = possible or [size for size in LARGER_SIZES if _runs(copy, select_image(inputs, 0, size))]
    if not impossible or not possible:
        return ""
    images = f"{' or '.join(map(str, possible))} image{'' if possible == [1] else 's'}"
    return (
        f"{type(copy.module).__name__} has a fixed batch size: it runs on {images} at once, and not on "
        f"{', '.join(map(str, impossible))}. Methods and checks run other batches than the one given. Where its "
        "forward reshapes with a constant number of images, use x.shape[0] or flatten(1)."
    )


def _batch_sizes(inputs: Any) -> set[int]:
    return {len(tensor) for _, tensor in nested.tensors(inputs) if is_image(tensor)}


def _runs(copy: NetworkCopy, inputs: Any) -> bool:
    def module_inputs(_: nested.Path, tensor: Tensor) -> Tensor:
        return tensor.detach().clone()

    with torch.inference_mode(False), torch.no_grad():
        try:
            arguments = nested.transform(inputs, module_inputs)
            call_network(copy.module, arguments)
        except Exception:
            return False
    return True
