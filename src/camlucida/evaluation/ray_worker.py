"""The worker of a Ray pool: it opens the model once, checks that it sees what the driver sees, and processes chunks.

Nothing here imports Ray: a worker is an ordinary object that Ray creates in another process, maybe on another machine.
"""

from __future__ import annotations

import pickle
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.attribution.reproduction import versions
from camlucida.data.datasets import Dataset, dataset_hash
from camlucida.errors import CamlucidaError, DataError, ModelError
from camlucida.models.model import Model

N_CHECKED_ITEMS = 8
"""Images whose size and time a worker compares with those that the driver sees."""

Opened = tuple[Model, Dataset]
"""The model and the data set."""


class Work(Protocol):
    """What the workers of a pool do. Pickled, and therefore without open files."""

    @property
    def folder(self) -> Path:
        """The folder that the chunks are written to, which all nodes share."""

    @property
    def opened(self) -> Opened:
        """The model and the data set."""

    @property
    def indices(self) -> Sequence[int]:
        """Indices of the images in the data set."""

    def with_opened(self, model: Any, data: Any) -> Self:
        """Return the work with another model and data set, or with None for both."""

    def has(self, number: int) -> bool:
        """Return whether a chunk was written and is intact."""

    def run(self, number: int) -> None:
        """Process and write one chunk."""


@dataclass(frozen=True)
class Parcel:
    """What a worker receives.

    Attributes:
        work: The pickled work.
        reopen: The pickled function that returns the model and the data; None if they are part of the work.
        token: Name of a file in the folder, by which a worker tells that it sees the driver's folder.
        weights: Hash of the model's weights.
        data_hash: Hash of some items of the data set.
        versions: Versions of the packages that take part.
        n_threads: Threads of PyTorch.
    """

    work: bytes
    reopen: bytes | None
    token: str
    weights: str
    data_hash: str
    versions: Mapping[str, str]
    n_threads: int

    def opened(self, device: str) -> Work:
        """Return the work with the model on a device, after checking that it is the driver's.

        Raises:
            CamlucidaError: If the model or the data cannot be opened, or differ from the driver's; the message names
                the node.
        """
        node = platform.node()
        if (here := versions()) != self.versions:
            differing = {name: here.get(name) for name in self.versions if here.get(name) != self.versions[name]}
            raise ModelError(f"node {node} has other versions than the driver: {_listed(differing)}. Install the same.")
        torch.set_num_threads(self.n_threads)
        try:
            work: Work = pickle.loads(self.work)
            model, data = pickle.loads(self.reopen)() if self.reopen else work.opened
        except Exception as error:  # whatever the import or the unpickling of foreign code raises
            reason = str(error) if isinstance(error, CamlucidaError) else f"{type(error).__name__}: {error}"
            raise ModelError(
                f"a Ray worker on node {node} cannot open the model and the data: {' '.join(reason.split())[:300]}"
            ) from None
        work = work.with_opened(on_device(model, device), data)
        if not (work.folder / self.token).is_file():
            raise DataError(
                f"node {node} does not see the folder {work.folder} of the driver: choose one on a file system that "
                "all nodes share."
            )
        if model.weights_hash != self.weights:
            raise ModelError(
                f"node {node} opens a model with other weights: their hash is {model.weights_hash}, not {self.weights}."
            )
        if sample_hash(data, work.indices) != self.data_hash:
            raise DataError(
                f"node {node} does not see the images of the driver: their sizes, times or annotations differ. Choose "
                "a folder on a file system that all nodes share, or copy it with its times (rsync -a)."
            )
        return work


class Worker:
    """Processes chunks one after the other. An error of this package is part of the result, so that it ends the run."""

    def __init__(self, parcel: Any, n_gpus: float = 0.0) -> None:
        self._work: Work | None = None
        self._error: CamlucidaError | None = None
        try:
            self._work = _received(parcel).opened("cuda" if n_gpus else "cpu")
        except CamlucidaError as error:
            self._error = error

    def __call__(self, batch: Mapping[str, NDArray[np.int64]]) -> dict[str, Any]:
        """Process the chunks of a batch; those that are already there are not processed again.

        Args:
            batch: "number": the numbers of the chunks.

        Returns:
            The numbers, and for each the kind and text of an error, "" if there was none.
        """
        numbers = [int(number) for number in batch["number"]]
        errors = [self._process(number) for number in numbers]
        return {
            "number": np.array(numbers),
            "kind": np.array([type(error).__name__ if error else "" for error in errors], dtype=object),
            "error": np.array([str(error) if error else "" for error in errors], dtype=object),
        }

    def _process(self, number: int) -> CamlucidaError | None:
        if self._work is None:
            return self._error
        try:
            if not self._work.has(number):
                self._work.run(number)
        except CamlucidaError as error:
            return error
        return None


def on_device(model: Model, device: str) -> Model:
    """Return the model on a device; the model itself if its parameters and buffers are there already."""
    tensors = [*model.network.parameters(), *model.network.buffers()]
    if all(tensor.device.type == device for tensor in tensors):
        return model
    import copy

    return replace(model, network=copy.deepcopy(model.network).to(device))


def sample_hash(data: Dataset, indices: Sequence[int]) -> str:
    """Return the hash of a few items, spread over the indices."""
    step = max(1, len(indices) // N_CHECKED_ITEMS)
    return dataset_hash(data, indices[::step][:N_CHECKED_ITEMS])


def _received(parcel: Any) -> Parcel:
    """Return the parcel, which is passed as a function that fetches it."""
    fetched: Parcel = parcel() if isinstance(parcel, Callable) else parcel  # type: ignore[arg-type]
    return fetched


def _listed(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())
