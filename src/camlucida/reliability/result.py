"""The verdict on one explanation, as a value."""

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
from camlucida.reliability.confidence import BorderTest, Confidence
from camlucida.reliability.position_test import PositionTest
from camlucida.reliability.similarity import ClassSimilarity
from camlucida.reliability.verdict import RegionTest, Verdict, median_correlation, min_correlation, verdict
from camlucida.render.text import format_nats
from camlucida.types import Geometry

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, eq=False)
class Trust:
    """Whether one map can be believed, with every number. Shows itself in a notebook.

    target      the class that the map is about, `predicted` the one that the model says, `probability` the target's
    certainty   how sure the model is
    place       whether the place matters; None of a map that is the same everywhere
    edge        whether the picture's edge decides
    classes     the maps of other classes: the likeliest first, then random ones
    noise, shifts   the maps of near copies of the picture
    region      how the map lies to the region that was given, if one was
    map, seen   (H, W) the map, (H, W, 3) the picture in [0, 1]: on the network's input
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

    @property
    def verdict(self) -> Verdict:
        """In words."""
        return verdict(
            self.confidence,
            self.position_test,
            self.border_test,
            self.classes,
            (*self.noise, *self.shifts),
            self.region,
        )

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """The question, the answer in numbers, and how to read it."""
        confidence, copies = self.confidence, (*self.noise, *self.shifts)
        rows = [
            (
                "is the model sure?",
                f"{confidence.probability:.1%}, {confidence.margin:.1%} over the second",
                f"as unsure as among {confidence.choices:.1f} of {confidence.classes} classes",
            )
        ]
        if self.position_test is not None:
            rows.append(
                (
                    "does the place matter?",
                    f"p = {self.position_test.p:.3f} ({len(self.position_test.drops)} moves)",
                    f"blurred out, it falls by {format_nats(self.position_test.drop)} nats; elsewhere "
                    f"{format_nats(self.position_test.mean_drop_elsewhere)}",
                )
            )
        rows.append(
            (
                "does the edge decide?",
                "yes" if self.border_test.decides else "no",
                f"edge blurred: {format_nats(self.border_test.edge)} nats; middle blurred: "
                f"{format_nats(self.border_test.middle)}; "
                f"{self.border_test.marked:.0%} of the mark is in it",
            )
        )
        if self.classes:
            first, others = self.classes[0], median_correlation(self.classes[1:] or self.classes)
            rows.append(
                (
                    "is it about this class?",
                    f"{format_correlation(first.correlation)} with {first.name}, {format_correlation(others)} "
                    "with random ones",
                    "rank correlation; copies of the picture give "
                    f"{format_correlation(min_correlation(copies))} or more",
                )
            )
        if copies:
            rows.append(
                (
                    "is it stable?",
                    f"{format_correlation(median_correlation(self.noise))} under noise, "
                    f"{format_correlation(median_correlation(self.shifts))} under shifts",
                    "rank correlation with the map of the changed picture",
                )
            )
        if self.region is not None:
            rows.append(
                (
                    "does it lie on the region?",
                    f"{self.region.inside:.0%} of it inside",
                    f"the region is {self.region.area:.0%} of the picture",
                )
            )
        return rows

    def __str__(self) -> str:
        width = max(len(question) for question, _, _ in self.rows)
        lines = [f"  {question:{width}}  {answer}  ({how})" for question, answer, how in self.rows]
        return "\n".join([f"{self.source}, {self.target}, {self.method}: {self.verdict}", *lines])

    def __rich__(self) -> Table:
        from rich.markup import escape
        from rich.table import Table
        from rich.text import Text

        names = (printable(name, lines=False) for name in (self.source, self.target, self.method))
        title = Text(f"{' · '.join(names)}\n{self.verdict}")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def record(self) -> dict[str, Any]:
        """Every number, ready for JSON; what is not defined is None."""
        test = self.position_test
        return {
            "source": self.source,
            "model": self.model,
            "method": self.method,
            "layer": self.layer,
            "target": self.target,
            "predicted": self.predicted,
            "probability": self.probability,
            "seed": self.seed,
            "belief": self.verdict.level,
            "reasons": list(self.verdict.reasons),
            "certainty": asdict(self.confidence)
            | {"unsure": self.confidence.unsure, "guessing": self.confidence.guessing},
            "place": test
            and {
                "p": test.p,
                "fall": test.drop,
                "elsewhere": test.mean_drop_elsewhere,
                "falls": test.drops.tolist(),
            },
            "edge": asdict(self.border_test) | {"decides": self.border_test.decides},
            "classes": [_similarity_record(one) for one in self.classes],
            "noise": [_similarity_record(one) for one in self.noise],
            "shifts": [_similarity_record(one) for one in self.shifts],
            "region": self.region and asdict(self.region) | {"beside": self.region.misses},
        }

    def panel(self, **style: Any) -> Image.Image:
        """The verdict on one page: maps, what was blurred out, the falls, the numbers. `look` as of `overlay`."""
        from camlucida.render.trust_panel import trust_panel

        return trust_panel(self, **style)

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Write it down; returns the files written: .json for the numbers, .png, .jpg, .webp for the panel."""
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
    """Two places; a map that is the same everywhere has none."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def _similarity_record(similarity: ClassSimilarity) -> dict[str, Any]:
    return {
        "name": similarity.name,
        "correlation": None if math.isnan(similarity.correlation) else similarity.correlation,
    }


def to_pixels(inputs: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """What the network saw (c, H, W), back in [0, 1]: (H, W, 3)."""
    shift, scale = (torch.tensor(v)[:, None, None] for v in (mean, std))
    pixels = (inputs.detach().cpu().float() * scale + shift).clamp(0, 1)
    return pixels.expand(3, -1, -1).permute(1, 2, 0)
