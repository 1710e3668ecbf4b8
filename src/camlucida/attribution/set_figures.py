"""Figures of several explanations: a grid of maps, the words of a text, maps in colour, and where maps disagree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from camlucida.attribution.explanation import Explanation
from camlucida.render.canvas import stack_pages
from camlucida.render.map_grid import GridCell, RenderedMap, draw_grid
from camlucida.render.panel import draw_panel
from camlucida.render.signed_colour import draw_colour_sheet
from camlucida.render.text import EMPTY_MAP, format_confidence
from camlucida.render.word_strip import WordFrame, draw_word_strip
from camlucida.types import Region

if TYPE_CHECKING:
    from camlucida.attribution.explanation_set import ExplanationSet


def draw_maps(explanations: ExplanationSet, colormap: str | None, style: dict[str, Any]) -> Image.Image:
    """Return the page of `ExplanationSet.figure`.

    Args:
        explanations: The explanations.
        colormap: As of `ExplanationSet.figure`.
        style: Further arguments of `render.map_grid.draw_grid` or `render.word_strip.draw_word_strip`.
    """
    if len(names := explanations.axis("input")) > 1:
        of_images = [explanations[name] for name in names]
        pages = [e.panel if isinstance(e, Explanation) else e.figure for e in of_images]
        return stack_pages([page(colormap=colormap, **style) for page in pages])
    if _is_text(explanations):
        return _draw_words(explanations, colormap, style)
    axes = explanations._varying_axes()
    items = explanations._stills().items
    column_axis = max(reversed(axes), key=lambda axis: len(explanations.axis(axis)))  # wide rather than tall
    row_axes = [axis for axis in axes if axis != column_axis]
    rows: dict[tuple[str, ...], dict[str, GridCell]] = {}
    for e in items:
        row = tuple(getattr(e, axis) for axis in row_axes)
        saliency, palette = e._styled_map(colormap)
        rows.setdefault(row, {})[getattr(e, column_axis)] = RenderedMap(
            saliency, _caption(explanations, e), palette, e.region
        )
    first = items[0]
    single = [axis for axis in ("target", "method", "layer") if axis not in axes and len(explanations.axis(axis)) == 1]
    fixed = [getattr(first, axis) for axis in single]
    columns = explanations.axis(column_axis)
    return draw_grid(
        [[cells.get(column, "not asked for") for column in columns] for cells in rows.values()],
        rows=[" · ".join(row) or getattr(first, column_axis) for row in rows] if row_axes else [""],
        columns=columns,
        title=" · ".join(fixed) if fixed else first.source_label,
        subtitle=_prediction_text(explanations),
        original=first.image,
        classes=_region_of_classes(explanations, first.region),
        footer=" · ".join(
            filter(None, ("each map has its own scale", first.method_reason and first.method_label, first._footer))
        ),
        **style,
    )


def draw_colour_maps(explanations: ExplanationSet, density: float) -> Image.Image:
    """Return the page of `ExplanationSet.colour_figure`. Raises `MethodError` without a map in colour.

    Args:
        explanations: The explanations.
        density: Pixels per point.
    """
    if len(names := explanations.axis("input")) > 1:
        return stack_pages([explanations.select(input=name).colour_figure(density=density) for name in names])
    coloured = type(explanations)(tuple(e for e in explanations._stills() if e.colour is not None))
    if not coloured.items:
        explanations.items[0].colour_image()  # raises the error with its advice
    first = coloured.items[0]
    shared = [axis for axis in ("method", "target", "layer") if len(coloured.axis(axis)) == 1]
    varying = [axis for axis in ("method", "target", "layer") if axis not in shared] or ["layer"]
    labelled = [(" · ".join(getattr(e, axis) for axis in varying), e.colour_image()) for e in coloured]
    return draw_colour_sheet(
        [("Image", first.image), *labelled],
        title=" · ".join([*([first.input] if first.input else []), *(getattr(first, axis) for axis in shared)])
        or first.source_label,
        subtitle=_prediction_text(explanations),
        footer=f"grey is zero, 0.1 of the range is one standard deviation · {first._footer}",
        density=density,
    )


def draw_disagreement(explanations: ExplanationSet, style: dict[str, Any]) -> Image.Image:
    """Return the page of `ExplanationSet.disagreement_panel`. Raises `MethodError` for maps of different images.

    Args:
        explanations: The explanations.
        style: Further arguments of `render.panel.draw_panel`.
    """
    stills = explanations._of_one_image()._stills()
    deviation, first = stills.disagreement(), stills.items[0]
    peak = float(np.nan_to_num(deviation, nan=0.0).max(initial=0.0))
    off_diagonal = explanations.rank_correlation()[np.triu_indices(len(explanations), 1)]
    known = off_diagonal[~np.isnan(off_diagonal)]
    agreement = f"rank correlation {known.min():.2f} to {known.max():.2f}" if known.size else ""
    shared = [getattr(first, axis) for axis in ("target", "method", "layer") if len(explanations.axis(axis)) == 1]
    return draw_panel(
        first.image,
        deviation / peak if peak else deviation,
        title=f"Where {len(explanations)} maps disagree",
        subtitle=" · ".join([*shared, ", ".join(explanations.labels)]),
        score_label=agreement,
        note="" if peak else "They agree everywhere.",
        footer=f"standard deviation over the maps, each scaled by its maximum · {first._footer}",
        scale=(0.0, peak),
        **style,
    )


def _is_text(explanations: ExplanationSet) -> bool:
    """Whether these are maps of different words of one text, by one method at one layer."""
    axes = [len(explanations.axis(name)) for name in ("method", "layer", "input")]
    specs = [e.spec for e in explanations.items]
    return (
        len(specs) > 1
        and axes == [1, 1, 1]
        and len(set(specs)) == len(specs)
        and all(re.fullmatch("word [0-9]+", spec) for spec in specs)
    )


def _draw_words(explanations: ExplanationSet, colormap: str | None, style: dict[str, Any]) -> Image.Image:
    """Return the words of a text as a film strip."""
    first = explanations.items[0]
    sentence: list[str] = []
    frames: list[WordFrame] = []
    last = 0
    for e in explanations.items:
        number = int(e.spec.rpartition(" ")[2])
        if number != last + 1:
            sentence.append("…")  # words without a map
        word, last = e.target.rpartition(" (")[0], number
        saliency, palette = e._styled_map(colormap)
        probability = e.predictions[0].probability if e.predictions and e.predictions[0].index == e.index else None
        caption = e.score_label if probability is None else f"{probability:.0%}"
        frames.append(WordFrame(word, saliency, EMPTY_MAP if e.is_empty else caption, len(sentence), palette))
        sentence.append(word)
    return draw_word_strip(
        first.image,
        frames,
        sentence,
        title=" ".join(sentence),
        subtitle=f"{first.method} · {first.layer} · each map has its own scale, and each word its probability",
        footer=first._footer,
        **style,
    )


def _region_of_classes(explanations: ExplanationSet, region: Region | None) -> Region | None:
    """Return the region whose predicted classes are drawn beside the image: that of the only target, or of none."""
    if region is None or region.classes is None:
        return None
    return region if len(explanations.axis("target")) == 1 else Region(classes=region.classes)


def _caption(explanations: ExplanationSet, e: Explanation) -> str:
    implied = len(explanations.axis("layer")) > 1 and "layer" not in explanations._varying_axes()
    probability: list[str] = []
    if (region := e.region) is not None and region.probability is not None:
        # It is that of the detection, and not of another target of its box, such as "box 2: cat".
        is_edge = e.spec.startswith("edge ") and e.spec.endswith(f" of {region.name}")
        words = "detected with" if is_edge or e.spec.startswith(f"{region.name}:") else "probability"
        probability = [f"{words} {format_confidence(region.probability, e.score)}"]
    parts = [*probability, e.score_label, *([e.layer] if implied else []), *([EMPTY_MAP] if e.is_empty else [])]
    return ", ".join(parts)


def _prediction_text(explanations: ExplanationSet) -> str:
    if explanations.items[0].region is not None and len(explanations.axis("target")) > 1:
        return f"{len(explanations.axis('target'))} targets of one image"
    best = explanations.items[0].predictions[:2]
    if not best:
        return "no classes, a target of the user's own"
    return "predicted " + ", ".join(f"{p.name} {format_confidence(p.probability, p.logit)}" for p in best)
