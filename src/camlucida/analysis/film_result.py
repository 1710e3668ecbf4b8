"""The result of `film`: explanations of the same images at every checkpoint, as a figure and as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import camlucida
from camlucida._escaping import csv_text
from camlucida._files import atomic_write, png, write_image
from camlucida.evaluation.statistics import Floats, Interval, percentile_interval, resampled_means, resamples
from camlucida.render.film_strip import Strip, StripFrame, draw_strips

N_FRAMES, N_ROWS = 10, 12
"""Maximum number of checkpoints per row, and of images, that one figure displays."""


@dataclass(frozen=True)
class Frame:
    """The explanation of one image at one checkpoint, as numbers.

    Attributes:
        image: Name of the image.
        checkpoint: Name of the checkpoint.
        explained: Name of the class that is explained.
        predicted: Name of the predicted class.
        confidence: Probability of the predicted class.
        chance: Probability of the class that is explained.
        correct: Whether the prediction is correct; None without a label.
        share: Fraction of the positive map on the object (energy-based pointing game); NaN where the object is not
            annotated or the map is zero.
        lift: `share` divided by the fraction of the image that the object covers; NaN likewise.
    """

    image: str
    checkpoint: str
    explained: str
    predicted: str
    confidence: float
    chance: float
    correct: bool | None
    share: float
    lift: float


@dataclass(frozen=True, eq=False)
class Film:
    """Explanations of several images at several checkpoints. Displayed as a figure in notebooks.

    Attributes:
        checkpoints: Names of the checkpoints, in the order of the training.
        takes: The numbers of all images and checkpoints, ordered by image.
        frames: What the figure draws, by name of image and checkpoint.
        failures: Images that could not be explained at every checkpoint, each with the first error message.
        method: Name of the attribution method.
        data: Name of the data set.
    """

    checkpoints: tuple[str, ...]
    takes: tuple[Frame, ...]
    frames: Mapping[tuple[str, str], StripFrame]
    failures: tuple[tuple[str, str], ...]
    method: str
    data: str

    @property
    def images(self) -> list[str]:
        """Return the names of the images."""
        return list(dict.fromkeys(take.image for take in self.takes))

    def shares(self, column: str = "share") -> dict[str, Interval]:
        """Return the mean over the images at each checkpoint, with its bootstrap interval.

        Only images with a value at every checkpoint are included, so that the checkpoints are comparable.

        Args:
            column: Name of a numeric field of `Frame`.

        Returns:
            One interval per checkpoint, by name; empty if no image has a value at every checkpoint.
        """
        values = self._values(column)
        values = values[~np.isnan(values).any(1)]
        if not len(values):
            return {}
        resampled = np.vstack([resampled_means(group, values) for group in resamples(len(values))])
        return {
            name: percentile_interval(float(values[:, i].mean()), resampled[:, i], len(values))
            for i, name in enumerate(self.checkpoints)
        }

    def figure(self, **style: Any) -> Image.Image:
        """Draw one row per image with one frame per checkpoint.

        Of many checkpoints, evenly spaced ones are drawn, the first and the last included.

        Args:
            **style: Options of `camlucida.render.film_strip.draw_strips`.

        Returns:
            The figure, RGB.
        """
        displayed = [self.checkpoints[i] for i in _evenly_spaced(len(self.checkpoints), N_FRAMES)]
        rows = []
        for image in self.images[:N_ROWS]:
            takes = [take for take in self.takes if take.image == image]
            frames = [self.frames[image, name] for name in displayed if (image, name) in self.frames]
            rows.append(Strip(image, f"the map of {takes[-1].explained}", False, frames))
        selection = "" if len(displayed) == len(self.checkpoints) else f"{len(displayed)} of "
        lift = (
            "×: relative to the object's fraction of the image" if any(t.share == t.share for t in self.takes) else ""
        )
        return draw_strips(
            rows,
            title="Maps over the training",
            subtitle=f"{self.data} at {selection}{len(self.checkpoints)} checkpoints",
            footer=" · ".join(
                filter(None, (self.method, "each map has its own scale", lift, f"camlucida {camlucida.__version__}"))
            ),
            **style,
        )

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Write the figure as an image file, or all numbers as CSV.

        Args:
            path: File name; its suffix selects the format.
            **style: Options of `figure`.

        Returns:
            The files written.
        """
        file = Path(path)
        if file.suffix.lower() != ".csv":
            write_image(lambda: self.figure(**style), file)
            return [file]
        atomic_write(file, csv_text([field.name for field in fields(Frame)], (asdict(take) for take in self.takes)))
        return [file]

    def _values(self, column: str) -> Floats:
        """Return the values of a field of `Frame` as an array `(images, checkpoints)`, NaN where there is none."""
        values = {(take.image, take.checkpoint): float(getattr(take, column)) for take in self.takes}
        return np.array(
            [[values.get((image, c), np.nan) for c in self.checkpoints] for image in self.images], dtype=np.float64
        ).reshape(-1, len(self.checkpoints))

    def _repr_png_(self) -> bytes:
        return png(self.figure())


def _evenly_spaced(n: int, max_n: int) -> list[int]:
    """Return at most `max_n` evenly spaced indices below `n`, the first and the last included."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, max_n)).tolist()})
