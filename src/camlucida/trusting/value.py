"""The verdict on one explanation, as a value."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camlucida._escaping import printable
from camlucida._files import atomic_write, png, write_picture
from camlucida.trusting.agreement import Likeness
from camlucida.trusting.certainty import Certainty, Edge
from camlucida.trusting.place import Place
from camlucida.trusting.verdict import Region, Verdict, lowest, middle, nats, verdict
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
    certainty: Certainty
    place: Place | None
    edge: Edge
    classes: tuple[Likeness, ...]
    noise: tuple[Likeness, ...]
    shifts: tuple[Likeness, ...]
    region: Region | None
    method: str
    layer: str
    model: str
    source: str
    seed: int
    picture: Image.Image = field(repr=False)
    geometry: Geometry = field(repr=False)
    map: Tensor = field(repr=False)
    seen: Tensor = field(repr=False)
    blurred: Tensor = field(repr=False)

    @property
    def verdict(self) -> Verdict:
        """In words."""
        return verdict(self.certainty, self.place, self.edge, self.classes, (*self.noise, *self.shifts), self.region)

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """The question, the answer in numbers, and how to read it."""
        c, copies = self.certainty, (*self.noise, *self.shifts)
        found = [
            (
                "is the model sure?",
                f"{c.probability:.1%}, {c.margin:.1%} over the second",
                f"as unsure as among {c.choices:.1f} of {c.classes} classes",
            )
        ]
        if self.place is not None:
            found.append(
                (
                    "does the place matter?",
                    f"p = {self.place.p:.3f} ({len(self.place.falls)} moves)",
                    f"blurred out, it falls by {nats(self.place.fall)} nats; elsewhere {nats(self.place.elsewhere)}",
                )
            )
        found.append(
            (
                "does the edge decide?",
                "yes" if self.edge.decides else "no",
                f"edge blurred: {nats(self.edge.edge)} nats; middle blurred: {nats(self.edge.middle)}; "
                f"{self.edge.marked:.0%} of the mark is in it",
            )
        )
        if self.classes:
            first, others = self.classes[0], middle(self.classes[1:] or self.classes)
            found.append(
                (
                    "is it about this class?",
                    f"{correlation(first.correlation)} with {first.name}, {correlation(others)} with random ones",
                    f"rank correlation; copies of the picture give {correlation(lowest(copies))} or more",
                )
            )
        if copies:
            found.append(
                (
                    "is it stable?",
                    f"{correlation(middle(self.noise))} under noise, {correlation(middle(self.shifts))} under shifts",
                    "rank correlation with the map of the changed picture",
                )
            )
        if self.region is not None:
            found.append(
                (
                    "does it lie on the region?",
                    f"{self.region.inside:.0%} of it inside",
                    f"the region is {self.region.area:.0%} of the picture",
                )
            )
        return found

    def __str__(self) -> str:
        wide = max(len(question) for question, _, _ in self.rows)
        lines = [f"  {question:{wide}}  {answer}  ({how})" for question, answer, how in self.rows]
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
        place = self.place
        return {
            "source": self.source,
            "model": self.model,
            "method": self.method,
            "layer": self.layer,
            "target": self.target,
            "predicted": self.predicted,
            "probability": self.probability,
            "seed": self.seed,
            "belief": self.verdict.belief,
            "reasons": list(self.verdict.reasons),
            "certainty": asdict(self.certainty)
            | {"unsure": self.certainty.unsure, "guessing": self.certainty.guessing},
            "place": place
            and {
                "p": place.p,
                "fall": place.fall,
                "elsewhere": place.elsewhere,
                "falls": place.falls.tolist(),
            },
            "edge": asdict(self.edge) | {"decides": self.edge.decides},
            "classes": [_likeness(one) for one in self.classes],
            "noise": [_likeness(one) for one in self.noise],
            "shifts": [_likeness(one) for one in self.shifts],
            "region": self.region and asdict(self.region) | {"beside": self.region.beside},
        }

    def panel(self, **look: Any) -> Image.Image:
        """The verdict on one page: maps, what was blurred out, the falls, the numbers. `look` as of `overlay`."""
        from camlucida.trusting.page import page

        return page(self, **look)

    def save(self, path: str | Path, **look: Any) -> list[Path]:
        """Write it down; returns the files written: .json for the numbers, .png, .jpg, .webp for the panel."""
        path = Path(path)
        if path.suffix.lower() == ".json":
            text = json.dumps(self.record(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            atomic_write(path, text)
        else:
            write_picture(lambda: self.panel(**look), path)
        return [path]

    def _repr_png_(self) -> bytes:
        return png(self.panel())


def correlation(value: float) -> str:
    """Two places; a map that is the same everywhere has none."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def _likeness(one: Likeness) -> dict[str, Any]:
    return {"name": one.name, "correlation": None if math.isnan(one.correlation) else one.correlation}


def in_colours(inputs: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """What the network saw (c, H, W), back in [0, 1]: (H, W, 3)."""
    shift, scale = (torch.tensor(v)[:, None, None] for v in (mean, std))
    plain = (inputs.detach().cpu().float() * scale + shift).clamp(0, 1)
    return plain.expand(3, -1, -1).permute(1, 2, 0)


def to_image(pixels: Tensor) -> Image.Image:
    """Colours (H, W, 3) in [0, 1] as a picture."""
    return Image.fromarray(np.rint(255 * pixels.numpy()).astype(np.uint8))
