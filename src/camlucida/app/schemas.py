"""What crosses the border to the browser. Maps go raw and small: float16 on the layer's grid, coloured over there."""

from __future__ import annotations

import base64
import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from camlucida.attribution.explanation import Explanation
from camlucida.evaluation.statistics import Interval
from camlucida.types import Geometry, Prediction


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_text(one) for one in value]
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode(errors="backslashreplace").decode()


class Schema(BaseModel):
    """The base of all of it: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        """File names need not be text, and what is no text cannot be sent: it is written as Python escapes it."""
        return {key: _text(value) for key, value in given.items()} if isinstance(given, dict) else given


class Failure(Schema):
    """Why there is no answer, in a sentence."""

    kind: str
    detail: str


ImageId = Annotated[str, Field(min_length=2, max_length=40, pattern=r"^[su][0-9a-f]+$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that JSON has: Python reads NaN and Infinity as well."""
Option = bool | int | Finite | Annotated[str, Field(max_length=200)] | None


class EncodedMap(Schema):
    """One or several maps of one size: little-endian float16, row by row, base64; times `peak` in the map's own units.

    Divided by the largest absolute value, since what is smaller than 6e-8 or larger than 65,504 has no float16.
    """

    count: int
    height: int
    width: int
    peak: float
    values: str


def packed(maps: Tensor) -> EncodedMap:
    """Maps (h, w) or (n, h, w); what is not finite becomes 0."""
    stack = maps.detach().cpu().float().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    stack = stack[None] if stack.ndim == 2 else stack
    peak = float(stack.abs().max()) if stack.numel() else 0.0
    small = (stack / peak if peak > 0 else stack).numpy().astype("<f2")
    count, height, width = small.shape
    return EncodedMap(
        count=count, height=height, width=width, peak=peak, values=base64.b64encode(small.tobytes()).decode()
    )


def unpacked(one: EncodedMap) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The maps (n, h, w) again; for tests and for those who use the API from Python."""
    values = np.frombuffer(base64.b64decode(one.values), "<f2").astype(np.float32)
    return values.reshape(one.count, one.height, one.width) * np.float32(one.peak)


class Place(Schema):
    """Where the network's input lies on the picture: see `camlucida.types.Geometry`."""

    original: tuple[int, int]
    input: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def of(cls, geometry: Geometry) -> Place:
        return cls(original=geometry.original, input=geometry.input, scale=geometry.scale, offset=geometry.offset)


LARGEST = 3e38


class PredictionOut(Schema):
    """One line of the top-5."""

    index: int
    name: str
    probability: float
    logit: float

    @classmethod
    def of(cls, one: Prediction) -> PredictionOut:
        logit = max(one.logit, -LARGEST)  # of a class that is ruled out it is -inf, which JSON has not
        return cls(index=one.index, name=one.name, probability=one.probability, logit=logit)


class MapOut(Schema):
    """One map, raw.

    relu    the paper cuts off what is below zero
    signed, percentile   how it is shown
    remark  what must not be overlooked, in a sentence
    """

    model: str
    method: str
    layer: str
    target: str
    index: int | None
    score: float
    score_kind: str
    relu: bool
    signed: bool
    percentile: float
    map: EncodedMap
    notes: dict[str, float]
    remark: str
    paper: str

    @classmethod
    def of(cls, e: Explanation) -> MapOut:
        return cls(
            model=e.model,
            method=e.method,
            layer=e.layer,
            target=e.target,
            index=e.index,
            score=e.score,
            score_kind=e.score_kind,
            relu=e.relu,
            signed=e.display.signed,
            percentile=e.display.percentile,
            map=packed(e.raw),
            notes={key: value for key, value in e.notes.items() if np.isfinite(value)},
            remark=e.remark,
            paper=e.paper,
        )


Score = Literal["logit", "probability", "log_probability"]


class Range(Schema):
    """A number with its 95 % interval; null where it is not known."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, interval: Interval) -> Range:
        return cls(value=known(interval.value), low=known(interval.low), high=known(interval.high))


def known(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
