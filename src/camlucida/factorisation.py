"""Deep Feature Factorisation: what a layer sees, as a few concepts that its pictures share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from camlucida.data.images import Source, load_image
from camlucida.engine import LayerSpec
from camlucida.error_context import source_name, error_context
from camlucida.errors import CamlucidaError, MethodError
from camlucida.explaining import as_model, iterated, top_predictions
from camlucida.features.concept_result import Concepts
from camlucida.features.factorise import STARTS, factorise
from camlucida.looking import ask, shrunk, small
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments
from camlucida.render.text import format_percent
from camlucida.request import one_layer
from camlucida.types import Geometry

KEPT = 640
"""The longest side of a picture that is kept to be shown, in pixels."""
ANSWERED = 8
"""Of so many pictures the rest of the network is asked what a concept is."""


@checked_arguments(MethodError)
def concepts(
    model: Model | nn.Module | str,
    images: Source | Iterable[Source],
    *,
    layer: LayerSpec = None,
    k: Count = 6,
    seed: Seed = 0,
    starts: Count = STARTS,
    progress: Callable[[Source, CamlucidaError | None], None] | None = None,
) -> Concepts:
    """What a layer sees on one or several pictures, as k concepts that they share (Deep Feature Factorisation).

    images   one picture or several; one that cannot be read is left out, and named in `failed`
    layer    a name or index, as for `explain`; one only
    k        how many concepts; fewer come back where fewer are enough
    seed     of the random starts; the same seed gives the same concepts
    starts   how many starts to try, for the least error
    tick     told after every picture, with the error if there was one

    The classes of a concept come from the rest of the network, run with the concept at every place. Where something
    goes past the layer (a class token, a shortcut), it is the picture's own: the scores are the mean over the first 8.
    Needs `camlucida[analysis]`.
    """
    one_layer(layer, "concepts are made of")
    wrapped = as_model(model)
    seen: list[_Seen] = []
    failed: list[tuple[str, CamlucidaError]] = []
    for image, found in _looked(wrapped, _sources(images), layer):
        if isinstance(found, CamlucidaError):
            failed.append((source_name(image), found))
        else:
            layer = found.layer
            seen.append(found)
        if progress:
            progress(image, found if isinstance(found, CamlucidaError) else None)
    if not seen:
        if failed:
            raise failed[0][1]
        raise MethodError("no picture was given: concepts are made of one or more.")
    values, cut = _above_zero(seen)
    _check_size(values, k, seen)
    factors = factorise(values, k, seed=seed, starts=starts)
    sizes = [one.maps.shape[1:] for one in seen]
    parts = np.split(factors.places, np.cumsum([h * w for h, w in sizes])[:-1])
    vectors = torch.from_numpy(factors.vectors).float()
    sums = factors.places.sum(0) * factors.vectors.sum(1)
    return Concepts(
        vectors=vectors,
        maps=tuple(
            torch.from_numpy(part.T.reshape(-1, *size).copy()).float() for part, size in zip(parts, sizes, strict=True)
        ),
        shares=torch.from_numpy(sums / sums.sum()).float(),
        classes=tuple(top_predictions(scores, wrapped.labels) for scores in _answers(wrapped, seen, vectors)),
        error=factors.error,
        cut=cut,
        converged=factors.converged,
        seed=seed,
        layer=seen[0].label,
        model=wrapped.name,
        sources=tuple(one.source for one in seen),
        images=tuple(one.image for one in seen),
        geometries=tuple(one.geometry for one in seen),
        failed=tuple(failed),
    )


@dataclass(frozen=True)
class _Seen:
    """A picture, and what the layer gave out (c, h, w); its `inputs` are kept of the first few only."""

    source: str
    image: Image.Image
    geometry: Geometry
    inputs: Tensor | None
    maps: Tensor
    layer: str
    label: str


def _sources(images: Any) -> Iterable[Source]:
    one = (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray)
    return [images] if isinstance(images, one) or hasattr(images, "read") else iterated(images)


def _looked(model: Model, images: Iterable[Source], layer: Any) -> Iterator[tuple[Source, _Seen | CamlucidaError]]:
    """A wrong layer stops everything; a wrong picture only itself."""
    kept = 0
    for image in images:
        try:
            with error_context(model, image):
                picture = load_image(image)
                inputs, geometry = model.preprocessing(picture)
        except CamlucidaError as error:
            yield image, error
            continue
        with error_context(model, image):
            where, found = ask(model, inputs, layer)
            maps = found.at_layers[0][0].activations[0].double().cpu()
        layer = where.name
        shown = small(picture, KEPT)
        again = inputs if kept < ANSWERED else None
        kept += 1
        yield (
            image,
            _Seen(source_name(image), shown, shrunk(geometry, shown), again, maps, where.name, where.label),
        )


def _above_zero(seen: Sequence[_Seen]) -> tuple[NDArray[np.float64], float]:
    """All places of all pictures (places, channels) without what is below zero, and how much of the energy that was."""
    values = torch.cat([one.maps.flatten(1).T for one in seen]).numpy()
    where = seen[0].label
    if not np.isfinite(values).all():
        raise MethodError(f"{where} gives out numbers that are not finite, which have no factors.")
    above = np.maximum(values, 0)
    energy = float((values**2).sum())
    if not above.any():
        raise MethodError(f"{where} gives out nothing above zero on these pictures: there is nothing to factorise.")
    cut = max(0.0, 1 - float((above**2).sum()) / energy)
    if cut > 0.5:
        raise MethodError(
            f"{format_percent(cut)} of the energy of {where} lies below zero, and concepts are made of what is above. "
            "Choose a layer after a ReLU or GELU; `camlucida layers` lists them."
        )
    return above, cut if (values < 0).any() else 0.0


def _check_size(values: NDArray[Any], k: int, seen: Sequence[_Seen]) -> None:
    (places, channels), (h, w) = values.shape, seen[0].maps.shape[1:]
    if k < min(places, channels):
        return
    images = "1 picture" if len(seen) == 1 else f"{len(seen)} pictures"
    raise MethodError(
        f"{k} concepts of {seen[0].label} would be nothing but its {min(places, channels)} "
        f"{'places' if places <= channels else 'channels'} ({h} × {w}, {channels} channels, {images}). "
        "Ask for fewer, or choose a layer with a finer grid, or more pictures."
    )


def _answers(model: Model, seen: Sequence[_Seen], vectors: Tensor) -> Tensor:
    """The class scores (k, classes) of the rest of the network with each concept at every place."""
    found = []
    for one in seen:
        if one.inputs is None:
            break
        with error_context(model, one.source):
            _, run = ask(model, one.inputs, one.layer, needs=["score_activations"])
            place = run.at_layers[0][0].context
            h, w = place.activations.shape[2:]
            everywhere = vectors.to(place.activations)[:, None, :, None, None].expand(-1, 1, -1, h, w)
            found.append(place.suffix.outputs(everywhere.__getitem__, len(vectors))[:, 0].float().cpu())
    return torch.stack(found).mean(0)
