"""Loading of images as network inputs: cached within a memory limit, one batch ahead, with a list of broken images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from camlucida.data.datasets import Dataset
from camlucida.data.images import load_image
from camlucida.errors import CamlucidaError
from camlucida.models.preprocessing import Preprocessing
from camlucida.training.augmentation import augment_image

CACHE_BYTES = 2 * 2**30
"""Largest size of the image cache in bytes."""
N_READERS = 4
"""Number of threads that load images."""


@dataclass(frozen=True)
class LabelledBatch:
    """The network inputs `(b, c, h, w)` and labels `(b,)` of a batch, without images that could not be read."""

    inputs: Tensor
    labels: Tensor


@dataclass
class BatchLoader:
    """Loader of the images of a dataset as network inputs.

    Attributes:
        dataset: The dataset.
        labels: The label of each item; None for items without one.
        preprocessing: Converts an image to the network input.
        broken: Reason by name for each requested image that could not be read.
    """

    dataset: Dataset
    labels: Sequence[int | None]
    preprocessing: Preprocessing
    broken: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        channels, (height, width) = len(self.preprocessing.mean), self.preprocessing.size
        self._cache_size = CACHE_BYTES // (channels * height * width)
        self._cache: dict[int, Tensor | None] = {}
        shape = (channels, 1, 1)
        self._mean, self._std = (
            torch.tensor(v).reshape(shape) for v in (self.preprocessing.mean, self.preprocessing.std)
        )

    def batches(
        self, chunks: Sequence[Sequence[int]], augment: Sequence[str] = (), key: Sequence[int] = ()
    ) -> Iterator[LabelledBatch | None]:
        """Yield a batch for each chunk of indices, loading one ahead; None if no image of a chunk can be read."""
        with ThreadPoolExecutor(N_READERS) as pool:

            def begin(chunk: Sequence[int]) -> list[Future[Tensor | None]]:
                return [pool.submit(self._load_input, index, augment, key) for index in chunk]

            next_batch = begin(chunks[0]) if chunks else []
            following: list[Sequence[int]] = [*chunks[1:], ()]
            try:
                for chunk, next_chunk in zip(chunks, following[: len(chunks)], strict=True):
                    current, next_batch = next_batch, begin(next_chunk)
                    yield self._collate(chunk, [future.result() for future in current])
            finally:
                for future in next_batch:
                    future.cancel()

    def _collate(self, chunk: Sequence[int], inputs: Sequence[Tensor | None]) -> LabelledBatch | None:
        samples = [(x, self.labels[index]) for index, x in zip(chunk, inputs, strict=True) if x is not None]
        if not samples:
            return None
        return LabelledBatch(torch.stack([x for x, _ in samples]), torch.tensor([label for _, label in samples]))

    def _load_input(self, index: int, augment: Sequence[str], key: Sequence[int]) -> Tensor | None:
        pixels = self._load_pixels(index)
        if pixels is None:
            return None
        image = pixels.float().div(255)
        if augment:
            image = augment_image(image, augment, (*key, index))
        return (image - self._mean) / self._std

    def _load_pixels(self, index: int) -> Tensor | None:
        """Return the resized image as uint8 `(c, h, w)`; None if it cannot be read."""
        if index in self._cache:
            return self._cache[index]
        item = None
        try:
            item = self.dataset[index]
            network_view, _ = self.preprocessing.resize_and_place(load_image(item.image))
            mode = "L" if len(self.preprocessing.mean) == 1 else "RGB"
            array = np.array(network_view.convert(mode), dtype=np.uint8)
            pixels = torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1).contiguous()
        except CamlucidaError as error:
            self.broken[item.name if item is not None else f"item {index}"] = str(error)
            pixels = None
        if len(self._cache) < self._cache_size:
            self._cache[index] = pixels
        return pixels


def split_into_batches(order: Sequence[int], size: int) -> list[list[int]]:
    """Return batches of `size` indices; a single last index joins the batch before it, since batch norm needs two."""
    chunks = [list(order[i : i + size]) for i in range(0, len(order), size)]
    if len(chunks) > 1 and len(chunks[-1]) == 1 < size:
        single = chunks.pop()
        chunks[-1] += single
    return chunks
