"""The cache: its limit in bytes, eviction of the least recently used entry, and thread safety."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from typing import Any

import pytest

from camlucida.app.app_state import Page
from camlucida.app.cache import Cache


def test_least_recently_used_entry_is_evicted() -> None:
    cache: Cache[bytes] = Cache(10)
    for key in "abc":
        cache.put(key, b"xxx")
    assert cache.get("a") == b"xxx"  # used again
    cache.put("d", b"xxxx")
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.used == 10


def test_replaced_entry_counts_once() -> None:
    cache: Cache[bytes] = Cache(10)
    for size in (4, 9, 2):
        cache.put("a", b"x" * size)
        assert cache.used == size


def test_too_large_entry_is_not_cached_and_evicts_nothing() -> None:
    cache: Cache[bytes] = Cache(10)
    cache.put("a", b"xxx")
    cache.put("b", b"x" * 11)
    assert cache.get("b") is None
    assert cache.get("a") == b"xxx"
    cache.put("a", b"x" * 11)  # the previous value is outdated
    assert (cache.get("a"), cache.used) == (None, 0)


@pytest.mark.parametrize("seed", range(5))
def test_cache_equals_reference_implementation(seed: int) -> None:
    """Compare with a simple reference implementation."""
    draw, cache = random.Random(seed), Cache[bytes](50)
    plain: OrderedDict[int, bytes] = OrderedDict()
    for _ in range(2000):
        key = draw.randrange(12)
        if draw.random() < 0.5:
            assert cache.get(key) == plain.get(key)
            if key in plain:
                plain.move_to_end(key)
        else:
            value = bytes(draw.randrange(60))
            cache.put(key, value)
            plain.pop(key, None)
            if len(value) <= 50:
                plain[key] = value
                while sum(map(len, plain.values())) > 50:
                    plain.popitem(last=False)
        assert cache.used == sum(map(len, plain.values()))


def test_cache_is_thread_safe() -> None:
    cache: Cache[bytes] = Cache(200)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(3000):
            key = draw.randrange(20)
            found = cache.get(key)
            if found is not None and found != bytes([key]) * (key + 1):
                wrong.append((key, found))
            cache.put(key, bytes([key]) * (key + 1))
            if cache.used > 200:
                wrong.append(cache.used)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.used == sum(len(value) for key in range(20) if (value := cache.get(key)) is not None)


def test_concurrent_requests_find_layers_once(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    from camlucida.app import model_entry

    found, calls = model_entry.candidates, []

    def counted(*given: Any) -> Any:
        calls.append(given)
        return found(*given)

    monkeypatch.setattr(model_entry, "candidates", counted)
    served, seen = page.model(None), []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        seen.append([layer.name for layer in served.layers])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["layer1", "layer2", "layer3", "layer4"]] * 8
    assert len(calls) == 1
