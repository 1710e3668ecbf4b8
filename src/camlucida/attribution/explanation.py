"""An explanation as a value: one map with everything needed to display, save and reproduce it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida._files import atomic_write, png
from camlucida.attribution.detection_margin import detection_margin
from camlucida.attribution.explanation_record import arrays_of, record_of
from camlucida.attribution.figure_files import FigureFiles
from camlucida.attribution.map_regions import DEFAULT_THRESHOLD, map_box, map_mask
from camlucida.attribution.region_remark import region_remark
from camlucida.engine.run_options import RunOptions
from camlucida.errors import MethodError
from camlucida.maps import display_map, rgb_channels, saturation_value, to_image_grid
from camlucida.render.colours import check_colormap
from camlucida.render.overlay import overlay
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES
from camlucida.render.panel import draw_panel
from camlucida.render.probability_bars import Bar
from camlucida.render.regions import draw_region
from camlucida.render.signed_colour import draw_signed_colour
from camlucida.render.text import format_confidence
from camlucida.tasks import MULTICLASS, OutputActivation
from camlucida.types import Display, Geometry, Prediction, Region


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(FigureFiles):
    """The saliency map of one score for one image, at one layer, by one method. Displays itself in a notebook.

    Attributes:
        raw: Signed map `(h, w)` on the layer's grid, as the method returned it.
        relu: Whether the paper applies a ReLU to the map.
        image: The original image, RGB.
        geometry: Position of the network input on the original image.
        target: What was explained, as text.
        index: Class of the target, or None if it is not a single class.
        score: Value of the score, in units of `score_kind`.
        score_kind: "logit", "probability" or "log_probability"; "value" for the output of a regression, "score" for
            targets that are no class.
        predictions: The most likely classes, most likely first.
        method: Name or expression of the method.
        options: All options of the method.
        paper: Paper of the method, with its equation.
        layer: Label of the layer; "input" for a method that maps the network input.
        model: Name of the model.
        source: Name of the image.
        colour: Signed map of every colour channel `(c, H, W)` on the network input, of which `raw` is the reduction;
            None unless it was requested, and for methods without one.
        input: Name of the image among the inputs of a network that takes several; empty for one that takes one.
        weights_hash: Hash of the model's weights.
        versions: Versions of the packages that took part.
        display: How the map is converted to colours: the method's default; use `dataclasses.replace` to change it.
        notes: Numbers that the method reported beside the map.
        run_options: Precision and batch size, where the method ran the network many times.
        array: What was explained, where it was not an RGB image: bands `(height, width, c)` in [0, 1], or the network
            input `(c, H, W)`; else None.
        region: The box, mask or point in the original image that the target is about, for detectors, segmentation
            networks and captions; None where the target is a class of the whole image.
        spec: What means this target of this image, such as "box 3", for networks with `Model.image_targets`.
        method_reason: Why it is the method, if none was named and it is not the usual one: "default for boxes: …".
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
    activation: OutputActivation = MULTICLASS
    array: NDArray[np.float32] | Tensor | None = None
    input: str = ""
    colour: Tensor | None = None
    region: Region | None = None
    spec: str = ""
    method_reason: str = ""

    def __repr__(self) -> str:
        best = self.predictions[0] if self.predictions else None
        predicted = best and f" (predicted {best.name!r}, {format_confidence(best.probability, best.logit)})"
        return (
            f"Explanation of {self.source_label!r} by {self.model}: {self.target!r}, {self.score_label}"
            f"{predicted or ''}\n"
            f"  {self.method_label} at {self.layer}, {self.grid_label}, "
            f"from {self.map.min():.3g} to {self.map.max():.3g}"
        )

    @property
    def map(self) -> Tensor:
        """The map `(h, w)` as defined in the paper, on the layer's grid and in its own units."""
        return self.raw.relu() if self.relu else self.raw

    @cached_property
    @plain_arithmetic()
    def landed(self) -> NDArray[np.float32]:
        """The map on the original image's grid `(height, width)`, in its own units; NaN outside the network input."""
        landed: NDArray[np.float32] = to_image_grid(self.map, self.geometry).numpy()
        return landed

    @cached_property
    def heatmap(self) -> NDArray[np.float32]:
        """The map on the grid of the original image `(height, width)`, in [0, 1]; NaN outside the network input.

        The range 0 to `peak` becomes 0 to 1; if the map `shows_signs`, -`peak` to `peak` does, with zero at 0.5.
        """
        return self._display_map(self.shows_signs)

    @cached_property
    def shows_signs(self) -> bool:
        """Whether negative values are displayed: `display` is signed, and the map has negative values."""
        return self.display.signed and bool((self.map < 0).any())

    @cached_property
    def peak(self) -> float:
        """The map value with the full colour, in the map's own units: the maximum on the image, or a percentile."""
        return saturation_value(torch.from_numpy(self.landed), self.display)

    def _display_map(self, signed: bool) -> NDArray[np.float32]:
        saliency: NDArray[np.float32] = display_map(torch.from_numpy(self.landed), self.peak, signed=signed).numpy()
        return saliency

    def _styled_map(self, colormap: str | None) -> tuple[NDArray[np.float32], str]:
        """Return the display map and the name of its palette; only diverging palettes show both signs."""
        name = colormap or ("signed" if self.shows_signs else DEFAULT_COLORMAP)
        signed = PALETTES[check_colormap(name)].diverging
        return self.heatmap if signed == self.shows_signs else self._display_map(signed), name

    @plain_arithmetic()
    def colour_image(self) -> Image.Image:
        """Return the map in colour at the size of the image, as the papers' figures show it: grey is zero.

        A value is displayed at 0.5 + 0.1 value / s, clipped to [0, 1], where s is the standard deviation of the map
        over all pixels and channels (`render.signed_colour`). Pixels outside the network input are light grey.

        Raises:
            MethodError: The explanation has no map in colour.
        """
        if self.colour is None:
            raise MethodError(
                f"this explanation by {self.method} has no map in colour: request it with explain(…, colour=True), for "
                "a method such as guided_backprop or guided_grad_cam."
            )
        landed = torch.stack([to_image_grid(channel, self.geometry) for channel in rgb_channels(self.colour)], dim=-1)
        return draw_signed_colour(landed.numpy(), float(self.colour.std(correction=0)))

    @property
    def score_label(self) -> str:
        """The score with its unit, such as "logit 14.2"."""
        return f"{self.score_kind.replace('_', ' ')} {self.score:.3g}"

    def overlay(self, opacity: float = 0.5, *, colormap: str | None = None, **style: Any) -> Image.Image:
        """Return the map overlaid on the image, at the size of the image.

        Args:
            opacity: Opacity of the map, in [0, 1].
            colormap: Name of a palette; None for the default of the map. A diverging palette also shows negative
                values.
            **style: Further arguments of `render.overlay`.
        """
        saliency, colormap = self._styled_map(colormap)
        drawn = overlay(self.image, saliency, opacity=opacity, colormap=colormap, **style)
        return drawn if self.region is None else draw_region(drawn, self.region)

    def panel(self, *, colormap: str | None = None, **style: Any) -> Image.Image:
        """Return a page with the image, the map, the overlay, a colour scale and the predictions.

        Args:
            colormap: As of `overlay`.
            **style: Further arguments of `render.panel.draw_panel`.
        """
        saliency, colormap = self._styled_map(colormap)
        return draw_panel(
            self.image,
            saliency,
            [Bar(p.name, p.probability, p.index == self.index, p.logit) for p in self.predictions],
            title=self.target,
            subtitle=" · ".join(filter(None, (self.input, self.method_label, self.layer, self.grid_label))),
            score_label=self.score_label,
            note=self.remark,
            footer=self._footer,
            scale=(-self.peak if PALETTES[colormap].diverging else 0.0, self.peak),
            colour=None if self.colour is None else self.colour_image(),
            colormap=colormap,
            region=self.region,
            **style,
        )

    @property
    def method_label(self) -> str:
        """The method, with the reason where it was chosen as the default of such targets."""
        return f"{self.method} ({self.method_reason})" if self.method_reason else self.method

    @property
    def grid_label(self) -> str:
        """The resolution of the map itself, whatever the size of the image: "7 × 7"."""
        return f"{self.raw.shape[0]} × {self.raw.shape[1]}"

    @property
    def source_label(self) -> str:
        """The name of the image, after that of the network's input where it takes several: "left: a.png"."""
        return f"{self.input}: {self.source}" if self.input else self.source

    @property
    def _footer(self) -> str:
        """What made the map and of what, as the last line of its pages."""
        return f"{self.model} · {self.source_label} · camlucida {self.versions.get('camlucida', '')}"

    @property
    def slug(self) -> str:
        """Method, layer and target as a part of a file name."""
        parts = [*([self.input] if self.input else []), self.method, self.layer, self.target]
        return "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)[:120]

    def record(self) -> dict[str, Any]:
        """Return everything except the pixels, ready for JSON."""
        return record_of(self)

    def mask(self, threshold: float = DEFAULT_THRESHOLD) -> NDArray[np.bool_]:
        """Return the pixels of the image with at least `threshold` times the map's maximum `(height, width)`.

        Negative values count as 0. A map that is constant or nowhere positive has no such pixel.

        Args:
            threshold: Fraction of the maximum, in (0, 1].

        Raises:
            MethodError: The threshold is out of range, or the map is that of a volume.
        """
        return map_mask(self.landed, threshold)

    def box(self, threshold: float = DEFAULT_THRESHOLD) -> tuple[int, int, int, int] | None:
        """Return the box of the largest connected part of `mask(threshold)`, in pixels of the image.

        Args:
            threshold: Fraction of the maximum, in (0, 1]. 0.15 is that of Grad-CAM's boxes, 0.2 that of CAM's.

        Returns:
            (left, top, right, bottom), right and bottom exclusive; None if the mask is empty.

        Raises:
            MethodError: As of `mask`.
        """
        return map_box(self.landed, threshold)

    def detection_margin(self) -> Explanation:
        """Return the map of a box of a detector minus the evidence that a detection needs, see `detection_margin`.

        It adds up to the log-odds minus those of the smallest probability of a detection, so that the sum is positive
        for what is detected and negative for what is missed.

        Raises:
            TargetError: The explanation is not of the class of one box.
            MethodError: The map is not in units of the log-odds, as those of hires_cam are.
        """
        return detection_margin(self)

    def npz(self) -> bytes:
        """Return the arrays `raw`, `map`, `heatmap` (float16) and, where requested, `colour` as an .npz file."""
        return arrays_of(self)

    def json(self) -> bytes:
        """Return `record()` as the bytes of a JSON file."""
        text = json.dumps(self.record(), indent=2, ensure_ascii=False) + "\n"
        # A file name need not be valid Unicode; lone surrogates are escaped.
        return text.encode("utf-8", errors="backslashreplace")

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Save the explanation; the suffix of the path decides how.

        Args:
            path: .png, .jpg or .webp for the panel; .pdf or .svg for the panel with text as text and images with 300
                dpi; .html for a self-contained file with controls; .npz for the raw map, the paper's map and the
                heatmap, with `record()` in a .json file beside it.
            **style: As of `panel`, or for .html as of `html`.

        Returns:
            The paths of the files written.

        Raises:
            ImageError: The suffix is not supported.
            MissingExtra: The path is a .pdf, and fpdf2 is not installed.
            OutputError: A file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() == ".npz":
            record_path = path.with_suffix(".json")
            atomic_write(record_path, self.json())
            atomic_write(path, self.npz())
            return [path, record_path]
        return self._write_figure(path, style)

    def _draw_figure(self, **style: Any) -> Image.Image:
        return self.panel(**style)

    def _stills_of_figure(self) -> list[Explanation]:
        return [self.still(self)]

    def still(self, reference: Explanation) -> Explanation:
        """Return the explanation of one image: this one; of a volume or a video, one slice or frame of it.

        Args:
            reference: The explanation whose maximum decides which slice or frame it is.
        """
        return self

    @property
    def is_empty(self) -> bool:
        """Whether the map has no value that is displayed: it is zero, or negative where signs are not displayed."""
        return not bool(((self.map != 0) if self.shows_signs else (self.map > 0)).any())

    @property
    def remark(self) -> str:
        """A warning about the map, as a sentence; empty without one."""
        if self.is_empty:
            return "The map is zero everywhere: at this layer there is no evidence for this target."
        return self._region_remark

    @cached_property
    def _region_remark(self) -> str:
        return region_remark(self)

    def _repr_png_(self) -> bytes:
        return png(self.panel())
