"""Images of a chunk, read and preprocessed by threads while the network runs on earlier ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from torch import Tensor

from camlucida.attribution.error_context import error_context
from camlucida.attribution.load_input import load_input
from camlucida.audits.plan import AuditPlan
from camlucida.data.datasets import Item
from camlucida.errors import CamlucidaError
from camlucida.types import Geometry

READ_AHEAD_BATCHES = 2
"""Batches that are read before the network needs them. More would only hold memory."""

READERS = 2
"""Threads that read images. Decoding releases the interpreter's lock, so that the network runs meanwhile."""


@dataclass(frozen=True, eq=False)
class ReadImage:
    """An image that was read, or the reason why it could not be.

    Attributes:
        index: Index in the data set.
        item: The item of the data set; None if it could not be read.
        inputs: Network input `(c, H, W)`; None with an error.
        geometry: Position of the network input on the image; None with an error.
        error: The reason; empty if there is none.
    """

    index: int
    item: Item | None
    inputs: Tensor | None = None
    geometry: Geometry | None = None
    error: str = ""


def read_image(plan: AuditPlan, index: int) -> ReadImage:
    """Read and preprocess one image; an image that cannot be read is a value with the reason, not an exception."""
    item: Item | None = None
    try:
        item = plan.data[index]
        with error_context(plan.model, item.image):
            loaded = load_input(plan.model.preprocessing, item.image)
    except CamlucidaError as error:
        return ReadImage(index, item, error=str(error))
    return ReadImage(index, item, loaded.inputs, loaded.geometry)


def read_batches(plan: AuditPlan, indices: Sequence[int]) -> Iterator[list[ReadImage]]:
    """Yield the images of a chunk in batches of the plan's size, in order; the next batches are read meanwhile."""
    batches = [indices[i : i + plan.batch_size] for i in range(0, len(indices), plan.batch_size)]
    with ThreadPoolExecutor(READERS, thread_name_prefix="camlucida-read") as readers:
        waiting: deque[list[Future[ReadImage]]] = deque()
        try:
            for batch in batches:
                waiting.append([readers.submit(read_image, plan, index) for index in batch])
                if len(waiting) > READ_AHEAD_BATCHES:
                    yield [image.result() for image in waiting.popleft()]
            while waiting:
                yield [image.result() for image in waiting.popleft()]
        finally:  # the caller stopped early: what has not begun is not read
            for batch_images in waiting:
                for image in batch_images:
                    image.cancel()
