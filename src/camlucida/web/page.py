"""What a page serves: models, a data set, runs, a study; and the pictures and answers that are kept meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from camlucida.data.datasets import DataSet
from camlucida.data.images import load_image
from camlucida.engine import Layer, candidates, twin_of
from camlucida.errors import CamlucidaError, ModelError, nearest
from camlucida.evaluation.run import outputs_of
from camlucida.models.model import Model
from camlucida.outputs import placed
from camlucida.web.cache import Cache
from camlucida.web.pictures import Pictures
from camlucida.web.work import Work

KEPT = 64 << 20
"""Bytes of answers that are kept, so that the same question is not asked twice."""


@dataclass(eq=False)
class Served:
    """A model on the page: its layers are found once, on a picture."""

    model: Model
    data: DataSet
    _once: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def layers(self) -> list[Layer]:
        """Those worth explaining, from edges to objects; the last is the default."""
        with self._once:  # many may ask at once, and first
            return self._layers

    @cached_property
    def _layers(self) -> list[Layer]:
        return candidates(twin_of(self.model.network), self.example)

    @property
    def example(self) -> torch.Tensor:
        """A picture (1, c, h, w) as the network wants it: the first that can be read, else noise."""
        with self._once:
            return self._example

    @cached_property
    def outputs(self) -> tuple[int | None, ...]:
        """The model's output for every class of the data set."""
        return outputs_of(self.data.classes, self.model)

    @cached_property
    def _example(self) -> torch.Tensor:
        return torch.as_tensor(placed(self.model.network, self._read()[None]))

    def _read(self) -> torch.Tensor:
        for index in range(min(len(self.data), 8)):
            try:
                return self.model.preprocessing(load_image(self.data[index].image))[0]
            except CamlucidaError:
                continue
        how = self.model.preprocessing
        return torch.randn((len(how.mean), *how.size), generator=torch.Generator().manual_seed(0))


@dataclass(eq=False)
class Page:
    """Everything that a request may need.

    models   one copy of each, which serves all requests; the first is the one asked where none is named
    data     its samples
    runs     folders that `camlucida evaluate`, `mistakes` or `embed` wrote
    study    the folder of the blind study, or of the one that may be made
    """

    models: Sequence[Model]
    data: DataSet
    runs: Sequence[Path] = ()
    study: Path | None = None
    work: Work = field(default_factory=Work)
    cache: Cache[bytes] = field(default_factory=lambda: Cache(KEPT))

    def __post_init__(self) -> None:
        if not self.models:
            raise ModelError("a page needs a model to explain.")
        self.served = {model.name: Served(model, self.data) for model in self.models}
        self.pictures = Pictures(self.data)

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
