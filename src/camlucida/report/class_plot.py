"""Forest plot of the accuracy of the classes that are most surely inaccurate."""

from __future__ import annotations

from camlucida.analysis.confusion import Confusion
from camlucida.report.forest_plot import ForestPlot, ForestRow, forest_plot
from camlucida.report.formatting import count_noun

MAX_CLASSES = 8


def class_plot(confusion: Confusion, *, linked: bool = False) -> ForestPlot:
    """Return the plot of the `MAX_CLASSES` classes with the lowest upper end of Wilson's interval.

    A class with one image that is predicted wrongly has an accuracy of 0, but little is known of it: it comes after a
    class with forty wrong predictions out of fifty.

    Args:
        confusion: The confusion matrix.
        linked: Whether the names filter the images of the page.
    """
    classes = sorted(confusion.classes(), key=lambda each: (each.accuracy.high, each.accuracy.value, each.name))
    rows = [
        ForestRow(
            each.name,
            each.accuracy.value,
            each.accuracy.low,
            each.accuracy.high,
            note=count_noun(each.n, "image"),
            filters={"label": each.name} if linked else {},
        )
        for each in classes[:MAX_CLASSES]
    ]
    few = f"the {MAX_CLASSES} least accurate of {len(classes)} classes" if len(classes) > MAX_CLASSES else "all classes"
    return forest_plot(
        f"Accuracy by class ({few})",
        rows,
        reference=confusion.n_correct / confusion.total if confusion.total else None,
        reference_name="all images",
        limits=(0.0, 1.0),
        percent=True,
    )
