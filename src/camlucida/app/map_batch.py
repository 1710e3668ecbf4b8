"""Many maps of one picture: in one run where they can be, one by one where something does not fit.

A method that does not fit a model must not cost the maps of the others. So methods are asked together first; if that
fails each is asked by itself, and if one fails, it is asked layer by layer. What still fails says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from camlucida.app.app_state import Page
from camlucida.app.cache_keys import CacheKey, image_key, model_key
from camlucida.app.images import StoredImage
from camlucida.app.model_entry import Served
from camlucida.app.request_limits import check_method
from camlucida.app.resolve_targets import ResolvedTarget
from camlucida.app.routes.bootstrap import MANY_RUNS, SINGLE_GRADIENTS
from camlucida.app.schemas import MapOut, Score
from camlucida.attribution.explain import explain
from camlucida.errors import CamlucidaError, MethodError
from camlucida.methods import Combined, Method
from camlucida.types import Geometry, ProgressCallback

Asked: TypeAlias = Method | Combined


@dataclass(frozen=True, eq=False)
class Found:
    """One map, or why there is none.

    method, layer, target   as they were asked for. No layer: the method takes none, or fuses all of them; where there
                            is no map, none fits. No target: the map is the same for every class, or there is no map
    explained               for the browser
    map, geometry           for sums over several maps: as the paper has it, on its own grid
    error                   a sentence; with no method, it is about all of them
    """

    method: str | None
    layer: str | None
    target: str | None
    explained: MapOut | None = None
    map: Tensor | None = None
    geometry: Geometry | None = None
    error: str | None = None

    @property
    def size(self) -> int:
        """Bytes it takes to keep, about."""
        raw = 0 if self.map is None else self.map.numel() * self.map.element_size()
        return 1000 + raw + (0 if self.explained is None else len(self.explained.map.values))


@dataclass(frozen=True, eq=False)
class Gathering:
    """What is asked about one model and picture.

    layers    that the model has, by name
    named     whether somebody named them; where nobody did, methods that fuse layers fuse all
    targets   that the model has, each once
    """

    page: Page
    served: Served
    picture: StoredImage
    layers: Sequence[str]
    named: bool
    targets: Sequence[ResolvedTarget]
    score: Score

    def places(self, method: Asked) -> list[tuple[str | None, str | None]]:
        """(layer, target) of every map that the method gives, in order."""
        if not self._fits(method):
            return []
        return [(layer, key) for key in self._keys(method) for layer in self._layers(method)]

    def maps(self, methods: Sequence[Asked], progress: ProgressCallback) -> Iterator[list[Found]]:
        """The maps of some of the methods at a time, the quick ones first; what was found before is taken from there.

        tick   told how many of how many steps are done, over all of them; whatever it raises ends the work
        """
        groups = _groups([method for method in methods if self._fits(method)])
        for done, group in enumerate(groups):
            progress(100 * done, 100 * len(groups))
            known = {method.name: self.page.memory.maps.get(self._key(method)) for method in group}
            missing = [method for method in group if known[method.name] is None]
            for method, found in self._asked(missing, _Steps(progress, done, len(groups))):
                self.page.memory.maps.put(self._key(method), found)
                known[method.name] = found
            yield [one for found in known.values() for one in found or ()]
        progress(100 * len(groups), 100 * len(groups))

    def _asked(self, methods: Sequence[Asked], progress: ProgressCallback) -> Iterator[tuple[Asked, list[Found]]]:
        """Together; or if that fails, each by itself."""
        if not methods:
            return
        try:
            yield from self._together(methods, self.layers, progress)
        except CamlucidaError as error:
            if len(methods) == 1:
                yield methods[0], self._by_layer(methods[0], error, progress)
            else:
                for method in methods:
                    yield from self._asked([method], progress)

    def _by_layer(self, method: Asked, error: CamlucidaError, progress: ProgressCallback) -> list[Found]:
        """Of a method that failed: what it has to say at each layer."""
        layers = self._layers(method)
        if len(layers) == 1:
            return [Found(method.name, layers[0], None, error=self._said(error))]
        made: list[Found] = []
        for layer in layers:
            try:
                for _, found in self._together([method], [str(layer)], progress):
                    made += found
            except CamlucidaError as why:
                made.append(Found(method.name, layer, None, error=self._said(why)))
        (reason, *others) = {one.error for one in made}
        made.sort(key=lambda one: [None, *self._keys(method)].index(one.target))
        return made if others or reason is None else [Found(method.name, None, None, error=reason)]

    def _together(
        self, methods: Sequence[Asked], layers: Sequence[str], progress: ProgressCallback
    ) -> Iterator[tuple[Asked, list[Found]]]:
        """All maps of the methods from one run, one method after the other."""
        free = methods[0].class_free
        at_layers = any(method.needs_layer for method in methods) and (self.named or not methods[0].fuses_layers)
        made = explain(
            self.served.model,
            self.picture.image,
            target=[None] if free else [goal.means for goal in self.targets],
            layer=list(layers) if at_layers else None,
            method=[method.name for method in methods],
            score=self.score,
            progress=progress,
        )
        remaining = iter(made)
        for method in methods:
            at: Sequence[str | None] = layers if _by_layers(method) else [None]
            found: list[Found] = []
            for key in self._keys(method):
                for layer in at:
                    e = next(remaining)
                    found.append(Found(method.name, layer, key, MapOut.of(e), e.map, e.geometry))
            yield method, found

    def _fits(self, method: Asked) -> bool:
        """Whether there is something to ask it for."""
        return bool(self.layers or not method.needs_layer) and bool(self.targets or method.class_free)

    def _layers(self, method: Asked) -> Sequence[str | None]:
        return self.layers if _by_layers(method) else [None]

    def _keys(self, method: Asked) -> Sequence[str | None]:
        return [None] if method.class_free else [goal.key for goal in self.targets]

    def _key(self, method: Asked) -> CacheKey:
        """All that the maps depend on."""
        layers = (self.named, *self.layers) if method.needs_layer else ()
        targets = () if method.class_free else tuple(self.targets)
        whose = (*model_key(self.served), *image_key(self.picture))
        return (*whose, method.name, layers, targets, self.score)

    def _said(self, error: CamlucidaError) -> str:
        """Without the model and the picture, which stand beside it."""
        return str(error).removesuffix(f" ({self.served.name}, {self.picture.name})")


class _Steps:
    """The progress of one group among several; a method that begins anew is not heard until it is further."""

    def __init__(self, tell: ProgressCallback, done: int, groups: int) -> None:
        self._tell, self._done, self._groups, self._best = tell, done, groups, 0

    def __call__(self, done: int, total: int) -> None:
        self._best = max(self._best, min(99, 100 * done // max(1, total)))
        self._tell(100 * self._done + self._best, 100 * self._groups)


def asked_for(names: Sequence[str]) -> tuple[list[Asked], list[Found]]:
    """The methods of these names, each once; and why some are none."""
    methods: dict[str, Asked] = {}
    unknown: dict[str, Found] = {}
    for name in names:
        try:
            method = check_method(name)
            methods[method.name] = method
        except MethodError as error:
            unknown[name] = Found(name, None, None, error=str(error))
    return list(methods.values()), list(unknown.values())


def is_quick(method: Asked) -> bool:
    """Whether a map takes a few runs of the network at most."""
    if isinstance(method, Combined):
        return method.combinator.kind != "views" and is_quick(method.inner)
    return method.name in SINGLE_GRADIENTS or not (MANY_RUNS & set(method.needs))


def _groups(methods: Sequence[Asked]) -> list[list[Asked]]:
    """Which methods share a run: quick ones that ask for the same classes and layers; each slow one is by itself."""
    together: dict[tuple[bool, bool], list[Asked]] = {}
    for method in methods:
        if is_quick(method):
            together.setdefault((method.class_free, method.fuses_layers), []).append(method)
    return [*together.values(), *([method] for method in methods if not is_quick(method))]


def _by_layers(method: Asked) -> bool:
    """Whether every layer gives a map of its own."""
    return method.needs_layer and not method.fuses_layers
