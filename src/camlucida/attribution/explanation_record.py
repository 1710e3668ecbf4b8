"""What an explanation stores beside its image: its record for JSON, and its arrays as an .npz file."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from camlucida.types import Region

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation


def record_of(explanation: Explanation) -> dict[str, Any]:
    """Return everything except the pixels, ready for JSON."""
    return {
        "source": explanation.source,
        **({"input": explanation.input} if explanation.input else {}),
        "model": explanation.model,
        "weights": explanation.weights_hash,
        "method": explanation.method,
        **({"method_reason": explanation.method_reason} if explanation.method_reason else {}),
        "options": dict(explanation.options),
        **asdict(explanation.run_options),
        "paper": explanation.paper,
        "layer": explanation.layer,
        "grid": list(explanation.raw.shape),
        "target": explanation.target,
        "class": explanation.index,
        "score": explanation.score,
        "score_kind": explanation.score_kind,
        **({} if explanation.region is None else {"region": _region_record(explanation.region)}),
        "relu": explanation.relu,
        "notes": dict(explanation.notes),
        "task": explanation.activation.task,
        "predictions": [asdict(p) for p in explanation.predictions],
        "geometry": asdict(explanation.geometry),
        "upsampling": "bilinear, half-pixel centres: grid to input, input to image",
        "display": asdict(explanation.display)
        | {"full_colour": explanation.peak, "zero_in_the_middle": explanation.shows_signs},
        "versions": dict(explanation.versions),
    }


def arrays_of(explanation: Explanation) -> bytes:
    """Return the arrays `raw`, `map`, `heatmap` (float16) and, where requested, `colour` as an .npz file."""
    buffer = io.BytesIO()
    heatmap = explanation.heatmap.astype(np.float16)
    colour: dict[str, Any] = {} if explanation.colour is None else {"colour": explanation.colour.numpy()}
    np.savez_compressed(buffer, raw=explanation.raw.numpy(), map=explanation.map.numpy(), heatmap=heatmap, **colour)
    return buffer.getvalue()


def _region_record(region: Region) -> dict[str, Any]:
    """Return a region, without its mask, ready for JSON."""
    return {
        "name": region.name,
        "box": None if region.box is None else [round(x, 2) for x in region.box],
        "point": None if region.point is None else [round(x, 2) for x in region.point],
        "mask_pixels": None if region.mask is None else int(region.mask.sum()),
        "probability": region.probability,
    }
