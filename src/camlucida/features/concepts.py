"""Deep Feature Factorisation: a layer's activations as a few concepts that several images share."""

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

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.error_context import error_context, source_name
from camlucida.attribution.load_input import ImageInput, iterated, load_input
from camlucida.attribution.output_reader import output_activation
from camlucida.attribution.predictions import top_predictions
from camlucida.attribution.request import one_layer
from camlucida.engine import LayerSpec
from camlucida.errors import CamlucidaError, MethodError
from camlucida.features.common import record_layer, shrink_geometry, shrink_image
from camlucida.features.concept_result import Concepts
from camlucida.features.factorise import N_STARTS, factorise
from camlucida.layer_names import layer_names
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments
from camlucida.render.text import format_percent
from camlucida.types import Geometry

THUMBNAIL_PX = 640
"""Longest side of a thumbnail in pixels."""
N_CLASSIFIED_IMAGES = 8
"""Number of images on which the classes of a concept are computed."""


@checked_arguments(MethodError)
@plain_arithmetic()
def concepts(
    model: Model | nn.Module | str,
    images: ImageInput | Iterable[ImageInput],
    *,
    layer: LayerSpec = None,
    k: Count = 6,
    seed: Seed = 0,
    starts: Count = N_STARTS,
    progress: Callable[[ImageInput, CamlucidaError | None], None] | None = None,
) -> Concepts:
    """Factorise a layer's activations on images into k concepts (Deep Feature Factorisation).

    Collins et al., ECCV 2018, eq. 1: A = W H with non-negative W and H that minimise |A - W H| (Frobenius norm).

    The classes of a concept are the predictions of the suffix of the network for a constant map of the concept. Tensors
    that bypass the layer (a class token, a shortcut) are those of the image; scores are averaged over the first 8
    images. Needs `camlucida[analysis]`.

    Args:
        model: As for `explain`.
        images: One image or several; images that cannot be read are left out and listed in `failed`.
        layer: Name or index of one layer, as for `explain`; called `target_layer` in pytorch-grad-cam.
        k: Number of concepts; fewer are returned if fewer suffice.
        seed: Seed of the random starts; the same seed gives the same concepts.
        starts: Number of starts; the one with the smallest error is kept.
        progress: Called after every image, with the error if there was one.

    Raises:
        MethodError: If there is no image, `k` is too large, or more than half of the activations' energy is negative.
    """
    wrapped = as_model(model)
    layer = layer_names(wrapped.network, layer)
    one_layer(layer, "concepts are factors of")
    recorded: list[_ImageActivations] = []
    failed: list[tuple[str, CamlucidaError]] = []
    for image, outcome in _record_each(wrapped, _sources(images), layer):
        if isinstance(outcome, CamlucidaError):
            failed.append((source_name(image), outcome))
        else:
            layer = outcome.layer
            recorded.append(outcome)
        if progress:
            progress(image, outcome if isinstance(outcome, CamlucidaError) else None)
    if not recorded:
        if failed:
            raise failed[0][1]
        raise MethodError("concepts needs one or more images; none were given.")
    values, negative_fraction = _positive_part(recorded)
    _check_size(values, k, recorded)
    factors = factorise(values, k, seed=seed, starts=starts)
    shapes = [entry.maps.shape[1:] for entry in recorded]
    parts = np.split(factors.weights, np.cumsum([h * w for h, w in shapes])[:-1])
    vectors = torch.from_numpy(factors.components).float()
    activation = output_activation(wrapped)
    activation.check_classes()
    sizes = factors.weights.sum(0) * factors.components.sum(1)
    return Concepts(
        vectors=vectors,
        maps=tuple(
            torch.from_numpy(part.T.reshape(-1, *size).copy()).float() for part, size in zip(parts, shapes, strict=True)
        ),
        contributions=torch.from_numpy(sizes / sizes.sum()).float(),
        classes=tuple(
            top_predictions(scores, wrapped.labels, activation)
            for scores in _concept_scores(wrapped, recorded, vectors)
        ),
        error=factors.error,
        negative_fraction=negative_fraction,
        converged=factors.converged,
        seed=seed,
        layer=recorded[0].label,
        model=wrapped.name,
        sources=tuple(entry.source for entry in recorded),
        images=tuple(entry.image for entry in recorded),
        geometries=tuple(entry.geometry for entry in recorded),
        failed=tuple(failed),
    )


