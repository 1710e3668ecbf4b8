"""Freed memory is kept by the process of a command, where the C library can."""

from __future__ import annotations

import ctypes
import resource
import sys

import pytest

from camlucida.cli import allocator

glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the C library is not glibc")


def page_faults_of_ten_buffers(n_bytes: int) -> int:
    """Page faults of ten buffers that are written and freed in turns, by malloc."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        buffer = libc.malloc(n_bytes)
        ctypes.memset(buffer, 1, n_bytes)
        libc.free(buffer)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_pages_are_reused():
    assert allocator.keep_freed_memory()
    n_bytes = 2**24
    assert page_faults_of_ten_buffers(n_bytes) < 2 * n_bytes // resource.getpagesize()


def test_other_systems(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()


def test_other_c_libraries(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert not allocator.keep_freed_memory()
