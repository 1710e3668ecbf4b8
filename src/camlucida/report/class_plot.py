"""Forest plot of the accuracy of the classes that are most surely inaccurate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from camlucida.analysis.confusion import Confusion
from camlucida.evaluation.statistics import Interval
from camlucida.report.forest_plot import ForestPlot, ForestRow, forest_plot
from camlucida.report.formatting import count_noun

MAX_CLASSES = 8
MIN_IMAGES = 5
"""Number of images from which a class is listed where there are more classes than fit."""


def class_plot(
    confusion: Confusion,
    *,
    linked: bool = False,
    intervals: Mapping[str, Interval] | None = None,
    names: tuple[str, str] = ("Accuracy", "image"),
) -> ForestPlot | None:
    """Return the plot of the `MAX_CLASSES` classes with the lowest upper end of Wilson's interval.

    A class with one image that is predicted wrongly has an accuracy of 0, but little is known of it: it comes after a
    class with forty wrong predictions out of fifty.

    Args:
        confusion: The confusion matrix.
        linked: Whether the names filter the images of the page.
        intervals: The accuracy of each class with its interval; None for Wilson's of the matrix.
        names: What is plotted, and what is counted.

    Returns:
        The plot; None where there are more than `MAX_CLASSES` classes and none has `MIN_IMAGES` images.
    """
    every = [
        replace(each, accuracy=intervals[each.name]) if intervals and each.name in intervals else each
        for each in confusion.classes()
    ]
    listed = every if len(every) <= MAX_CLASSES else [each for each in every if each.n >= MIN_IMAGES]
    if not listed:
        return None
    classes = sorted(listed, key=lambda each: (each.accuracy.high, each.accuracy.value, each.name))
    rows = [
        ForestRow(
            each.name,
            each.accuracy.value,
            each.accuracy.low,
            each.accuracy.high,
            note=count_noun(each.n, names[1]),
            filters={"label": each.name} if linked else {},
        )
        for each in classes[:MAX_CLASSES]
    ]
    few = f"the {len(rows)} least accurate of {len(every)} classes" if len(rows) < len(every) else "all classes"
    if len(listed) < len(every):
        few = f"the {len(rows)} least accurate of {len(listed)} classes with {MIN_IMAGES} {names[1]}s or more"
    return forest_plot(
        f"{names[0]} by class ({few})",
        rows,
        reference=confusion.n_correct / confusion.total if confusion.total else None,
        reference_name=f"all {names[1]}s",
        limits=(0.0, 1.0),
        percent=True,
    )
