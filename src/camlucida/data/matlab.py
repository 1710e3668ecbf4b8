"""Lists in MATLAB's .mat files, as in the development kits of Stanford Dogs and ImageNet."""

from __future__ import annotations

import io
from typing import Any

from camlucida._optional import need
from camlucida.data.location import Location
from camlucida.errors import DataError


def read_mat(file: Location, *names: str) -> list[list[Any]]:
    """Return the variables `names`, each as a flat list. Raises `DataError`, which names missing variables."""
    scipy_io = need("scipy.io", extra="analysis", what=f"reading {file.name}")
    try:
        content = scipy_io.loadmat(io.BytesIO(file.read_bytes()), squeeze_me=True)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error}.") from None
    except Exception as error:  # loadmat raises ValueError, TypeError, NotImplementedError (v7.3), zlib.error ...
        raise DataError(f"{file} is not a readable .mat file: {error}.") from error
    missing = [name for name in names if name not in content]
    if missing:
        keys = ", ".join(name for name in content if not name.startswith("__"))
        raise DataError(f"{file} has no variable {' and '.join(missing)}; it has {keys or 'none'}.")
    return [content[name].reshape(-1).tolist() for name in names]
