"""What the views into a layer share: one run that keeps one layer, and pictures small enough to keep many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from camlucida.engine import Layer, resolve, twin_of
from camlucida.errors import LayerError
from camlucida.models.model import Model
from camlucida.outputs import placed
from camlucida.render.display import show_picture
from camlucida.runs import Question, Run, run
from camlucida.targets import parse
from camlucida.types import Geometry

SHEET = 24
"""How many pictures a sheet has, unless asked otherwise."""
KEPT = 480
"""The longest side of a picture that is kept to be shown, in pixels."""


def ask(
    model: Model, image: Tensor, layer: Any, target: Any = 0, score: str = "logit", *, needs: Iterable[str] = ()
) -> tuple[Layer, Run]:
    """One run of a picture (c, H, W) with one layer and one target; `needs` are fixtures."""
    inputs = placed(model.network, image[None])
    twin = twin_of(model.network)
    with torch.inference_mode(False), torch.no_grad():
        (where,) = resolve(twin, inputs, [model.layer if layer is None else layer])
        question = Question(
            twin,
            (where,),
            model.output,
            frozenset(needs),
            lambda scores: parse(target, scores, model.labels, score=score),
            lambda done, total: None,
        )
        return where, run(question, inputs)


def checked(channel: int, channels: int, layer: str) -> int:
    """The number itself, if the layer has such a channel."""
    if not 0 <= channel < channels:
        raise LayerError(f"no channel {channel} at {layer}: it has {channels}, from 0 to {channels - 1}.")
    return channel


def small(picture: Image.Image, longest: int = KEPT) -> Image.Image:
    """Small enough to keep many, large enough for a tile."""
    factor = min(1.0, longest / max(picture.size))
    if factor == 1:
        return picture
    width, height = picture.size
    return show_picture(picture, (max(1, round(width * factor)), max(1, round(height * factor))))


def shrunk(geometry: Geometry, kept: Image.Image) -> Geometry:
    """The same geometry for the picture at another size."""
    x, y = (old / new for old, new in zip(geometry.original, kept.size, strict=True))
    return Geometry(kept.size, geometry.input, (geometry.scale[0] * x, geometry.scale[1] * y), geometry.offset)
