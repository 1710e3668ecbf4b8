"""The conflict of triton and TensorFlow, whose copies of LLVM abort the process where triton is imported second.

torchvision and timm import triton through PyTorch's compiler, where it is installed. Imported first, it does no harm.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys

from camlucida.errors import ModelError


def import_triton_first() -> None:
    """Import triton if it is installed and TensorFlow, which may be imported next, is not imported yet."""
    if "tensorflow" not in sys.modules and "triton" not in sys.modules and _is_installed():
        with contextlib.suppress(ImportError):
            importlib.import_module("triton")


def would_abort() -> bool:
    """Return whether importing torchvision or timm would abort the process."""
    return "tensorflow" in sys.modules and "triton" not in sys.modules and _is_installed()


def check_import(package: str) -> None:
    """Raise `ModelError` where importing a package would abort the process."""
    if package not in sys.modules and would_abort():
        raise ModelError(
            f"{package} cannot be imported in this process, which has imported TensorFlow: both contain LLVM, and the "
            f"process would abort. Import {package} first: put `import {package}` before TensorFlow and Keras."
        )


def _is_installed() -> bool:
    return importlib.util.find_spec("triton") is not None
