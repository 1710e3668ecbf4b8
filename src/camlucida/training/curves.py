"""Learning curves as an image."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from camlucida.render.curves import Chart, Curve, draw_charts
from camlucida.training.state import EpochRow


def plot_curves(rows: Sequence[EpochRow], best: EpochRow | None, name: str) -> Image.Image:
    """Plot loss and accuracy by epoch, and highlight the epoch whose weights are kept."""

    def curve(title: str, key: str) -> Curve:
        return Curve(title, [(row["epoch"], row[key]) for row in rows])

    validated = [row for row in rows if row["val_accuracy"] is not None]
    mark = (float(best["epoch"]), "kept") if best is not None and validated else None
    accuracy = [curve("training", "accuracy"), curve("validation", "val_accuracy")]
    if any(row["val_top5"] is not None for row in rows):
        accuracy.append(curve("val. top-5", "val_top5"))
    subtitle = f"{rows[-1]['pictures']} pictures to learn from"
    if best is not None and best["val_accuracy"] is not None:
        subtitle += (
            f", {best['val_pictures']} to validate · best: epoch {best['epoch']}, accuracy {best['val_accuracy']:.1%}"
            f" on validation"
        )
    return draw_charts(
        [
            Chart("Loss", [curve("training", "loss"), curve("validation", "val_loss")], "epoch", bottom=0.0, mark=mark),
            Chart("Accuracy", accuracy, "epoch", bottom=0.0, top=1.0, mark=mark),
        ],
        title=name,
        subtitle=subtitle,
        footer="training: while it learned, with augmentation and dropout where there are any · "
        "validation: after the epoch",
    )
