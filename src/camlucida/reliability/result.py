"""The result of all reliability tests of one explanation."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from camlucida._escaping import printable
from camlucida._files import atomic_write, png, write_image
from camlucida.maps import rgb_channels
from camlucida.reliability.confidence import BorderTest, Confidence
from camlucida.reliability.position_test import PositionTest
from camlucida.reliability.similarity import ClassSimilarity
from camlucida.reliability.verdict import RegionTest, Verdict, median_correlation, min_correlation, verdict
from camlucida.render.text import format_nats, format_p
from camlucida.types import Geometry, Region

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, eq=False)
class Trust:
    """The results of all tests of one map, and the verdict. Displayed as a figure in notebooks.

    Attributes:
        target: Name of the class that the map explains.
        predicted: Name of the predicted class.
        probability: Probability of the target.
        confidence: Confidence of the prediction.
        position_test: Test of the map's position; None for a constant map.
        border_test: Test of whether the border of the image decides.
        classes: Similarity to the maps of other classes: the most probable one first, then random ones.
        noise: Similarity to the maps of noisy copies of the image.
        shifts: Similarity to the maps of shifted copies of the image.
        region: How the map lies with respect to the given region, if there is one.
        method: Name of the attribution method.
        layer: Name of the layer.
        model: Name of the model.
        source: Name of the image.
        seed: Seed of all random choices.
        image: The image.
        geometry: Mapping between the image and the network input.
        map: The map on the network input `(H, W)`.
        input_pixels: The network input as pixels `(H, W, 3)`, in [0, 1].
        occluded_pixels: The same with the highlighted region blurred.
        target_region: The box, region or point that the target is about, in pixels of the image; None for a class.
        input_region: The same in pixels of the network input.
    """

    target: str
    predicted: str
    probability: float
    confidence: Confidence
    position_test: PositionTest | None
    border_test: BorderTest
    classes: tuple[ClassSimilarity, ...]
    noise: tuple[ClassSimilarity, ...]
    shifts: tuple[ClassSimilarity, ...]
    region: RegionTest | None
    method: str
    layer: str
    model: str
    source: str
    seed: int
    image: Image.Image = field(repr=False)
    geometry: Geometry = field(repr=False)
    map: Tensor = field(repr=False)
    input_pixels: Tensor = field(repr=False)
    occluded_pixels: Tensor = field(repr=False)
    target_region: Region | None = field(default=None, repr=False)
    input_region: Region | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Verdict:
        """Return the verdict as text, with its reasons."""
        return verdict(
            self.confidence,
            self.position_test,
            self.border_test,
            self.classes,
            (*self.noise, *self.shifts),
            self.region,
        )

    @property
    def missed(self) -> Region | None:
        """Return the region of an object that the network did not find; None for other targets."""
        region = self.target_region
        return region if region is not None and region.is_missed else None

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Return name, result and details of every test."""
        border, copies = self.border_test, (*self.noise, *self.shifts)
        rows = [("confidence of the prediction", *self._confidence_texts)]
        if (position := self.position_test) is not None:
            rows.append(
                (
                    "position",
                    f"p = {format_p(position.p)} ({len(position.statistics)} transforms)",
                    f"drop of {format_nats(position.drop)} nats when blurred, "
                    f"{format_nats(position.mean_drop_elsewhere)} at other positions",
                )
            )
        rows.append(
            (
                "border of the image decides",
                "yes" if border.decides else "no",
                f"drop of {format_nats(border.edge)} nats (border), {format_nats(border.middle)} (middle); "
                f"{border.marked:.0%} of the region in the border",
            )
        )
        if self.classes:
            first, others = self.classes[0], median_correlation(self.classes[1:] or self.classes)
            rows.append(
                (
                    "class sensitivity",
                    f"{format_correlation(first.correlation)} with {first.name}, "
                    f"{format_correlation(others)} with random classes",
                    f"rank correlation; at least {format_correlation(min_correlation(copies))} with perturbed copies",
                )
            )
        if copies:
            rows.append(
                (
                    "stability",
                    f"{format_correlation(median_correlation(self.noise))} with noise, "
                    f"{format_correlation(median_correlation(self.shifts))} with shifts",
                    "median rank correlation with the maps of perturbed copies",
                )
            )
        if self.region is not None:
            rows.append(
                (
                    "region",
                    f"{self.region.inside:.0%} of the map inside",
                    f"the region covers {self.region.area:.0%} of the image",
                )
            )
        return rows

    @property
    def _confidence_texts(self) -> tuple[str, str]:
        """Return the confidence and its details as text: that of what is predicted, never that of "not dog"."""
        c, missed = self.confidence, self.missed
        perplexity = f"perplexity {c.choices:.1f} of {c.classes} classes"
        if missed is None and c.present is None:
            return f"{c.probability:.1%}, {c.margin:.1%} over the second class", perplexity
        if missed is None:
            is_predicted = "predicted" if not c.guessing else "not predicted"
            return f"{is_predicted} ({c.present:.1%})", "probability of the class; it is predicted from 50% on"
        name = missed.name.removeprefix("missed ")
        if missed.box is None:
            return f"not predicted ({name} {_percent(self.probability)})", f"predicted there is {self.predicted}"
        if missed.threshold is None or self.probability >= missed.threshold:
            details = "another detection of the class suppressed it"
        else:
            details = f"a detection has at least {missed.threshold:.0%}"
        return f"not detected ({name} {_percent(self.probability)})", details

    def __str__(self) -> str:
        width = max(len(name) for name, _, _ in self.rows)
        lines = [f"  {name:{width}}  {result}  ({details})" for name, result, details in self.rows]
        return "\n".join([f"{self.source}, {self.method} map of {self.target}: {self.verdict}", *lines])

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table
        from rich.text import Text

        names = (printable(name, lines=False) for name in (self.source, self.target, self.method))
        title = Text(f"{' · '.join(names)}\nMap: {self.verdict}")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def record(self) -> dict[str, Any]:
        """Return all numbers, ready for JSON; undefined ones are None."""
        confidence, position, border = self.confidence, self.position_test, self.border_test
        return {
            "source": self.source,
            "model": self.model,
            "method": self.method,
            "layer": self.layer,
            "target": self.target,
            "predicted": self.predicted,
            "probability": self.probability,
            "seed": self.seed,
            "level": self.verdict.level,
            "reasons": list(self.verdict.reasons),
            "confidence": {
                "probability": confidence.probability,
                "margin": confidence.margin,
                "perplexity": confidence.choices,
                "classes": confidence.classes,
                "normalized_entropy": confidence.unsure,
                "guessing": confidence.guessing,
            },
            "position_test": position
            and {
                "p": position.p,
                "drop": position.drop,
                "mean_drop_elsewhere": position.mean_drop_elsewhere,
                "window_drops": position.window_drops.tolist(),
                "importance": position.importance.tolist(),
                "statistics": position.statistics.tolist(),
            },
            "border_test": {
                "border": border.edge,
                "middle": border.middle,
                "map_fraction": border.marked,
                "decides": border.decides,
            },
            "classes": [_similarity_record(s) for s in self.classes],
            "noise": [_similarity_record(s) for s in self.noise],
            "shifts": [_similarity_record(s) for s in self.shifts],
            "region": self.region and asdict(self.region) | {"misses": self.region.misses},
        }

    def panel(self, **style: Any) -> Image.Image:
        """Draw the verdict on one page: maps, the blurred region, the drops, and all numbers.

        Args:
            **style: Options of `camlucida.render.overlay.overlay`.

        Returns:
            The page, RGB.
        """
        from camlucida.render.trust_panel import trust_panel

        return trust_panel(self, **style)

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Write the result to a file: .json for the numbers, .png, .jpg or .webp for the panel.

        Args:
            path: File name; its suffix selects the format.
            **style: Options of `panel`.

        Returns:
            The files written.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            text = json.dumps(self.record(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            atomic_write(path, text)
        else:
            write_image(lambda: self.panel(**style), path)
        return [path]

    def _repr_png_(self) -> bytes:
        return png(self.panel())


def format_correlation(value: float) -> str:
    """Return a correlation with two decimals; a dash where it is undefined, as for a constant map."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def _percent(probability: float) -> str:
    return f"{probability:.1%}" if probability >= 0.001 else "below 0.1%"


def _similarity_record(similarity: ClassSimilarity) -> dict[str, Any]:
    return {
        "name": similarity.name,
        "correlation": None if math.isnan(similarity.correlation) else similarity.correlation,
    }


def to_pixels(inputs: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return the network input `(c, H, W)` as pixels `(H, W, 3)` in [0, 1], with the normalisation reversed.

    Channels are those of `rgb_channels`.
    """
    shift, scale = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (mean, std))
    pixels = (inputs.detach().cpu().float() * scale + shift).clamp(0, 1)
    return rgb_channels(pixels).permute(1, 2, 0)
