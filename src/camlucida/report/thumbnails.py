"""Thumbnails of overlays for a report, computed by explaining some of the images again."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from camlucida.attribution.explain import explain
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.request import INPUT
from camlucida.data.datasets import Dataset, sample_indices
from camlucida.data.images import load_image
from camlucida.errors import CamlucidaError
from camlucida.evaluation.dataset_pass import outputs_of
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.provenance import mismatch
from camlucida.metrics import Preset
from camlucida.metrics.common.regions import is_rankable, largest_box, threshold_map
from camlucida.models.model import Model
from camlucida.render.boxes import draw_boxes
from camlucida.render.canvas import Sheet
from camlucida.render.class_mask import draw_classes, draw_legend, legend_entries
from camlucida.render.panel import CLASSES_CAPTION
from camlucida.render.resize import display_size, resize_image
from camlucida.types import Region

THUMBNAIL_PX = 176
JPEG_QUALITY = 78
MAX_BYTES = 3_600_000
"""Maximum size, in bytes, of all images of a page; the page states which are omitted."""
MAX_FORWARDS = 700.0
"""Maximum number of forward passes per map; more expensive methods are not run again for thumbnails."""


@dataclass
class ThumbnailRenderer:
    """Explains images of a run again with the settings of the run.

    Attributes:
        evaluation: The evaluation.
        model: The evaluated model.
        data: The evaluated data set.
        max_bytes: The remaining size, in bytes.
        left_out: Methods without thumbnails, with the reason.
        layers: The layers that methods without a named layer used.
        box_metric: The first metric of the run that compares a box of the map with the annotated ones, whose box is
            drawn; None if there is none.
    """

    evaluation: Evaluation
    model: Model
    data: Dataset
    max_bytes: int = MAX_BYTES
    left_out: dict[str, str] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    _cache: dict[tuple[int, str], str] = field(default_factory=dict)
    _regions: dict[int, Region] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._labels = outputs_of(self.data.classes, self.model)
        entries = self.evaluation.plan["methods"]
        self._requests = {e["name"]: e for e in entries if "method" in e}
        self._costs = self.evaluation.costs()
        self.box_metric = next((p for p in self.evaluation.presets.values() if _compares_a_box(p)), None)

    def mismatch(self) -> str:
        """Return how the model or the data differ from those of the run, or ""."""
        return mismatch(self.evaluation.plan, self.model, self.data)

    def plain(self, index: int) -> str:
        """Return the image with its ground truth boxes, or with the region of the target."""
        return self._cached((index, ""), lambda: self._plain(index))

    def overlay(self, index: int, method: str) -> str:
        """Return the overlay of a method as a data URI, or "" if it is omitted."""
        forwards = self._costs.get((method, "explaining"), (0.0, 0.0))[0]
        if forwards > MAX_FORWARDS:
            self.left_out[method] = f"a map takes {forwards:,.0f} forward passes"
            return ""
        return self._cached((index, method), lambda: self._explain(index, method))

    def classes(self, index: int) -> tuple[str, list[str]]:
        """Return the classes that the network predicts in an image with their legend, and their names.

        They are known once a map of the image was drawn; "" where there is none, or the network segments nothing.
        """
        region = self._regions.get(index)
        if region is None or region.classes is None:
            return "", []
        image = load_image(self.data[self.evaluation.images[index].image].image)
        uri = self._cached((index, CLASSES_CAPTION), lambda: classes_thumbnail(image, THUMBNAIL_PX, region))
        return uri, [name for _, name, _, _ in legend_entries(region)]

    def _explain(self, index: int, method: str) -> Image.Image:
        image, request = self.evaluation.images[index], self._requests[method]
        item, plan_target = self.data[image.image], self.evaluation.plan["target"]
        target: Any = None
        if self.evaluation.has_several_targets:
            several = plan_target == "all" or str(plan_target).startswith("top")
            target = image.target_spec or (image.target if several else plan_target)
        elif plan_target == "true" and item.label is not None:
            target = self._labels[item.label]
        explanation = explain(self.model, item.image, target=target, method=request["method"], layer=request["layer"])
        if "@" not in method and explanation.layer != INPUT:
            self.layers[method] = explanation.layer
        if explanation.region is not None:
            self._regions[index] = explanation.region
        return thumbnail_of(explanation.overlay(), THUMBNAIL_PX, self._boxes(index), self._map_boxes(explanation))

    def _map_boxes(self, explanation: Explanation) -> NDArray[np.float64] | None:
        """Return the box `(1, 4)` of a map by `box_metric`, in pixels of the image; None without one."""
        if self.box_metric is None:
            return None
        settings = self.box_metric.settings
        saliency = torch.from_numpy(explanation.landed).nan_to_num(nan=0.0).clamp_min(0)
        if not is_rankable(saliency):
            return None
        box: NDArray[np.float64] = largest_box(
            threshold_map(saliency, settings["threshold"]), settings["region"]
        ).numpy()
        return box[None]

    def _plain(self, index: int) -> Image.Image:
        image = load_image(self.data[self.evaluation.images[index].image].image)
        return thumbnail_of(image, THUMBNAIL_PX, self._boxes(index))

    def _boxes(self, index: int) -> NDArray[np.float64] | None:
        """Return the annotated boxes of an image `(n, 4)`, or the box around the region of a target."""
        image = self.evaluation.images[index]
        if not self.evaluation.has_several_targets:
            return self.data[image.image].boxes
        return None if image.region_box is None else np.array([image.region_box], dtype=np.float64)

    def _cached(self, key: tuple[int, str], render: Callable[[], Image.Image]) -> str:
        if key not in self._cache:
            try:
                uri = data_uri(render())
            except CamlucidaError as error:
                self.left_out[key[1]] = str(error)
                uri = ""
            if len(uri) > self.max_bytes:
                self.left_out[key[1]] = "the report would be too large"
                uri = ""
            self.max_bytes -= len(uri)
            self._cache[key] = uri
        return self._cache[key]


def _compares_a_box(preset: Preset) -> bool:
    return "boxes" in preset.metric.needs and {"threshold", "region"} <= set(preset.settings)


def thumbnail_of(
    image: Image.Image,
    max_px: int,
    boxes: NDArray[np.float64] | None = None,
    map_boxes: NDArray[np.float64] | None = None,
) -> Image.Image:
    """Return an image at the size of a thumbnail, with its annotated boxes and those of its map.

    Args:
        image: The image, or an overlay of its size.
        max_px: Maximum length of the longer side in pixels.
        boxes: Annotated boxes `(n, 4)` in pixels of the image; None if there are none.
        map_boxes: Boxes of the map `(m, 4)`, likewise.
    """
    size = display_size(image.size, (max_px, max_px))
    thumbnail = resize_image(image, size)
    scale = [size[0] / image.width, size[1] / image.height] * 2
    true, predicted = (np.zeros((0, 4)) if each is None else each * scale for each in (boxes, map_boxes))
    return draw_boxes(thumbnail, true, predicted) if len(true) or len(predicted) else thumbnail


def classes_thumbnail(image: Image.Image, max_px: int, region: Region) -> Image.Image:
    """Return the predicted classes of an image at the size of a thumbnail, with their legend below it.

    Args:
        image: The image.
        max_px: Maximum length of the longer side of the image in pixels, and width of the legend.
        region: The region that was explained, with the predicted classes.
    """
    sheet = Sheet(max_px, 1.0)
    drawn = draw_classes(resize_image(image, display_size(image.size, (max_px, max_px))), region)
    below = sheet.draw_image(0, 0, drawn) + 4
    return sheet.trimmed(draw_legend(sheet, 0, below, max_px, region) + 2)


def data_uri(image: Image.Image) -> str:
    """Return an image as a JPEG data URI."""
    sink = io.BytesIO()
    image.convert("RGB").save(sink, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()


def sample_images(evaluation: Evaluation, n: int, correct: bool) -> list[int]:
    """Return images with correct or wrong predictions, selected at random by the seed of the run."""
    indices = [p.index for p in evaluation.images.values() if p.correct is correct]
    return [indices[i] for i in sample_indices(len(indices), min(n, len(indices)), evaluation.plan["seed"])]


def best_and_worst(values: Iterable[tuple[int, float]], better: str, n: int) -> tuple[list[int], list[int]]:
    """Return the best and the worst indices of (index, value) pairs; no index is in both."""
    order = [index for index, _ in sorted(values, key=lambda pair: pair[1], reverse=better == "high")]
    n = min(n, len(order) // 2)
    return order[:n], order[len(order) - n :][::-1]
