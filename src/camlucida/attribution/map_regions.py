"""Maps as data: the region above a threshold, its box, and the files of COCO and FiftyOne."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from camlucida.annotation_formats import (
    coco_box,
    coco_document,
    coco_run_lengths,
    fiftyone_classification,
    fiftyone_detection,
    fiftyone_document,
    fiftyone_size,
    json_text,
    plain,
)
from camlucida.errors import MethodError
from camlucida.metrics.common.regions import is_rankable, largest_box, threshold_map
from camlucida.options import shown

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation

EXPORTS = ("coco", "fiftyone")
"""Formats of `export_text`."""
DEFAULT_THRESHOLD = 0.15
"""Fraction of the maximum, as for Grad-CAM's boxes (Selvaraju et al., ICCV 2017, section 4.1)."""


def map_mask(landed: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Return the pixels of a map `(height, width)` with at least `threshold` times its maximum.

    Negative values and NaN count as 0. A map that is constant or nowhere positive has no such pixel.

    Raises:
        MethodError: The threshold is not in (0, 1], or the map is not that of one image.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise MethodError(f"threshold is a fraction of the map's maximum in (0, 1], not {shown(threshold)}.")
    if landed.ndim != 2:
        raise MethodError(f"boxes and masks are those of an image, and this map has the shape {landed.shape}.")
    positive = torch.from_numpy(np.nan_to_num(landed)).clamp_min(0)
    if not is_rankable(positive):
        return np.zeros(landed.shape, dtype=bool)
    mask: NDArray[np.bool_] = threshold_map(positive, threshold).numpy()
    return mask


def map_box(landed: NDArray[np.float32], threshold: float) -> tuple[int, int, int, int] | None:
    """Return the box of the largest connected part of `map_mask`: (left, top, right, bottom); None without one."""
    mask = map_mask(landed, threshold)
    if not mask.any():
        return None
    left, top, right, bottom = (int(x) for x in largest_box(torch.from_numpy(mask)).tolist())
    return left, top, right, bottom


def export_text(items: Sequence[Explanation], kind: str, threshold: float, image_path: str | None = None) -> str:
    """Return the text of a file with the regions of maps: COCO's JSON, or that of a FiftyOne data set.

    Args:
        items: The explanations; those of one image become annotations of one image.
        kind: "coco" or "fiftyone".
        threshold: As of `map_mask`.
        image_path: The path of the image in the file; None for the name of its source.

    Raises:
        MethodError: The format is unknown; as of `map_mask`.
    """
    if kind not in EXPORTS:
        raise MethodError(f"no format {shown(kind)}. Known: {', '.join(EXPORTS)}.")
    images: dict[tuple[str, str], list[Explanation]] = {}
    for item in items:
        images.setdefault((item.source, item.input), []).append(item)
    paths = [image_path or source for source, _ in images]
    writer = _coco if kind == "coco" else _fiftyone
    return json_text(writer(list(zip(paths, images.values(), strict=True)), threshold))


def _coco(images: Sequence[tuple[str, list[Explanation]]], threshold: float) -> dict[str, Any]:
    names = list(dict.fromkeys(item.target for _, items in images for item in items))
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, (path, items) in enumerate(images):
        width, height = items[0].image.size
        entries.append({"id": i + 1, "file_name": path, "width": width, "height": height})
        for item in items:
            box = item.box(threshold)
            if box is None:
                continue
            mask = item.mask(threshold)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i + 1, "category_id": names.index(item.target) + 1}
                | coco_box(box)
                | {"segmentation": coco_run_lengths(mask), "area": int(mask.sum())}
                | _attributes(item, threshold)
            )
    return coco_document(f"Regions of saliency maps, {_model(images)}", entries, annotations, names)


def _fiftyone(images: Sequence[tuple[str, list[Explanation]]], threshold: float) -> dict[str, Any]:
    samples: list[dict[str, Any]] = []
    for path, items in images:
        width, height = items[0].image.size
        boxes = [(item, item.box(threshold)) for item in items]
        detections = [
            fiftyone_detection(item.target, box, width, height, **_attributes(item, threshold))
            for item, box in boxes
            if box is not None
        ]
        best = items[0].predictions[0] if items[0].predictions else None
        samples.append(
            {
                "filepath": path,
                "tags": [],
                "metadata": fiftyone_size(width, height),
                "predictions": None if best is None else fiftyone_classification(best.name, best.probability),
                "maps": {"_cls": "Detections", "detections": detections},
            }
        )
    fields = {"predictions": "classification", "maps": "detections"}
    name = Path(images[0][0]).stem if images else "maps"
    return fiftyone_document(f"camlucida-{name}", samples, fields, {"model": _model(images)})


def _attributes(item: Explanation, threshold: float) -> dict[str, Any]:
    return {
        "method": item.method,
        "layer": item.layer,
        "score": plain(item.score),
        "score_kind": item.score_kind,
        "threshold": threshold,
    }


def _model(images: Sequence[tuple[str, list[Explanation]]]) -> str:
    return images[0][1][0].model if images else ""
