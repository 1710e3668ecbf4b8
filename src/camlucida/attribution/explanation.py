"""An explanation as a value: one map with everything needed to show it, save it and repeat it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida._files import atomic_write, png, write_image
from camlucida.engine.run_options import RunOptions
from camlucida.maps import display_map, saturation_value, to_image_grid
from camlucida.render.colours import check_colormap
from camlucida.render.overlay import overlay
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES
from camlucida.render.panel import draw_panel
from camlucida.render.probability_bars import Bar
from camlucida.types import Display, Geometry, Prediction


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why the model gave one score to one picture, at one layer, by one method. Shows itself in a notebook.

    raw          (h, w) the signed map on the layer's grid, as the method gave it
    relu         whether the paper cuts off what is below zero
    picture      the original, RGB
    geometry     where the network's input lies on it
    target       what was explained, in words; `index` is its class if it is one
    score        its value, in units of `score_kind` (logit, probability, log_probability)
    predictions  the five likeliest classes
    method, options, layer, model   what made it
    paper        where the method stands
    display      how the map becomes colours: by default as its method says; `replace` it for another way
    notes        numbers that the method reported beside the map
    repeats      how the network was run where the method ran it many times: precision and batch
    weights_hash which weights the model had when it was explained
    """

    raw: Tensor
    relu: bool
    image: Image.Image
    geometry: Geometry
    target: str
    index: int | None
    score: float
    score_kind: str
    predictions: tuple[Prediction, ...]
    method: str
    options: Mapping[str, Any]
    paper: str
    layer: str
    model: str
    source: str
    weights_hash: str
    versions: Mapping[str, str]
    display: Display = field(default_factory=Display)
    notes: Mapping[str, float] = field(default_factory=dict)
    run_options: RunOptions = field(default_factory=RunOptions)

    def __repr__(self) -> str:
        best = self.predictions[0]
        return (
            f"Explanation of {self.source!r} by {self.model}: {self.target!r}, {self.score_label}"
            f" (predicted {best.name!r}, {best.probability:.0%})\n"
            f"  {self.method} at {self.layer}, {self.grid_label}, from {self.map.min():.3g} to {self.map.max():.3g}"
        )

    @property
    def map(self) -> Tensor:
        """(h, w) the map as the paper has it, on the layer's grid, in its own units."""
        return self.raw.relu() if self.relu else self.raw

    @cached_property
    def landed(self) -> NDArray[np.float32]:
        """(height, width) of the original picture, in the map's own units; NaN where the network did not look."""
        landed: NDArray[np.float32] = to_image_grid(self.map, self.geometry).numpy()
        return landed

    @cached_property
    def heatmap(self) -> NDArray[np.float32]:
        """(height, width) of the original picture, in [0, 1]; NaN where the network did not look.

        0 to `peak` as 0 to 1; or where the map `shows_signs`, -`peak` to `peak`, with zero at 0.5.
        """
        return self._display_map(self.shows_signs)

    @cached_property
    def shows_signs(self) -> bool:
        """Whether what is below zero is shown: its display says so, and there is something below zero."""
        return self.display.signed and bool((self.map < 0).any())

    @cached_property
    def peak(self) -> float:
        """What the full colour stands for, in the map's own units: the highest on the picture, or a percentile."""
        return saturation_value(torch.from_numpy(self.landed), self.display)

    def _display_map(self, signed: bool) -> NDArray[np.float32]:
        saliency: NDArray[np.float32] = display_map(torch.from_numpy(self.landed), self.peak, signed=signed).numpy()
        return saliency

    def _styled_map(self, colormap: str | None) -> tuple[NDArray[np.float32], str]:
        """The heat and the palette to draw with: a palette with zero in the middle shows both signs, no other does."""
        name = colormap or ("signed" if self.shows_signs else DEFAULT_COLORMAP)
        signed = PALETTES[check_colormap(name)].diverging
        return self.heatmap if signed == self.shows_signs else self._display_map(signed), name

    @property
    def score_label(self) -> str:
        """The score with its unit: "logit 14.2"."""
        return f"{self.score_kind.replace('_', ' ')} {self.score:.3g}"

    def overlay(self, opacity: float = 0.5, *, colormap: str | None = None, **style: Any) -> Image.Image:
        """The heat map over the picture, at the picture's size. `look` as of `render.overlay`.

        colormap   None for the map's own; one with zero in the middle shows what is below zero, too
        """
        saliency, colormap = self._styled_map(colormap)
        return overlay(self.image, saliency, opacity=opacity, colormap=colormap, **style)

    def panel(self, *, colormap: str | None = None, **style: Any) -> Image.Image:
        """Picture, heat map, overlay, colour scale and top-5 on one page. `look` as of `render.panel`."""
        saliency, colormap = self._styled_map(colormap)
        return draw_panel(
            self.image,
            saliency,
            [Bar(p.name, p.probability, p.index == self.index) for p in self.predictions],
            title=self.target,
            subtitle=f"{self.method} · {self.layer} · {self.grid_label}",
            score_label=self.score_label,
            note=self.remark,
            footer=f"{self.model} · {self.source} · camlucida {self.versions.get('camlucida', '')}",
            scale=(-self.peak if PALETTES[colormap].diverging else 0.0, self.peak),
            colormap=colormap,
            **style,
        )

    @property
    def grid_label(self) -> str:
        """How fine the map really is, whatever the picture's size: "7 × 7"."""
        return f"{self.raw.shape[0]} × {self.raw.shape[1]}"

    @property
    def slug(self) -> str:
        """Method, layer and target as a part of a file name."""
        return "-".join(re.sub(r"[^\w.]+", "_", part) for part in (self.method, self.layer, self.target))[:120]

    def record(self) -> dict[str, Any]:
        """Everything but the pixels, ready for JSON."""
        return {
            "source": self.source,
            "model": self.model,
            "weights": self.weights_hash,
            "method": self.method,
            "options": dict(self.options),
            **asdict(self.run_options),
            "paper": self.paper,
            "layer": self.layer,
            "grid": list(self.raw.shape),
            "target": self.target,
            "class": self.index,
            "score": self.score,
            "score_kind": self.score_kind,
            "relu": self.relu,
            "notes": dict(self.notes),
            "predictions": [asdict(p) for p in self.predictions],
            "geometry": asdict(self.geometry),
            "upsampling": "bilinear, half-pixel centres: grid to input, input to picture",
            "display": asdict(self.display) | {"full_colour": self.peak, "zero_in_the_middle": self.shows_signs},
            "versions": dict(self.versions),
        }

    def npz(self) -> bytes:
        """The arrays as the bytes of an .npz: `raw`, `map` and `heatmap` (float16)."""
        buffer = io.BytesIO()
        heatmap = self.heatmap.astype(np.float16)
        np.savez_compressed(buffer, raw=self.raw.numpy(), map=self.map.numpy(), heatmap=heatmap)
        return buffer.getvalue()

    def json(self) -> bytes:
        """`record()` as the bytes of a file."""
        text = json.dumps(self.record(), indent=2, ensure_ascii=False) + "\n"
        # A file name need not be text: what is no letter is written as Python escapes it.
        return text.encode("utf-8", errors="backslashreplace")

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Write it down; returns the files written.

        .png, .jpg, .webp   the panel (`look` as of `panel`)
        .npz                the raw map, the paper's map and the heat map, with a .json of `record()` beside it
        """
        path = Path(path)
        if path.suffix.lower() == ".npz":
            record_path = path.with_suffix(".json")
            atomic_write(record_path, self.json())
            atomic_write(path, self.npz())
            return [path, record_path]
        write_image(lambda: self.panel(**style), path)
        return [path]

    @property
    def remark(self) -> str:
        """What must not be overlooked about the map, in a sentence; empty where there is nothing of the kind."""
        if not bool(((self.map != 0) if self.shows_signs else (self.map > 0)).any()):
            return "The map is zero everywhere: at this layer nothing speaks for this target."
        return ""

    def _repr_png_(self) -> bytes:
        return png(self.panel())
