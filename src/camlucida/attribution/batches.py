"""Batches of images: read and written by threads while the network runs, and run so that one image fails alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.errors import CamlucidaError
from camlucida.models.model import Model

READ_AHEAD_BATCHES = 2
"""Batches that are read before the network needs them. More would only hold memory."""

WRITTEN_BEHIND = 2
"""Results that wait to be written."""

READERS = 2
"""Threads that read images. Decoding releases the interpreter's lock, so that the network runs meanwhile."""

K = TypeVar("K")
T = TypeVar("T")
X = TypeVar("X")


def read_ahead(read: Callable[[K], T], batches: Iterable[Sequence[K]]) -> Generator[list[T], None, None]:
    """Yield the values of each batch in order, while threads read those of the next batches.

    Args:
        read: Reads one value. What it raises is raised where its batch would be yielded.
        batches: The keys of each batch; consumed two batches ahead.
    """
    waiting: deque[list[Future[T]]] = deque()
    with ThreadPoolExecutor(READERS, thread_name_prefix="camlucida-read") as readers:
        try:
            for batch in batches:
                waiting.append([readers.submit(read, key) for key in batch])
                if len(waiting) > READ_AHEAD_BATCHES:
                    yield [future.result() for future in waiting.popleft()]
            while waiting:
                yield [future.result() for future in waiting.popleft()]
        finally:  # the caller stopped early: what has not begun is not read
            for futures in waiting:
                for future in futures:
                    future.cancel()


def write_behind(results: Iterable[K], write: Callable[[K], T]) -> Generator[tuple[K, T], None, None]:
    """Yield each result with what `write` returns for it, while the next ones are computed.

    If the computation stops, also by Ctrl-C, the results before are yielded first.

    Args:
        results: The results.
        write: Writes the files of one result, in a thread. What it raises is raised where the result would be yielded.
    """
    source, stopped = iter(results), None
    waiting: deque[tuple[K, Future[T]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="camlucida-write") as writer:
        try:
            while True:
                try:
                    result = next(source)
                except StopIteration:
                    break
                except BaseException as error:
                    stopped = error
                    break
                waiting.append((result, writer.submit(copy_context().run, write, result)))
                del result
                if len(waiting) > WRITTEN_BEHIND:
                    yield _first_written(waiting)
            while waiting:
                yield _first_written(waiting)
        finally:
            for _, future in waiting:
                future.cancel()
    if stopped is not None:
        raise stopped


def _first_written(waiting: deque[tuple[K, Future[T]]]) -> tuple[K, T]:
    result, future = waiting.popleft()
    return result, future.result()


def run_batch(model: Model, images: Sequence[X | None], run: Callable[[Sequence[X]], Sequence[T]]) -> list[T | str]:
    """Return the output of each image of a batch, or the reason why the network failed on it.

    If the batch fails, its images are run one at a time, so that only those that cause the failure are lost. Sums
    depend on the number of images in the last digits. An image that is missing or that failed is therefore replaced by
    another image of the batch, so that the outputs of all others are those of the complete batch, bit for bit.

    Args:
        model: The model, for the messages.
        images: The images; None for those that could not be read, whose output is "".
        run: Returns one output per image.

    Raises:
        Exception: Raised by `run`, unless it is a `CamlucidaError` or was raised by the network.
    """
    readable = [image for image in images if image is not None]
    if not readable:
        return ["" for _ in images]
    filled = [readable[0] if image is None else image for image in images]
    outputs: list[T | str] = list(_run_or_reason(model, filled, run))
    return ["" if image is None else output for image, output in zip(images, outputs, strict=True)]


def _run_or_reason(
    model: Model, images: Sequence[X], run: Callable[[Sequence[X]], Sequence[T]]
) -> Sequence[T | str] | Sequence[T]:
    try:
        return run(images)
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        if len(images) == 1:
            return [str(error) if isinstance(error, CamlucidaError) else describe_network_error(error, model)]
    singles: list[T | str] = [output for image in images for output in _run_or_reason(model, [image], run)]
    works = [image for image, output in zip(images, singles, strict=True) if not isinstance(output, str)]
    if not works or len(works) == len(images):
        return singles
    filled = [works[0] if isinstance(output, str) else image for image, output in zip(images, singles, strict=True)]
    try:
        together = run(filled)
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        return singles  # a network that takes single images only
    return [output if isinstance(output, str) else again for output, again in zip(singles, together, strict=True)]
