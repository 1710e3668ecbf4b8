"""Settings of PyTorch that the caller has switched on: they apply to the network, and never to maps and metrics.

Autocast, inference mode and the default device belong to a thread, and anomaly detection to the process. The default
dtype belongs to the process, too. It is not switched, since other threads would notice; the code of this package names
the dtype of the tensors that it creates instead. Deterministic algorithms compute the same values on a CPU.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu", "privateuseone")
"""Types of devices that autocast is switched off for."""


@dataclass(frozen=True)
class CallerSettings:
    """What the caller of this package has switched on for the operations of a thread.

    Attributes:
        autocast: Types of devices with autocast on, each with its dtype.
        cache_enabled: Whether autocast caches converted weights.
        device: The default device; None if it is the CPU.
    """

    autocast: tuple[tuple[str, torch.dtype], ...]
    cache_enabled: bool
    device: torch.device | None

    @classmethod
    def current(cls) -> CallerSettings:
        """Return the settings of the current thread."""
        device = torch.get_default_device()
        return cls(
            tuple((kind, torch.get_autocast_dtype(kind)) for kind in DEVICE_TYPES if torch.is_autocast_enabled(kind)),
            torch.is_autocast_cache_enabled(),
            None if device.type == "cpu" else device,
        )


_of_caller: ContextVar[CallerSettings | None] = ContextVar("camlucida_caller_settings", default=None)


@contextmanager
def plain_arithmetic() -> Iterator[None]:
    """Run a block, or a decorated function, in the precision of its tensors and on their devices.

    Autocast, inference mode, anomaly detection and a default device other than the CPU are off in the block. Network
    copies switch autocast and the default device on again while they run, see `caller_settings`. The block must not
    contain a `yield`, since these are settings of the whole thread. Grad mode is not modified.
    """
    settings = CallerSettings.current()
    with ExitStack() as stack:
        if _of_caller.get() is None:  # the outermost block: inside it, the settings are those of this package
            token = _of_caller.set(settings)
            stack.callback(_of_caller.reset, token)
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))  # also switches grad mode on
            stack.enter_context(torch.set_grad_enabled(False))
        for kind, dtype in settings.autocast:
            stack.enter_context(torch.autocast(kind, dtype, enabled=False))
        if settings.device is not None:
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_anomaly_off)
        yield


@contextmanager
def caller_settings() -> Iterator[None]:
    """Run a network as its caller would: with the autocast and default device that `plain_arithmetic` switched off.

    An autocast that this package switched on itself (`precision="bf16"`) has priority.
    """
    settings = _of_caller.get()
    if settings is None or not (settings.autocast or settings.device):
        yield
        return
    with ExitStack() as stack:
        for kind, dtype in settings.autocast:
            if not torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, dtype, cache_enabled=settings.cache_enabled))
        if settings.device is not None:
            stack.enter_context(settings.device)
        yield


@contextmanager
def without_callers_autocast() -> Iterator[None]:
    """Run networks in the block in the precision of their tensors, also if their caller switched autocast on."""
    settings = _of_caller.get()
    if settings is None or not settings.autocast:
        yield
        return
    token = _of_caller.set(replace(settings, autocast=()))
    try:
        yield
    finally:
        _of_caller.reset(token)


class _AnomalyOff:
    """Context manager without anomaly detection, which belongs to the process: the last thread to leave restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._check_nan: bool | None = None  # of the caller; None if detection was off

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if torch.is_anomaly_enabled():
                self._check_nan = torch.is_anomaly_check_nan_enabled()
                torch.autograd.set_detect_anomaly(False)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside and self._check_nan is not None:
                torch.autograd.set_detect_anomaly(True, self._check_nan)
                self._check_nan = None


_anomaly_off = _AnomalyOff()
