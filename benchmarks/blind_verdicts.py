"""Verdicts of `trust` on maps that are independent of the image, for targets of any kind.

Used by the benchmarks of segmentation, captions, detections and of `trust` itself. The importance of the positions of
an image does not depend on the map, so it is measured once for many maps. A map that is independent of the image may
still be stable and differ between classes, such as one fixed map per class. The tests of similarity are therefore taken
as passed, and the region of the target as hit: the rates are upper bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from scipy.stats import beta
from torch import Tensor

from camlucida.evaluation.model_input import ModelInput
from camlucida.reliability.confidence import BORDER_FRACTION, border_test, confidence
from camlucida.reliability.position_test import (
    PositionTest,
    blur_drops,
    blur_images,
    cell_weights,
    feather,
    position_test,
    top_pixels,
    weighted_importance,
)
from camlucida.reliability.similarity import ClassSimilarity
from camlucida.reliability.verdict import verdict

N_RANDOM_MAPS = 20
"""Number of smooth random maps for each target, each with a verdict."""
N_P_VALUES = 200
"""Number of smooth random maps for each target of which only the p-value is computed, which costs no forward pass."""
SMOOTHING_SIGMA = 1 / 8
"""Standard deviation of the blur of the random maps, as a fraction of the side."""
POSITIVE = ("supported", "weakly supported")


def smooth_random(seed: int, side: int = 96) -> Tensor:
    """Return white noise, smoothed with wrap-around, so that every transform of it is equally likely."""
    white = torch.randn((1, 1, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return blur_images(white, SMOOTHING_SIGMA * side, "circular")[0, 0]


def p_of_map(test: PositionTest, map_: Tensor) -> float:
    """Return the p-value of another map of the same square image, with the importance that was measured once."""
    return _of_map(test, map_).p


def _of_map(test: PositionTest, map_: Tensor) -> PositionTest:
    weights = cell_weights(map_.cpu().double(), len(test.importance))
    return replace(test, statistics=weighted_importance(weights, test.importance, square=True))


def verdicts_on(model_input: ModelInput, maps: Sequence[Tensor]) -> tuple[PositionTest | None, list[str]]:
    """Return the test of the first of several maps that do not depend on the network input, and all verdicts."""
    first = position_test(model_input, maps[0])
    if first is None:
        return None, []
    found = confidence(model_input.logits, model_input.activation, model_input.target)
    border = border_test(model_input, first.highlighted)
    generator = model_input.random("place")
    highlighted = torch.stack([feather(top_pixels(map_.double(), generator)).float() for map_ in maps])
    drops = blur_drops(model_input, highlighted).tolist()
    height, width = highlighted.shape[1:]
    down, across = round(BORDER_FRACTION * height), round(BORDER_FRACTION * width)
    inner = highlighted[:, down : height - down, across : width - across]
    in_border = 1 - inner.sum((1, 2)) / highlighted.sum((1, 2))
    other, copy = (ClassSimilarity("", value, maps[0]) for value in (0.0, 1.0))
    results = []
    for map_, drop, fraction in zip(maps, drops, in_border.tolist(), strict=True):
        test = replace(_of_map(first, map_), drop=drop)
        results.append(verdict(found, test, replace(border, marked=fraction), [other], [copy]).level)
    return first, results


def blind_verdicts(inputs: Iterable[ModelInput], seed: int) -> dict[str, Any]:
    """Return how often smooth random maps of each input have a small p-value, and a positive verdict.

    Args:
        inputs: The inputs with their targets.
        seed: Seed of the maps.
    """
    levels: list[str] = []
    p_values: list[float] = []
    n = 0
    for i, model_input in enumerate(inputs):
        side = model_input.inputs.shape[-1]
        maps = [smooth_random((seed * 1000 + i) * N_P_VALUES + k, side) for k in range(N_P_VALUES)]
        tests, of_maps = verdicts_on(model_input, maps[:N_RANDOM_MAPS])
        levels += of_maps
        p_values += [] if tests is None else [p_of_map(tests, map_) for map_ in maps]
        n += 1
    return {
        "targets": n,
        "p-values": len(p_values),
        "p <= .05": rate([p <= 0.05 for p in p_values]),
        "p <= .10": rate([p <= 0.1 for p in p_values]),
        "p <= .20": rate([p <= 0.2 for p in p_values]),
        "verdicts of": len(levels),
        "supported or weakly supported": rate([level in POSITIVE for level in levels]),
        "verdicts": dict(Counter(levels)),
    }


def rate(hits: Sequence[bool]) -> str:
    """Return a rate with its exact 95 % interval (Clopper and Pearson)."""
    k, n = sum(hits), len(hits)
    if not n:
        return "0 of 0"
    low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return f"{k / n:.1%} ({low:.1%} to {high:.1%}; {k} of {n})"


def verdict_counts(results: Sequence[Any]) -> dict[str, Any]:
    """Return how often each verdict and each reason occurs; the reasons without their numbers."""
    return {
        "verdicts": dict(Counter(t.verdict.level for t in results)),
        "reasons": dict(Counter(reason.partition("(")[0].strip() for t in results for reason in t.verdict.reasons)),
    }
