"""Many maps of one image: in one run if possible, else method by method and layer by layer.

A method that does not fit a model must not prevent the maps of the others. Methods are therefore explained together
first; if that fails, each one separately, and if one fails, layer by layer. What still fails is reported as an error.
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
from camlucida.app.schemas import MapOut, Score
from camlucida.attribution.explain import explain
from camlucida.attribution.method_choice import is_quick
from camlucida.errors import CamlucidaError, MethodError
from camlucida.methods import Combined, Method
from camlucida.types import Geometry, ProgressCallback

AnyMethod: TypeAlias = Method | Combined


@dataclass(frozen=True, eq=False)
class MapResult:
    """One map, or the reason why there is none.

    Attributes:
        method: The method as requested; None if the error applies to all methods.
        layer: The layer as requested; None if the method uses no layer, fuses all of them, or if no layer fits.
        target: The target as requested; None for class-free methods, or if there is no map.
        map_out: The map for the client.
        map: The map of the paper on its own grid, for statistics over several maps.
        geometry: The geometry of `map`.
        error: The reason.
    """

    method: str | None
    layer: str | None
    target: str | None
    map_out: MapOut | None = None
    map: Tensor | None = None
    geometry: Geometry | None = None
    error: str | None = None

    @property
    def size(self) -> int:
        """The approximate size in bytes."""
        raw = 0 if self.map is None else self.map.numel() * self.map.element_size()
        return 1000 + raw + (0 if self.map_out is None else len(self.map_out.map.values))


@dataclass(frozen=True, eq=False)
class MapBatch:
    """A request for maps of one model and image.

    Attributes:
        page: The state of the app.
        served: The model.
        image: The image.
        layers: Names of layers of the model.
        named: Whether the client named the layers; otherwise methods that fuse layers use all of them.
        targets: Distinct targets that the model has.
        score: The score of a class.
    """

    page: Page
    served: Served
    image: StoredImage
    layers: Sequence[str]
    named: bool
    targets: Sequence[ResolvedTarget]
    score: Score

    def layers_and_targets(self, method: AnyMethod) -> list[tuple[str | None, str | None]]:
        """Return (layer, target) of every map of the method, in order."""
        if not self._fits(method):
            return []
        return [(layer, key) for key in self._keys(method) for layer in self._layers(method)]

    def maps(self, methods: Sequence[AnyMethod], progress: ProgressCallback) -> Iterator[list[MapResult]]:
        """Yield the maps of some methods at a time, quick methods first; cached maps are not recomputed.

        Args:
            methods: The methods.
            progress: Called with `(done, total)` over all methods; an exception that it raises stops the computation.
        """
        groups = _groups([method for method in methods if self._fits(method)])
        for done, group in enumerate(groups):
            progress(100 * done, 100 * len(groups))
            known = {method.name: self.page.caches.maps.get(self._key(method)) for method in group}
            missing = [method for method in group if known[method.name] is None]
            for method, results in self._explain(missing, _Steps(progress, done, len(groups))):
                self.page.caches.maps.put(self._key(method), results)
                known[method.name] = results
            yield [result for results in known.values() for result in results or ()]
        progress(100 * len(groups), 100 * len(groups))

    def _explain(
        self, methods: Sequence[AnyMethod], progress: ProgressCallback
    ) -> Iterator[tuple[AnyMethod, list[MapResult]]]:
        """Explain the methods together, or, if that fails, each one separately."""
        if not methods:
            return
        try:
            yield from self._together(methods, self.layers, progress)
        except CamlucidaError as error:
            if len(methods) == 1:
                yield methods[0], self._by_layer(methods[0], error, progress)
            else:
                for method in methods:
                    yield from self._explain([method], progress)

    def _by_layer(self, method: AnyMethod, error: CamlucidaError, progress: ProgressCallback) -> list[MapResult]:
        """Return the maps or errors of a failed method for each layer separately."""
        layers = self._layers(method)
        if len(layers) == 1:
            return [MapResult(method.name, layers[0], None, error=self._message(error))]
        results: list[MapResult] = []
        for layer in layers:
            try:
                for _, layer_results in self._together([method], [str(layer)], progress):
                    results += layer_results
            except CamlucidaError as layer_error:
                results.append(MapResult(method.name, layer, None, error=self._message(layer_error)))
        (reason, *others) = {result.error for result in results}
        results.sort(key=lambda result: [None, *self._keys(method)].index(result.target))
        return results if others or reason is None else [MapResult(method.name, None, None, error=reason)]

    def _together(
        self, methods: Sequence[AnyMethod], layers: Sequence[str], progress: ProgressCallback
    ) -> Iterator[tuple[AnyMethod, list[MapResult]]]:
        """Yield all maps of the methods from one call of `explain`, method by method."""
        class_free = methods[0].class_free
        at_layers = any(method.needs_layer for method in methods) and (self.named or not methods[0].fuses_layers)
        explanations = explain(
            self.served.model,
            self.image.image,
            target=[self._any_target()] if class_free else [target.spec for target in self.targets],
            layer=list(layers) if at_layers else None,
            method=[method.name for method in methods],
            score=self.score,
            progress=progress,
        )
        remaining = iter(explanations)
        for method in methods:
            at: Sequence[str | None] = layers if _by_layers(method) else [None]
            results: list[MapResult] = []
            for key in self._keys(method):
                for layer in at:
                    e = next(remaining)
                    results.append(MapResult(method.name, layer, key, MapOut.of(e), e.map, e.geometry))
            yield method, results

    def _any_target(self) -> int | str | None:
        """Return a target for class-free methods; one of a model with image targets, of which None would mean all."""
        if self.served.model.image_targets is None:
            return None
        return self.targets[0].spec if self.targets else 0

    def _fits(self, method: AnyMethod) -> bool:
        """Return whether the model has the layers and targets that the method needs."""
        return bool(self.layers or not method.needs_layer) and bool(self.targets or method.class_free)

    def _layers(self, method: AnyMethod) -> Sequence[str | None]:
        return self.layers if _by_layers(method) else [None]

    def _keys(self, method: AnyMethod) -> Sequence[str | None]:
        return [None] if method.class_free else [target.key for target in self.targets]

    def _key(self, method: AnyMethod) -> CacheKey:
        """Return the cache key: everything that the maps depend on."""
        layers = (self.named, *self.layers) if method.needs_layer else ()
        targets = () if method.class_free else tuple(self.targets)
        model_and_image = (*model_key(self.served), *image_key(self.image))
        return (*model_and_image, method.name, layers, targets, self.score)

    def _message(self, error: CamlucidaError) -> str:
        """Return the message without the model and the image, which are displayed next to it."""
        return str(error).removesuffix(f" ({self.served.name}, {self.image.name})")


class _Steps:
    """The progress of one group among several; it does not decrease when a method restarts."""

    def __init__(self, progress: ProgressCallback, done: int, groups: int) -> None:
        self._progress, self._done, self._groups, self._best = progress, done, groups, 0

    def __call__(self, done: int, total: int) -> None:
        self._best = max(self._best, min(99, 100 * done // max(1, total)))
        self._progress(100 * self._done + self._best, 100 * self._groups)


def find_methods(names: Sequence[str]) -> tuple[list[AnyMethod], list[MapResult]]:
    """Return the methods with these names, without duplicates, and the errors for unknown names."""
    methods: dict[str, AnyMethod] = {}
    unknown: dict[str, MapResult] = {}
    for name in names:
        try:
            method = check_method(name)
            methods[method.name] = method
        except MethodError as error:
            unknown[name] = MapResult(name, None, None, error=str(error))
    return list(methods.values()), list(unknown.values())


def _groups(methods: Sequence[AnyMethod]) -> list[list[AnyMethod]]:
    """Group methods into runs: quick ones with the same classes and layers together, each slow one separately."""
    together: dict[tuple[bool, bool], list[AnyMethod]] = {}
    for method in methods:
        if is_quick(method):
            together.setdefault((method.class_free, method.fuses_layers), []).append(method)
    return [*together.values(), *([method] for method in methods if not is_quick(method))]


def _by_layers(method: AnyMethod) -> bool:
    """Return whether the method returns one map per layer."""
    return method.needs_layer and not method.fuses_layers
