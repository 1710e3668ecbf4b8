"""Images of a data set, read and preprocessed by threads while the network runs on earlier ones."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from camlucida.attribution.batches import read_ahead
from camlucida.attribution.error_context import error_context
from camlucida.attribution.load_input import load_input
from camlucida.attribution.outputs import to_network
from camlucida.data.datasets import Item
from camlucida.errors import CamlucidaError
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.model_input import KnownOutputs, ModelInput
from camlucida.models.model import Model
from camlucida.types import Geometry


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image that was read and preprocessed for the network.

    Attributes:
        index: Index in the data set.
        item: The item of the data set.
        inputs: Network input `(c, H, W)`.
        geometry: Position of the network input on the image.
        outputs: What was computed of the image together with others; None if nothing was.
    """

    index: int
    item: Item
    inputs: Tensor
    geometry: Geometry
    outputs: KnownOutputs | None = None

    def model_of(self, dataset_pass: DatasetPass) -> Model:
        """Return the model of this image, whose outputs leave out the border of the network input."""
        return dataset_pass.model.on_image(self.geometry)

    def model_input(self, dataset_pass: DatasetPass, logits: Tensor, target: int) -> ModelInput:
        """Return the model input that metrics expect.

        Args:
            dataset_pass: The pass that loaded the image.
            logits: Class scores `(k,)`.
            target: Index of the class that is explained.

        Returns:
            The model input of this one image.
        """
        batch = to_network(dataset_pass.model.network, self.inputs[None])
        return ModelInput(
            self.model_of(dataset_pass),
            self.item,
            batch,
            self.geometry,
            logits,
            target,
            dataset_pass.output_of(self.item.label),
        )


@dataclass(frozen=True, eq=False)
class UnreadableImage:
    """An image that could not be read.

    Attributes:
        index: Index in the data set.
        item: The item of the data set; None if the data set raised an error for it.
        error: The reason.
    """

    index: int
    item: Item | None
    error: str


ReadImage: TypeAlias = LoadedImage | UnreadableImage


def read_image(dataset_pass: DatasetPass, index: int, lock: threading.Lock | None = None) -> ReadImage:
    """Read and preprocess one image; an image that cannot be read is a value with the reason, not an exception.

    Args:
        dataset_pass: The model and the images.
        index: Index of the image in the data set.
        lock: Held while the data set is asked for the item, since a data set need not be safe for threads.
    """
    item: Item | None = None
    try:
        with lock or threading.Lock():
            item = dataset_pass.data[index]
        with error_context(dataset_pass.model, item.image):
            loaded = load_input(dataset_pass.model.preprocessing, item.image)
    except CamlucidaError as error:
        return UnreadableImage(index, item, str(error))
    except OSError as error:  # a data set may open the file itself, as those of PyTorch do
        return UnreadableImage(index, item, f"cannot read image {index} of {dataset_pass.data.name}: {error}")
    return LoadedImage(index, item, loaded.inputs, loaded.geometry)


def read_batches(dataset_pass: DatasetPass, batches: Iterable[Sequence[int]]) -> Generator[list[ReadImage], None, None]:
    """Yield the images of each batch of indices, in order; the next batches are read meanwhile."""
    lock = threading.Lock()
    return read_ahead(lambda index: read_image(dataset_pass, index, lock), batches)


def batches_of(indices: Sequence[int], batch_size: int) -> list[Sequence[int]]:
    """Return indices in batches of a size; the last one may be smaller."""
    return [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]


def stacked(images: Sequence[LoadedImage]) -> Tensor:
    """Return the network inputs of a batch `(b, c, H, W)`."""
    return torch.stack([image.inputs for image in images])
