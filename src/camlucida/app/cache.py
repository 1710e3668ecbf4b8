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
        room: The maximum size of all values, in bytes.
        size: Returns the size of a value in bytes.
    """

    def __init__(self, room: int, size: Callable[[T], int] = len) -> None:  # type: ignore[assignment]
        self.room = room
        self._size = size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """The size of all kept values, in bytes."""
        return self._used

    def get(self, key: Hashable) -> T | None:
        """Return the value of a key, or None; the key becomes the most recently used one."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: Hashable, value: T) -> None:
        """Store a value; a value larger than the whole cache is not stored."""
        size = self._size(value)
        with self._lock:
            if key in self._kept:
                self._used -= self._size(self._kept.pop(key))
            if size > self.room:
                return
            self._kept[key] = value
            self._used += size
            while self._used > self.room:
                _, oldest = self._kept.popitem(last=False)
                self._used -= self._size(oldest)
