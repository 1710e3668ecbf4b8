"""What a page serves: models, a data set, runs, a study; and the pictures and answers that are kept meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from camlucida.channels import Activations
from camlucida.data.datasets import DataSet
from camlucida.data.images import load_image
from camlucida.engine import Layer, candidates, twin_of
from camlucida.errors import CamlucidaError, ModelError, nearest
from camlucida.evaluation.run import outputs_of
from camlucida.evidence import Evidence
from camlucida.explaining import fault_of_network, raised_by_network
from camlucida.explanations import Explanations
from camlucida.models.model import Model
from camlucida.outputs import placed
from camlucida.strongest import Strongest
from camlucida.web.cache import Cache
from camlucida.web.pictures import Pictures
from camlucida.web.runs import Runs
from camlucida.web.work import Work

if TYPE_CHECKING:
    from camlucida.web.gathering import Found

KEPT = 64 << 20
"""Bytes of answers that are kept, so that the same question is not asked twice."""
REMEMBERED = 32 << 20
"""Bytes, about, of maps that are being painted over or turned: every stroke asks about the same one."""
CHANNELS = 64 << 20
"""Bytes of layers' activations that are kept, so that paging through channels does not run the network again."""
SCANS = 192 << 20
"""Bytes of the strongest pictures of all channels that are kept, so that the next channel needs no look at them."""
MADE = 128 << 20
"""Bytes of explanations that are kept with their pictures, to be drawn or saved as they were shown."""


@dataclass(frozen=True)
class Said:
    """What a model said about a sample: the class with its probability, and whether that is right, if it is known.

    error   why it could not be asked; then the rest says nothing
    """

    name: str = ""
    confidence: float = 0.0
    correct: bool | None = None
    error: str = ""


def _bytes_of_maps(made: Explanations) -> int:
    """The picture and what is drawn from it, a map landed on it and its heat; all of one picture share it."""
    width, height = made.items[0].picture.size
    return 3 * width * height + sum(8 * width * height + 4 * e.raw.numel() for e in made)


@dataclass(eq=False)
class Served:
    """A model on the page: its layers are found once, on a picture.

    said   what it said about samples, by their number, so that none is asked about twice
    """

    model: Model
    data: DataSet
    said: dict[int, Said] = field(default_factory=dict)
    _once: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def layers(self) -> list[Layer]:
        """Those worth explaining, from edges to objects; the last is the default. Raises as `example` does."""
        with self._once:  # many may ask at once, and first
            return self._found[1]

    @property
    def example(self) -> torch.Tensor:
        """A picture (1, c, h, w) as the network wants it: the first that can be read and that it runs on, else noise.

        Raises `ModelError` where it runs on none of those that are tried.
        """
        with self._once:
            return self._found[0]

    @cached_property
    def outputs(self) -> tuple[int | None, ...]:
        """The model's output for every class of the data set."""
        return outputs_of(self.data.classes, self.model)

    @cached_property
    def _found(self) -> tuple[torch.Tensor, list[Layer]]:
        fault: Exception | None = None
        for picture in self._pictures():
            example = torch.as_tensor(placed(self.model.network, picture[None]))
            try:
                return example, candidates(twin_of(self.model.network), example)
            except Exception as error:
                if not raised_by_network(error):
                    raise
                fault = fault or error  # it may mind only this picture
        assert fault is not None
        raise ModelError(f"{self.name}: {fault_of_network(fault, self.model)}") from fault

    def _pictures(self) -> Iterator[torch.Tensor]:
        for index in range(min(len(self.data), 8)):
            try:
                yield self.model.preprocessing(load_image(self.data[index].image))[0]
            except CamlucidaError:
                continue
        how = self.model.preprocessing
        yield torch.randn((len(how.mean), *how.size), generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True, eq=False)
class Scan:
    """What looking through pictures of the data set found for all channels of a layer.

    indices   of the samples that were looked at, in that order
    missed    how many samples the data set itself could not make
    """

    found: Strongest
    indices: tuple[int, ...]
    missed: int


def _bytes_of_channels(kept: Activations) -> int:
    return 4 * kept.maps.numel() + 3 * kept.picture.width * kept.picture.height


@dataclass(eq=False)
class Page:
    """Everything that a request may need.

    models   one copy of each, which serves all requests; the first is the one asked where none is named
    data     its samples
    runs     folders that `camlucida evaluate`, `mistakes` or `embed` wrote
    study    the folder of the blind study, or of the one that may be made
    maps     of single methods, which several answers may need
    """

    models: Sequence[Model]
    data: DataSet
    runs: Sequence[Path] = ()
    study: Path | None = None
    maps: Cache[list[Found]] = field(default_factory=lambda: Cache(KEPT, _held))
    work: Work = field(default_factory=Work)
    cache: Cache[bytes] = field(default_factory=lambda: Cache(KEPT))
    evidence: Cache[Evidence] = field(default_factory=lambda: Cache(REMEMBERED, lambda one: 4 * one.inputs.nbytes))
    channels: Cache[Activations] = field(default_factory=lambda: Cache(CHANNELS, _bytes_of_channels))
    scans: Cache[Scan] = field(
        default_factory=lambda: Cache(SCANS, lambda scan: scan.found.nbytes + 64 * len(scan.indices))
    )
    made: Cache[Explanations] = field(default_factory=lambda: Cache(MADE, _bytes_of_maps))

    def __post_init__(self) -> None:
        if not self.models:
            raise ModelError("a page needs a model to explain.")
        self.models = _told_apart(self.models)
        self.served = {model.name: Served(model, self.data) for model in self.models}
        self.pictures = Pictures(self.data)
        self.over = Runs(self.runs, self.served, self.data)

    def warm(self) -> None:
        """Find every model's layers now, so that the first click need not wait for it."""
        for served in self.served.values():
            _ = served.layers

    def model(self, name: str | None) -> Served:
        """By its name, or the first. Raises `ModelError`."""
        if name is None:
            return next(iter(self.served.values()))
        if name not in self.served:
            raise ModelError(
                f"no model {name[:80]!r} on this page.{nearest(name, self.served)} {', '.join(self.served)}."
            )
        return self.served[name]


def _told_apart(models: Sequence[Model]) -> list[Model]:
    """Two trainings' best.pt have one name, and the page knows models by their names: the second is best.pt (2)."""
    apart: dict[str, Model] = {}
    for model in models:
        names = (model.name, *(f"{model.name} ({n})" for n in range(2, len(models) + 1)))
        name = next(name for name in names if name not in apart)
        apart[name] = model if name == model.name else replace(model, spec=name)
    return list(apart.values())


def _held(found: list[Found]) -> int:
    """Bytes, about, of the maps of one method."""
    return sum(one.size for one in found)
