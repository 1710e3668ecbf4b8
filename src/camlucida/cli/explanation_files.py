"""The files that `camlucida explain` writes for one image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from camlucida.errors import CamlucidaError, MethodError

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
    position: tuple[int, int, int] | None = None,
) -> list[Path]:
    """Write the panel or grid, and with `panels` and `maps` the single panels and the raw maps; return the paths.

    The panel of a volume has slices through the voxel at `position`.

    Raises:
        MethodError: `position` is given for anything but one map of a volume.
    """
    from camlucida.attribution.explanation import Explanation
    from camlucida.attribution.volume_explanation import VolumeExplanation

    at = {} if position is None else {"position": position}
    if position is not None and not isinstance(result, VolumeExplanation):
        raise MethodError("--slice is for one map of a volume, written as .png.")
    written = result.save(output / f"{stem}{suffix}", **style, **at)
    if panels and not isinstance(result, Explanation):
        for slug, e in zip(result.slugs, result, strict=True):
            written += e.save(output / stem / f"{slug}.png", **style)
    if maps:
        written += result.save(output / f"{stem}.npz")
    return written


def write_volumes(
    result: Explanation | ExplanationSet, output: Path, stem: str, slices: int | None, style: dict[str, Any]
) -> list[Path]:
    """Write the maps of a volume as NIfTI, and the contact sheet of its slices."""
    from camlucida.attribution.volume_explanation import VolumeExplanation

    explanations = as_set(result)
    written: list[Path] = []
    for slug, e in zip(explanations.slugs, explanations, strict=True):
        if not isinstance(e, VolumeExplanation):
            if slices is not None:
                raise MethodError("--slices draws the slices of a volume, and this is none.")
            continue
        part = stem if len(explanations) == 1 else f"{stem}.{slug}"
        if e.volume.affine is not None:
            written.append(e.save_volume(output / f"{part}_map.nii.gz"))
        if slices is not None:
            written += e.save_slices(output / f"{part}-slices.png", n=slices, **style)
    return written


def write_colour(result: Explanation | ExplanationSet, path: Path) -> list[Path]:
    """Write the maps in colour: one at the size of the image, or several on a page."""
    from camlucida._files import write_image
    from camlucida.attribution.explanation import Explanation

    write_image(result.colour_image if isinstance(result, Explanation) else result.colour_figure, path)
    return [path]


def write_export(result: Explanation | ExplanationSet, path: Path, kind: str, image: Path) -> list[Path]:
    """Write the boxes and masks of the maps of an image as JSON of COCO or FiftyOne."""
    explanations = as_set(result)
    write = explanations.coco if kind == "coco" else explanations.fiftyone
    return [write(path, image_path=str(image.absolute()))]


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


def with_margin(result: Explanation | ExplanationSet) -> Explanation | ExplanationSet:
    """Return maps of boxes minus the evidence that a detection needs, see `Explanation.detection_margin`.

    Raises:
        TargetError: A map is not of the class of one box of a detector.
        MethodError: A map is not in units of the log-odds, or of a volume or a video.
    """
    from camlucida.attribution.explanation import Explanation
    from camlucida.attribution.explanation_set import ExplanationSet

    items = [result] if isinstance(result, Explanation) else list(result)
    if not all(isinstance(each, Explanation) for each in items):
        raise MethodError("--margin is for boxes of a detector on an image, not for a volume or a video.")
    margins = [each.detection_margin() for each in items]
    return margins[0] if isinstance(result, Explanation) else ExplanationSet(tuple(margins))


def with_margin_or_error(
    result: Explanation | ExplanationSet | CamlucidaError,
) -> Explanation | ExplanationSet | CamlucidaError:
    """Return the same as `with_margin`, an error in place of raising it, and an error as it is."""
    if isinstance(result, CamlucidaError):
        return result
    try:
        return with_margin(result)
    except CamlucidaError as error:
        return error
