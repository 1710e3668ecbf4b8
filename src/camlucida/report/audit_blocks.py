"""Compressed blocks of data inside a page: gzip in base64, which the browser decompresses when it needs them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

GZIP_LEVEL = 6


def text_block(content: Mapping[str, Any]) -> str:
    """Return JSON-ready content as a block."""
    return _block(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())


def array_block(values: NDArray[Any]) -> str:
    """Return the bytes of an array, in C order and little-endian, as a block."""
    return _block(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).tobytes())


def rounded_bits(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return values as float32 with 16 bits of the mantissa, about 4.8 decimal digits, which compress better."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    finite = np.isfinite(values)
    rounded = np.where(finite, (bits + np.uint32(0x40)) & np.uint32(0xFFFFFF80), bits)
    return rounded.astype(np.uint32).view(np.float32)


def _block(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, GZIP_LEVEL, mtime=0)).decode()
