"""Gradient checkpointing is off while a network copy runs.

Checkpointing (Chen et al., 2016) saves memory in training: a segment of the network runs without a graph, and again in
the backward pass. Layers inside it are then called twice, the second time outside of a recording, and their outputs are
not part of its graph. Checkpointing changes no value, so a copy runs each segment directly.
"""

from __future__ import annotations

import inspect
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch.utils.checkpoint
from torch import nn

FLAGS = ("grad_checkpointing", "gradient_checkpointing", "use_checkpoint", "use_grad_checkpointing", "with_cp")
"""Attributes of modules that switch checkpointing on, in timm, transformers, Swin, diffusion models, BLIP, OpenMMLab.

They matter for networks with a checkpointing of their own; calls of `torch.utils.checkpoint` need no flag.
"""
OPTIONS = (
    "use_reentrant",
    "preserve_rng_state",
    "context_fn",
    "determinism_check",
    "debug",
    "early_stop",
    "respect_saved_tensors_hooks",
)
"""Keyword arguments of `torch.utils.checkpoint.checkpoint` that are not passed to the segment."""


def clear_flags(module: nn.Module) -> None:
    """Switch off the checkpointing of a module of a copy that has one of the known flags."""
    for flag in FLAGS:
        if vars(module).get(flag) is True:
            setattr(module, flag, False)


@contextmanager
def no_checkpointing() -> Iterator[None]:
    """Run segments that are passed to `torch.utils.checkpoint` directly, in this block and thread only.

    A network may hold `checkpoint` under any name: imported, in a partial (transformers), behind a helper (timm). So
    neither names nor attributes are replaced, but the code of the function itself, while any copy is running. In other
    threads it runs the original code.
    """
    _swap.enter()
    token = _direct.set(True)
    try:
        yield
    finally:
        _direct.reset(token)
        _swap.leave()


_direct: ContextVar[bool] = ContextVar("camlucida_no_checkpointing", default=False)


class _CodeSwap:
    """Exchanges the code of torch's functions; the last block to end restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        module = torch.utils.checkpoint
        self._functions: dict[str, Any] = {"checkpoint": inspect.unwrap(module.checkpoint)}
        if hasattr(module, "_checkpoint_impl"):  # what the decorator form calls, in recent versions of torch
            self._functions["_checkpoint_impl"] = inspect.unwrap(module._checkpoint_impl)
        self.originals = {name: _duplicate(function) for name, function in self._functions.items()}

    def enter(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                for name, function in self._functions.items():
                    function.__code__ = _REPLACEMENTS[name].__code__

    def leave(self) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                for name, function in self._functions.items():
                    function.__code__ = self.originals[name].__code__


def _duplicate(function: Any) -> Callable[..., Any]:
    duplicate = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    duplicate.__kwdefaults__ = function.__kwdefaults__
    return duplicate


def run_checkpoint(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Run a segment directly inside `no_checkpointing`, otherwise as `torch.utils.checkpoint.checkpoint` does."""
    if function is None or not _direct.get():  # None: the decorator form
        return _swap.originals["checkpoint"](function, *args, **options)
    kwargs = {key: value for key, value in options.items() if key not in OPTIONS}
    return _run_segment(function, args, kwargs, options.get("context_fn"))


def run_checkpoint_impl(function: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Do the same for `torch.utils.checkpoint._checkpoint_impl`."""
    if not _direct.get():
        return _swap.originals["_checkpoint_impl"](function, args, kwargs, **options)
    return _run_segment(function, args, kwargs, options.get("context_fn"))


def _run_segment(function: Any, args: Any, kwargs: Any, context_fn: Any) -> Any:
    if context_fn is None:
        return function(*args, **kwargs)
    forward_context, _ = context_fn()  # it may change what the segment computes
    with forward_context:
        return function(*args, **kwargs)


# The code of these functions runs with the globals of `torch.utils.checkpoint`, so everything is imported inside.
def _checkpoint(function: Any = None, *args: Any, **options: Any) -> Any:
    from camlucida.engine.checkpointing import run_checkpoint

    return run_checkpoint(function, args, options)


def _checkpoint_impl(function: Any, args: Any, kwargs: Any, **options: Any) -> Any:
    from camlucida.engine.checkpointing import run_checkpoint_impl

    return run_checkpoint_impl(function, args, kwargs, options)


_REPLACEMENTS: dict[str, Any] = {"checkpoint": _checkpoint, "_checkpoint_impl": _checkpoint_impl}
_swap = _CodeSwap()
