"""The device that a network runs on, as the user names it."""

from __future__ import annotations

import torch

from camlucida.errors import ModelError
from camlucida.options import shown

AUTO = "auto"
"""The first GPU of CUDA (or ROCm) if there is one, otherwise the CPU. Apple's GPUs (mps) have no float64, which several
methods compute in, so they are used only if they are named."""


def resolve_device(name: str | torch.device | None) -> torch.device:
    """Return the device of a name, after a tensor was created there and read back.

    Args:
        name: "auto" (or None), "cpu", "cuda", "cuda:1", "mps", or a device of PyTorch.

    Raises:
        ModelError: If there is no such device on this machine.
    """
    if name is not None and not isinstance(name, str | torch.device):
        raise ModelError(f"device is auto, cpu, cuda, cuda:1 or mps, not {shown(name)}.")
    if name is None or name == AUTO:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device, dtype=torch.float32).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0][:120]
        raise ModelError(
            f"no device {shown(str(name))} on this machine, which has {', '.join(available_devices())}: {reason}. "
            "Choose one of these, or auto."
        ) from None
    return device


def available_devices() -> list[str]:
    """Return the names of the devices that PyTorch finds on this machine."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names
