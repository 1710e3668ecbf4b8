"""Pictures on their way into a network: read once if memory allows, one batch ahead, the broken ones listed."""

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
"""Bytes of pictures that are kept."""
N_READERS = 4


@dataclass(frozen=True)
class LabelledBatch:
    """inputs (b, c, h, w), labels (b,), of the pictures that could be read."""

    inputs: Tensor
    labels: Tensor


@dataclass
class BatchLoader:
    """The pictures of a data set as a network wants them.

    broken   name -> why it could not be read, of those asked for so far
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
        """A batch for each chunk of indices, None where none of it can be read; the next one is read meanwhile."""
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
        """(c, h, w) uint8 as the network sees it; None if it cannot be read."""
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
    """Batches of `size`; a last one of a single picture joins the one before it, as batch norm needs two."""
    chunks = [list(order[i : i + size]) for i in range(0, len(order), size)]
    if len(chunks) > 1 and len(chunks[-1]) == 1 < size:
        single = chunks.pop()
        chunks[-1] += single
    return chunks
