"""Batches are read ahead in order, and an image that fails costs no other image anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from torch import nn

import camlucida as cl
from camlucida.attribution.batches import READ_AHEAD_BATCHES, read_ahead, run_batch, write_behind
from camlucida.errors import ImageError

MODEL = cl.wrap(nn.Linear(3, 2))


def test_batches_come_in_order_and_overlap() -> None:
    seen: list[int] = []
    main = threading.get_ident()

    def read(key: int) -> int:
        assert threading.get_ident() != main
        time.sleep(0.002 * (key % 3))
        return 10 * key

    def batches() -> Iterator[Sequence[int]]:
        for start in range(0, 30, 3):
            seen.append(start)
            yield range(start, start + 3)

    found = read_ahead(read, batches())
    assert next(found) == [0, 10, 20]
    assert len(seen) == 1 + READ_AHEAD_BATCHES, "the next batches are read, and no others"
    assert [value for batch in found for value in batch] == [10 * key for key in range(3, 30)]


def test_closing_stops_reading() -> None:
    done: list[int] = []

    def read(key: int) -> None:
        time.sleep(0.01)
        done.append(key)

    found = read_ahead(read, [range(i, i + 4) for i in range(0, 400, 4)])
    next(found)
    found.close()
    n = len(done)
    time.sleep(0.05)
    assert len(done) == n <= 4 * (1 + READ_AHEAD_BATCHES)


def test_an_error_of_reading_is_raised_at_its_batch() -> None:
    def read(key: int) -> int:
        if key == 5:
            raise ValueError("five")
        return key

    found = read_ahead(read, [[0, 1, 2], [3, 4], [5, 6], [7]])
    assert [next(found), next(found)] == [[0, 1, 2], [3, 4]]
    with pytest.raises(ValueError, match="five"):
        next(found)


class Runs:
    """A network whose outputs show how many images it was given; it fails on some."""

    def __init__(self, failing: set[str], largest: int = 99) -> None:
        self.failing, self.largest, self.calls = failing, largest, list[list[str]]()

    def __call__(self, images: Sequence[str]) -> list[tuple[str, int]]:
        self.calls.append(list(images))
        if self.failing & set(images) or len(images) > self.largest:
            raise ImageError("it fails")
        return [(image, len(images)) for image in images]


def test_others_keep_the_number_of_images() -> None:
    runs = Runs({"b"})
    found = run_batch(MODEL, ["a", "b", None, "d"], runs)
    assert found == [("a", 4), "it fails", "", ("d", 4)]
    assert [len(call) for call in runs.calls] == [4, 1, 1, 1, 1, 4]


def test_missing_images_are_filled() -> None:
    runs = Runs(set())
    assert run_batch(MODEL, [None, "b", None], runs) == ["", ("b", 3), ""]
    assert runs.calls == [["b", "b", "b"]]
    assert run_batch(MODEL, [None, None], runs) == ["", ""]
    assert len(runs.calls) == 1


def test_networks_that_take_single_images() -> None:
    assert run_batch(MODEL, ["a", "b"], Runs(set(), largest=1)) == [("a", 1), ("b", 1)]
    found = run_batch(MODEL, ["a", "b", "c"], Runs({"b"}, largest=1))
    assert found == [("a", 1), "it fails", ("c", 1)]


def test_errors_of_the_caller_pass() -> None:
    def run(images: Sequence[str]) -> list[str]:
        raise KeyError(images[0])

    with pytest.raises(KeyError):
        run_batch(MODEL, ["a", "b"], run)


def test_results_are_written_behind_in_order() -> None:
    written: list[int] = []
    is_second_computed = threading.Event()

    def results() -> Iterator[int]:
        yield 0
        is_second_computed.set()
        yield from range(1, 7)

    def write(number: int) -> str:
        assert is_second_computed.wait(300)  # the first one is written while the next one is computed
        written.append(number)
        return f"{number}.png"

    assert list(write_behind(results(), write)) == [(i, f"{i}.png") for i in range(7)]
    assert written == list(range(7))


def test_ctrl_c_keeps_the_results_before() -> None:
    def results() -> Iterator[int]:
        yield from range(2)
        raise KeyboardInterrupt

    kept: list[tuple[int, str]] = []
    with pytest.raises(KeyboardInterrupt):
        kept.extend(write_behind(results(), str))
    assert kept == [(0, "0"), (1, "1")]


def test_an_error_of_writing_is_raised_at_its_result() -> None:
    def write(number: int) -> int:
        if number == 2:
            raise OSError("the disk is full")
        return number

    kept: list[tuple[int, int]] = []
    with pytest.raises(OSError, match="full"):
        kept.extend(write_behind(range(9), write))
    assert kept == [(0, 0), (1, 1)]


def test_writing_ends_with_its_reader() -> None:
    written: list[int] = []
    behind = write_behind(iter(range(1000)), written.append)
    assert next(behind) == (0, None)
    behind.close()
    assert written == list(range(len(written)))
    assert len(written) < 5
