"""The files that `camlucida explain` writes for one image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation
    from camlucida.attribution.explanation_set import ExplanationSet


def write_explanation(
    result: Explanation | ExplanationSet,
    output: Path,
    stem: str,
    suffix: str,
    style: dict[str, Any],
    maps: bool,
    panels: bool,
) -> list[Path]:
    """Write the panel or grid, and with `panels` and `maps` the single panels and the raw maps; return the paths."""
    from camlucida.attribution.explanation import Explanation

    written = result.save(output / f"{stem}{suffix}", **style)
    if panels and not isinstance(result, Explanation):
        for slug, e in zip(result.slugs, result, strict=True):
            written += e.save(output / stem / f"{slug}.png", **style)
    if maps:
        written += result.save(output / f"{stem}.npz")
    return written


def write_colour(result: Explanation | ExplanationSet, path: Path) -> list[Path]:
    """Write the maps in colour: one at the size of the image, or several on a page."""
    from camlucida._files import write_image
    from camlucida.attribution.explanation import Explanation

    write_image(result.colour_image if isinstance(result, Explanation) else result.colour_figure, path)
    return [path]


def write_comparison(result: Explanation | ExplanationSet, path: Path, style: dict[str, Any]) -> list[Path]:
    """Write the page that shows where the maps of several methods, layers or classes disagree."""
    from camlucida._files import write_image

    explanations = as_set(result)
    write_image(lambda: explanations.disagreement_panel(**style), path)
    return [path]


def as_set(result: Explanation | ExplanationSet) -> ExplanationSet:
    """Return a set unmodified, and an explanation as a set of one."""
    from camlucida.attribution.explanation_set import ExplanationSet

    return result if isinstance(result, ExplanationSet) else ExplanationSet((result,))
