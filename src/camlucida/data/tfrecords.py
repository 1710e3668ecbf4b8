"""TFRecord files and the examples in them, read without TensorFlow.

records   where each record lies in a file
example   the bytes of a tf.train.Example -> name of a feature: bytes, floats or whole numbers
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from camlucida.errors import DataError

Value: TypeAlias = list[bytes] | list[float] | list[int]
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of fields in a protocol buffer."""


def records(file: Path) -> Iterator[tuple[int, bytes]]:
    """(where its content begins, its content) of every record. Raises `DataError` for a file that is cut off.

    A record is its length (8 bytes), a checksum (4), its content and a checksum (4), which are not looked at.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        while head := stream.read(12):
            start = stream.tell()
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size
            if start + length + 4 > size:
                raise DataError(f"{file} is cut off, or is no TFRecord file: a record goes over its end.")
            yield start, stream.read(length)
            stream.seek(4, 1)


def example(content: bytes) -> dict[str, Value]:
    """The features of an example. Raises `DataError` where it is none."""
    try:
        entries = [entry for features in _fields(content).get(1, ()) for entry in _fields(_bytes(features)).get(1, ())]
        pairs = [_fields(_bytes(entry)) for entry in entries]
        return {_bytes(pair[1][0]).decode(): _value(_bytes(pair[2][0])) for pair in pairs}
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"a record is no tf.train.Example: {error}.") from None


def _value(feature: bytes) -> Value:
    """A feature is a list of bytes (1), of floats (2) or of whole numbers (3); numbers are mostly packed."""
    kinds = _fields(feature)
    kind = min(kinds, default=1)
    values = _fields(_bytes(kinds[kind][0])).get(1, []) if kind in kinds else []
    if kind == 1:
        return [_bytes(value) for value in values]
    if kind == 2:
        return [float(f) for value in values for f in np.frombuffer(_bytes(value), dtype="<f4")]
    whole = [n for value in values for n in ([value] if isinstance(value, int) else _varints(value))]
    return [n - (1 << 64) if n >> 63 else n for n in whole]


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a number where there should be content")


def _fields(message: bytes) -> dict[int, list[bytes | int]]:
    """Number of a field -> its values."""
    found: dict[int, list[bytes | int]] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value: bytes | int
            value, at = _varint(message, at)
        else:
            if kind not in (FIXED64, BYTES, FIXED32):
                raise ValueError(f"a field of kind {kind}")
            length, at = _varint(message, at) if kind == BYTES else (8 if kind == FIXED64 else 4, at)
            value, at = message[at : at + length], at + length
            if at > len(message):
                raise ValueError("it is cut off")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varints(packed: bytes) -> list[int]:
    found, at = [], 0
    while at < len(packed):
        number, at = _varint(packed, at)
        found.append(number)
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, and where the next one begins."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return number, at
        if shift > 63:
            raise ValueError("a number that does not end")
