"""Settings of the C library's memory allocator for commands that run a network on many batches."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, from malloc.h of glibc."""
TRIM_BYTES = 2**30
"""Freed memory at the end of the heap that is kept, in bytes."""
MMAP_BYTES = 2**30, 2**25
"""Sizes, in bytes, from which memory is a mapping of its own, which is returned when freed; the second is the largest
that old versions of glibc allow.
"""


def keep_freed_memory() -> bool:
    """Let glibc keep the memory that a batch frees for the next batch, and return whether it does.

    By default it is returned to the system after every batch, and every page of the next batch is a page fault, which
    takes a quarter of the processor time of small networks on virtual machines. This process only; where the C library
    is another one, nothing changes. `benchmarks/audit_throughput.py` measures both.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    is_set = any(mallopt(M_MMAP_THRESHOLD, n_bytes) for n_bytes in MMAP_BYTES)
    return is_set and bool(mallopt(M_TRIM_THRESHOLD, TRIM_BYTES))
