"""The conflict of triton and TensorFlow, whose copies of LLVM abort the process where triton is imported second.

torchvision, timm and some functions of PyTorch import triton, where it is installed. Imported first, it does no harm.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from typing import Any


def import_triton_first() -> None:
    """Import triton if it is installed and TensorFlow, which may be imported next, is not imported yet."""
    if "tensorflow" not in sys.modules and "triton" not in sys.modules and _is_installed():
        with contextlib.suppress(ImportError):
            importlib.import_module("triton")


def prevent_abort() -> None:
    """Let imports of triton fail where they would abort the process: PyTorch then works as if it was not installed."""
    if "tensorflow" in sys.modules and "triton" not in sys.modules and _is_installed():
        modules: dict[str, Any] = sys.modules
        modules["triton"] = None


def _is_installed() -> bool:
    return importlib.util.find_spec("triton") is not None
