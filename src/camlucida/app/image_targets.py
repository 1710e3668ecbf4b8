"""Targets of one image in the app: boxes, regions, prompts and words, for models with `Model.image_targets`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from camlucida.app.images import StoredImage
from camlucida.attribution.bind_targets import bind_one, bind_targets, region_on_image
from camlucida.attribution.error_context import error_context
from camlucida.attribution.load_input import load_input
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model
from camlucida.targets import TargetSpec
from camlucida.types import Geometry, PredictedClasses, Region

ASKS_FIRST = frozenset({"image-text", "question"})
"""Kinds of models that have no targets of their own: a text is compared with the image, or a question is asked."""


def bound_on(model: Model, image: Image.Image, specs: Sequence[TargetSpec]) -> tuple[list[BoundTarget], Geometry]:
    """Return the targets of an image, and the geometry in which their regions and points are.

    Args:
        model: The model.
        image: The image.
        specs: Targets as requested; None for all.

    Raises:
        TargetError: There is no such box, region or word in the image.
    """
    with error_context(model, image):
        loaded = load_input(model.preprocessing, image)
        return bind_targets(model, loaded.inputs, specs, loaded.geometry), loaded.geometry


def one_bound_on(model: Model, image: Image.Image, spec: TargetSpec) -> BoundTarget:
    """Return the only target that a spec means; the first for None, as in `camlucida.trust`.

    Raises:
        TargetError: There is no such box, region or word in the image, or there are several.
    """
    with error_context(model, image):
        loaded = load_input(model.preprocessing, image)
        return bind_one(model, loaded.inputs, spec, loaded.geometry, "trust tests")


def first_spec(model: Model, image: StoredImage) -> str | None:
    """Return the first target of an image of a model with image targets, such as "box 1"; None for other models."""
    if model.image_targets is None:
        return None
    bound, _ = bound_on(model, image.image, [None])
    return bound[0].spec or None


def packed_mask(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], longest: int) -> tuple[int, int, bytes]:
    """Return a mask as (width, height, bits), reduced so that its longer side has at most `longest` cells.

    A cell belongs to the mask if at least half of it does; in a mask without such cells, if any part of it does.
    """
    height, width = mask.shape
    factor = min(1.0, longest / max(height, width))
    rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
    values = Image.fromarray(mask.astype(np.uint8) * 255).resize((columns, rows), Image.Resampling.BOX)
    fractions = np.asarray(values)
    cells = fractions >= 128
    if not cells.any():
        cells = fractions > 0
    return columns, rows, np.packbits(cells).tobytes()


def classes_on_image(bound: Sequence[BoundTarget], geometry: Geometry) -> PredictedClasses | None:
    """Return the predicted classes at the pixels of the image; None for targets of no segmentation network."""
    classes = next((one.region.classes for one in bound if one.region is not None and one.region.classes), None)
    on_image = None if classes is None else region_on_image(Region(classes=classes), geometry)
    return None if on_image is None else on_image.classes


def regions_overlap(bound: Sequence[BoundTarget]) -> bool:
    """Return whether regions overlap: some pixel of a region has the colour of another class."""
    regions = [one.region for one in bound if one.region is not None]
    return any(
        bool(r.classes.indices[r.mask.bool()].ne(r.index).any())
        for r in regions
        if r.mask is not None and r.classes is not None and r.index is not None
    )


def class_runs(indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]], longest: int) -> tuple[int, int, list[int]]:
    """Return indices of classes as (width, height, runs); their longer side is reduced to at most `longest` cells.

    A cell has the index at its centre. The runs are an index and the number of cells, in turns, row by row; one run may
    continue in the next row.
    """
    height, width = indices.shape
    factor = min(1.0, longest / max(height, width))
    rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
    at = [((np.arange(n) + 0.5) * of / n).astype(int) for n, of in ((rows, height), (columns, width))]
    cells = indices[at[0]][:, at[1]].ravel()
    starts = np.flatnonzero(np.diff(cells, prepend=cells[0] - 1))
    lengths = np.diff(starts, append=cells.size)
    return columns, rows, np.stack([cells[starts], lengths], 1).ravel().tolist()