@dataclass(frozen=True)
class _ImageActivations:
    """An image with the layer's output `(c, h, w)`; only the first few images keep their `inputs`."""

    source: str
    image: Image.Image
    geometry: Geometry
    inputs: Tensor | None
    maps: Tensor
    layer: str
    label: str


def _sources(images: Any) -> Iterable[ImageInput]:
    single_types = (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray)
    is_single = isinstance(images, single_types) or hasattr(images, "read") or getattr(images, "ndim", 4) == 3
    return [images] if is_single else iterated(images)


def _record_each(
    model: Model, images: Iterable[ImageInput], layer: Any
) -> Iterator[tuple[ImageInput, _ImageActivations | CamlucidaError]]:
    """Yield the layer's output for each image; errors of the layer are raised, errors of an image are yielded."""
    n_kept = 0
    for source in images:
        try:
            with error_context(model, source):
                loaded = load_input(model.preprocessing, source)
                image, inputs, geometry = loaded.image, loaded.inputs, loaded.geometry
        except CamlucidaError as error:
            yield source, error
            continue
        with error_context(model, source):
            resolved_layer, result = record_layer(model, inputs, layer)
            maps = result.at_layers[0][0].activations[0].double().cpu()
        layer = resolved_layer.name
        thumbnail = shrink_image(image, THUMBNAIL_PX)
        kept_inputs = inputs if n_kept < N_CLASSIFIED_IMAGES else None
        n_kept += 1
        yield (
            source,
            _ImageActivations(
                source_name(source),
                thumbnail,
                shrink_geometry(geometry, thumbnail),
                kept_inputs,
                maps,
                resolved_layer.name,
                resolved_layer.label,
            ),
        )


def _positive_part(recorded: Sequence[_ImageActivations]) -> tuple[NDArray[np.float64], float]:
    """Return the clipped activations of all images `(positions, channels)`, and the fraction of the energy clipped."""
    values = torch.cat([entry.maps.flatten(1).T for entry in recorded]).numpy()
    label = recorded[0].label
    if not np.isfinite(values).all():
        raise MethodError(f"{label} outputs NaN or infinity, so its activations cannot be factorised.")
    positive = np.maximum(values, 0)
    energy = float((values**2).sum())
    if not positive.any():
        raise MethodError(
            f"{label} outputs no positive values on these images, so there is nothing to factorise. Choose another "
            "layer."
        )
    negative_fraction = max(0.0, 1 - float((positive**2).sum()) / energy)
    if negative_fraction > 0.5:
        raise MethodError(
            f"{format_percent(negative_fraction)} of the energy of {label} is negative, and concepts are factors of "
            "non-negative activations. Choose a layer after a ReLU or GELU; `camlucida layers` lists them."
        )
    return positive, negative_fraction if (values < 0).any() else 0.0


def _check_size(values: NDArray[Any], k: int, recorded: Sequence[_ImageActivations]) -> None:
    (positions, channels), (h, w) = values.shape, recorded[0].maps.shape[1:]
    if k < min(positions, channels):
        return
    images = "1 image" if len(recorded) == 1 else f"{len(recorded)} images"
    raise MethodError(
        f"{k} concepts of {recorded[0].label} are too many: it has only {min(positions, channels)} "
        f"{'positions' if positions <= channels else 'channels'} ({h} × {w}, {channels} channels, {images}). "
        "Request fewer concepts, choose a layer with a finer grid, or pass more images."
    )


def _concept_scores(model: Model, recorded: Sequence[_ImageActivations], vectors: Tensor) -> Tensor:
    """Compute class scores `(k, classes)` of the network's suffix for constant maps of each concept."""
    scores = []
    for entry in recorded:
        if entry.inputs is None:
            break
        with error_context(model, entry.source):
            _, run = record_layer(model, entry.inputs, entry.layer, needs=["score_activations"])
            layer_context = run.at_layers[0][0].context
            h, w = layer_context.activations.shape[2:]
            constant_maps = vectors.to(layer_context.activations)[:, None, :, None, None].expand(-1, 1, -1, h, w)
            scores.append(layer_context.suffix.outputs(constant_maps.__getitem__, len(vectors))[:, 0].float().cpu())
    return torch.stack(scores).mean(0)
