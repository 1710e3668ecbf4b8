"""The base types of the API. Maps are sent raw and small: float16 on the layer's grid, coloured by the client."""

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


def _encodable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode(errors="backslashreplace").decode()


class Schema(BaseModel):
    """The base class of all request and response models; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _escape(cls, given: Any) -> Any:
        """Escape text that cannot be encoded, such as file names with invalid bytes, with `backslashreplace`."""
        return {key: _encodable(value) for key, value in given.items()} if isinstance(given, dict) else given


class Failure(Schema):
    """Why there is no result; `detail` is a sentence."""

    kind: str
    detail: str


ImageId = Annotated[str, Field(min_length=2, max_length=40, pattern=r"^[su][0-9a-f]+$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Question = Annotated[str, Field(min_length=1, max_length=200)]
"""A question about the image, for models that answer questions."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that JSON can represent; Python's parser would also accept NaN and Infinity."""
Option = bool | int | Finite | Annotated[str, Field(max_length=200)] | None


class EncodedMap(Schema):
    """One or several maps of the same size: little-endian float16, row-major, base64, to be multiplied by `peak`.

    Values are divided by the largest absolute value (`peak`), because float16 cannot represent values below 6e-8 or
    above 65,504.
    """

    count: int
    height: int
    width: int
    peak: float
    values: str


def packed(maps: Tensor) -> EncodedMap:
    """Encode maps `(h, w)` or `(n, h, w)`; non-finite values become 0."""
    stack = maps.detach().cpu().float().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    stack = stack[None] if stack.ndim == 2 else stack
    peak = float(stack.abs().max()) if stack.numel() else 0.0
    small = (stack / peak if peak > 0 else stack).numpy().astype("<f2")
    count, height, width = small.shape
    return EncodedMap(
        count=count, height=height, width=width, peak=peak, values=base64.b64encode(small.tobytes()).decode()
    )


def unpacked(encoded: EncodedMap) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Decode maps to `(n, h, w)` float32; for tests and for Python clients of the API."""
    values = np.frombuffer(base64.b64decode(encoded.values), "<f2").astype(np.float32)
    return values.reshape(encoded.count, encoded.height, encoded.width) * np.float32(encoded.peak)


class GeometryOut(Schema):
    """The position of the network input in the image: see `camlucida.types.Geometry`."""

    original: tuple[int, int]
    input: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def of(cls, geometry: Geometry) -> GeometryOut:
        """Return the position for a geometry."""
        return cls(original=geometry.original, input=geometry.input, scale=geometry.scale, offset=geometry.offset)


MAX_LOGIT = 3e38


class PredictionOut(Schema):
    """One of the most probable classes; `probability` is null where the task has none (regression)."""

    index: int
    name: str
    probability: float | None
    logit: float

    @classmethod
    def of(cls, prediction: Prediction) -> PredictionOut:
        """Return a prediction with a finite logit."""
        logit = max(prediction.logit, -MAX_LOGIT)  # a masked class has the logit -inf, which JSON cannot represent
        return cls(index=prediction.index, name=prediction.name, probability=prediction.probability, logit=logit)


class MapOut(Schema):
    """One raw map.

    Attributes:
        relu: Whether the paper clips negative values.
        signed: Whether the map is displayed with negative values.
        percentile: The percentile at which the display saturates.
        remark: A warning that must be displayed.
        spec: What means the target in this image, such as "box 3"; empty for a class.
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
    spec: str

    @classmethod
    def of(cls, e: Explanation) -> MapOut:
        """Return the map of an explanation."""
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
            spec=e.spec,
        )


Score = Literal["logit", "probability", "log_probability"]


class Range(Schema):
    """A number with its 95 % interval; null if unknown."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, interval: Interval) -> Range:
        """Return an interval; NaN becomes null."""
        return cls(value=known(interval.value), low=known(interval.low), high=known(interval.high))


def known(value: float) -> float | None:
    """Return the number, or None if it is not finite, because JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
