"""Answers that were given, by what they depend on; the least recently asked go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """At most `room` bytes, as `size` counts them. Safe for threads."""

    def __init__(self, room: int, size: Callable[[T], int] = len) -> None:  # type: ignore[assignment]
        self.room = room
        self._size = size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes kept now."""
        return self._used

    def get(self, key: Hashable) -> T | None:
        """What is kept under the key, which makes it the most recent."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: Hashable, value: T) -> None:
        """Keep it; what is larger than the whole room is not kept."""
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
