"""A resumable pass over a data set, part by part: reading, the network and writing run at the same time.

Every command over a data set runs in this loop: `audit`, `evaluate`, `mistakes` and `embed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, Protocol, TypeVar

from camlucida.engine import compared_once
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.prediction_rows import batch_rows
from camlucida.evaluation.read_images import LoadedImage, ReadImage, batches_of, read_batches
from camlucida.evaluation.store import Row, Store
from camlucida.types import ProgressCallback

C = TypeVar("C", contravariant=True)
T = TypeVar("T")

BATCH_SIZE = 16
"""Images that the network runs at once where nothing else is said."""


class Has(Protocol):
    """What knows which parts of a pass are done."""

    def has(self, part: int, /) -> bool:
        """Return whether a part exists and is intact."""


class Parts(Has, Protocol[C]):
    """A folder of results in parts, such as `Store` and `AuditStore`."""

    def write(self, part: int, content: C, /) -> None:
        """Write one part atomically."""


class PassProgress:
    """Which parts of a pass are missing or damaged, and how many of its images are done.

    The first report, when this is created, counts the images of earlier runs.

    Attributes:
        missing: The numbers of the parts that are missing or damaged.
    """

    def __init__(self, store: Has, parts: Mapping[int, Sequence[int]], progress: ProgressCallback | None) -> None:
        """Check every part.

        Args:
            store: Where the parts are written.
            parts: By number, the indices of the images of each part.
            progress: Called with the number of images that are done and the total number.
        """
        self.missing = [number for number in parts if not store.has(number)]
        self._n_total = sum(map(len, parts.values()))
        self._n_done = self._n_total - sum(len(parts[number]) for number in self.missing)
        self._progress = progress
        self.advance(0)

    def advance(self, n_images: int) -> None:
        """Report that more images are done."""
        self._n_done += n_images
        if self._progress:
            self._progress(self._n_done, self._n_total)


def run_parts(
    dataset_pass: DatasetPass,
    store: Parts[C],
    parts: Mapping[int, Sequence[int]],
    batch_size: int,
    process: Callable[[int, Iterator[list[ReadImage]]], C],
    progress: ProgressCallback | None = None,
) -> None:
    """Process and write the parts of a pass that are missing or damaged.

    The images of the next batches are read, and the last part is written, while the network runs.

    Args:
        dataset_pass: The model and the images.
        store: Where the parts are written.
        parts: By number, the indices of the images of each part.
        batch_size: Number of images per batch.
        process: Returns the content of a part from its number and batches.
        progress: Called with the number of images that are done and the total number: first with those of earlier
            runs, then after every batch.
    """
    counter = PassProgress(store, parts, progress)
    batches = {number: batches_of(parts[number], batch_size) for number in counter.missing}
    read = read_batches(dataset_pass, (batch for number in batches for batch in batches[number]))

    def counted(number: int) -> Iterator[list[ReadImage]]:
        *earlier, _ = batches[number]
        for batch in earlier:
            yield next(read)
            counter.advance(len(batch))
        yield next(read)  # counted once the part is complete

    with closing(read), _Writer(store) as writer:
        for number in counter.missing:
            with compared_once():
                content = process(number, counted(number))
            writer.write(number, content)
            counter.advance(len(batches[number][-1]))


class _Writer:
    """Writes one part in a thread while the next one is processed."""

    def __init__(self, store: Parts[Any]) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="camlucida-write")
        self._pending: Future[None] | None = None

    def __enter__(self) -> _Writer:
        return self

    def write(self, number: int, content: Any) -> None:
        """Write a part, once the previous one is written. An error of the previous one is raised."""
        self._finish()
        self._pending = self._thread.submit(self._store.write, number, content)

    def _finish(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the last part, which is kept also if a later one failed."""
        self._thread.shutdown(wait=True)
        if kind is None:
            self._finish()


def run_pass(
    store: Store,
    dataset_pass: DatasetPass,
    run: Callable[[Sequence[LoadedImage]], Sequence[T]],
    make_row: Callable[[LoadedImage, T], Row],
    progress: ProgressCallback | None = None,
) -> None:
    """Write one row per image, part by part, and skip the parts that are already stored. A part is one batch.

    Args:
        store: Where the rows are written.
        dataset_pass: The model and the images.
        run: Runs the network on a batch, and returns one output per image.
        make_row: Returns the columns of an image from its output.
        progress: Called with the number of images done and the total number.
    """

    def rows(_: int, batches: Iterator[list[ReadImage]]) -> list[Row]:
        return [row for batch in batches for row in batch_rows(dataset_pass, batch, run, make_row)]

    run_parts(dataset_pass, store, dataset_pass.parts(BATCH_SIZE), BATCH_SIZE, rows, progress)
    store.finish()
