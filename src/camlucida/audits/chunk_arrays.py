"""The arrays of a chunk: what is stored beside its rows, and how maps become half precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camlucida.attribution.attributions import Attribution
from camlucida.audits.plan import EXPLAINED_CLASSES, LayerRun
from camlucida.engine import Layer
from camlucida.errors import LayerError
from camlucida.evaluation.store import Row


@dataclass(frozen=True, eq=False)
class Chunk:
    """The result of a chunk of n images.

    Attributes:
        rows: One row per image, in order.
        arrays: By method, the maps `(n, 3, h, w)` of the predicted, competing and true class, divided by the largest
            magnitude in the row's `scale` columns, in float16; NaN where there is none. "channels": the relevance of
            each channel of the layer `(n, 3, c)`, divided by its largest magnitude. "features": the mean activation of
            each channel `(n, c)`.
    """

    rows: list[Row]
    arrays: Mapping[str, NDArray[np.float16]]


def scaled_to_half(values: Tensor, labels: Sequence[int | None]) -> NDArray[np.float16]:
    """Return values `(b, 3, ...)`, each divided by its largest magnitude, in float16; NaN for unknown true classes.

    Half precision has 65,504 as its largest and 6e-8 as its smallest number, which raw maps exceed in both directions.
    """
    flat = values.detach().double().flatten(2)
    scaled = flat / flat.abs().amax(2, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    scaled[[label is None for label in labels], EXPLAINED_CLASSES.index("true")] = torch.nan
    half: NDArray[np.float16] = scaled.reshape(values.shape).half().numpy()
    return half


def stacked_arrays(values: Sequence[NDArray[np.float16] | None]) -> NDArray[np.float16]:
    """Return the arrays of all images, NaN for those without; empty if no image has one."""
    shape = next((value.shape for value in values if value is not None), (0,))
    missing = np.full(shape, np.nan, dtype=np.float16)
    return np.stack([missing if value is None else value for value in values])


def check_distinct_layers(run: LayerRun, result: Attribution) -> None:
    """Raise `LayerError` if two layers of a run are the same one, such as layer4 and -1."""
    for layers in result.layers:
        if isinstance(layers[0], Layer) and len(layers) != len(run.layers):
            names = ", ".join("the default layer" if spec is None else str(spec) for spec in run.layers)
            raise LayerError(f"two of the layers {names} are the same one. Name each layer once.")
