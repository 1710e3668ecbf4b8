"""Batches of images: read by threads while the network runs on earlier ones, and run so that one image fails alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.errors import CamlucidaError
from camlucida.models.model import Model

READ_AHEAD_BATCHES = 2
"""Batches that are read before the network needs them. More would only hold memory."""

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
