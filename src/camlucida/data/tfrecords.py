"""Reader of TFRecord files and `tf.train.Example` messages that does not need TensorFlow.

- `read_records`: the offset and content of each record in a file
- `parse_example`: the features of a `tf.train.Example` by name, as bytes, floats or integers
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from camlucida.errors import DataError

FeatureValues: TypeAlias = list[bytes] | list[float] | list[int]
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


def read_records(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the content of every record. Raises `DataError` if the file is truncated.

    A record consists of its length (8 bytes), a checksum (4 bytes), the content and a checksum (4 bytes). The checksums
    are not verified.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        while head := stream.read(12):
            start = stream.tell()
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size
            if start + length + 4 > size:
                raise DataError(f"{file} is truncated or not a TFRecord file: a record exceeds the end of the file.")
            yield start, stream.read(length)
            stream.seek(4, 1)


def parse_example(content: bytes) -> dict[str, FeatureValues]:
    """Return the features of a serialised `tf.train.Example`. Raises `DataError` if it is not one."""
    try:
        entries = [
            entry
            for features in _parse_fields(content).get(1, ())
            for entry in _parse_fields(_expect_bytes(features)).get(1, ())
        ]
        pairs = [_parse_fields(_expect_bytes(entry)) for entry in entries]
        return {_expect_bytes(pair[1][0]).decode(): _parse_feature(_expect_bytes(pair[2][0])) for pair in pairs}
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"a record is not a tf.train.Example: {error}.") from None


def _parse_feature(feature: bytes) -> FeatureValues:
    """Return the values of a feature: a list of bytes (field 1), floats (2) or integers (3), mostly packed."""
    fields = _parse_fields(feature)
    field_number = min(fields, default=1)
    values = _parse_fields(_expect_bytes(fields[field_number][0])).get(1, []) if field_number in fields else []
    if field_number == 1:
        return [_expect_bytes(value) for value in values]
    if field_number == 2:
        return [float(f) for value in values for f in np.frombuffer(_expect_bytes(value), dtype="<f4")]
    integers = [n for value in values for n in ([value] if isinstance(value, int) else _varints(value))]
    return [n - (1 << 64) if n >> 63 else n for n in integers]


def _expect_bytes(value: bytes | int) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError("a number instead of content")


def _parse_fields(message: bytes) -> dict[int, list[bytes | int]]:
    """Return the values of each field of a message by field number."""
    fields: dict[int, list[bytes | int]] = {}
    offset = 0
    while offset < len(message):
        key, offset = _varint(message, offset)
        wire_type = key & 7
        if wire_type == VARINT:
            value: bytes | int
            value, offset = _varint(message, offset)
        else:
            if wire_type not in (FIXED64, BYTES, FIXED32):
                raise ValueError(f"a field of kind {wire_type}")
            length, offset = (
                _varint(message, offset) if wire_type == BYTES else (8 if wire_type == FIXED64 else 4, offset)
            )
            value, offset = message[offset : offset + length], offset + length
            if offset > len(message):
                raise ValueError("it is truncated")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varints(packed: bytes) -> list[int]:
    values, offset = [], 0
    while offset < len(packed):
        number, offset = _varint(packed, offset)
        values.append(number)
    return values


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    """Return an integer in base-128 encoding and the offset behind it."""
    number = shift = 0
    while True:
        byte = message[offset]
        number |= (byte & 127) << shift
        offset, shift = offset + 1, shift + 7
        if not byte & 128:
            return number, offset
        if shift > 63:
            raise ValueError("an unterminated number")
