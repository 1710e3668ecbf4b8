"""A thread-safe cache with a size limit; the least recently used entries are evicted first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """A least-recently-used cache.

    Args:
        max_bytes: The maximum size of all values, in bytes.
        size: Returns the size of a value in bytes.
    """

    def __init__(self, max_bytes: int, size: Callable[[T], int] = len) -> None:  # type: ignore[assignment]
        self.max_bytes = max_bytes
        self._size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """The size of all stored values, in bytes."""
        return self._used

    def get(self, key: Hashable) -> T | None:
        """Return the value of a key, or None; the key becomes the most recently used one."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: T) -> None:
        """Store a value; a value larger than the whole cache is not stored."""
        size = self._size(value)
        with self._lock:
            if key in self._values:
                self._used -= self._size(self._values.pop(key))
            if size > self.max_bytes:
                return
            self._values[key] = value
            self._used += size
            while self._used > self.max_bytes:
                _, oldest = self._values.popitem(last=False)
                self._used -= self._size(oldest)
