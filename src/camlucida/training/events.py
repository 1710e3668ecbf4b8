"""Curves in TensorBoard's own format: records of a length, the bytes of a small protobuf and two checksums."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import cache


def event_file(points: Iterable[tuple[float, int, Mapping[str, float]]], begun: float) -> bytes:
    """The content of an events file.

    points   (seconds since the epoch, step, tag -> value)
    begun    seconds since the epoch
    """
    records = [_double(1, begun) + _bytes(3, b"brain.Event:2")]
    for moment, step, values in points:
        summary = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
        records.append(_double(1, moment) + _varint(2 << 3) + _varint(step) + _bytes(5, summary))
    return b"".join(_record(record) for record in records)


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    """CRC-32C, masked as TFRecord has it."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        rows.append(byte)
    return tuple(rows)


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)
