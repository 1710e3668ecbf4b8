"""Everything that was found, as a value: verdicts, curves, and strips of maps to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image
from torch import Tensor

import camlucida
from camlucida._files import png
from camlucida.errors import MethodError
from camlucida.maps import max_scale, upsample
from camlucida.render.film_strip import Strip, StripFrame, draw_strips
from camlucida.sanity_checks.verdict import Check, SanityVerdict, Step, judge_check, nanmean

N_FRAMES = 8
"""Of a strip: more steps than that are shown in part."""


@dataclass(frozen=True, eq=False)
class Sanity:
    """All steps, and what they say. `strips` holds the maps of the first picture, step by step, to be looked at.

    strips   (method, check) -> (what was drawn anew, the map (h, w)), first the network's own
    picture  that first picture, as the network sees it
    failures (picture, reason) of what could not be read
    """

    steps: tuple[Step, ...]
    strips: dict[tuple[str, Check], tuple[tuple[str, Tensor], ...]]
    image: Image.Image
    model: str
    failures: tuple[tuple[str, str], ...]

    @cached_property
    def verdicts(self) -> tuple[SanityVerdict, ...]:
        """One a method and check, in the order in which they were made."""
        pairs = dict.fromkeys((step.method, step.check) for step in self.steps)
        return tuple(
            judge_check(method, check, [s for s in self.steps if (s.method, s.check) == (method, check)])
            for method, check in pairs
        )

    def verdict(self, method: str, check: Check = "cascading") -> SanityVerdict:
        """That of one method; `MethodError` where it was not checked."""
        for verdict in self.verdicts:
            if (verdict.method, verdict.check) == (method, check):
                return verdict
        raise MethodError(f"{method} was not put to the check {check!r} here.")

    def figure(self, **style: Any) -> Image.Image:
        """A strip of maps a method and check, from the network's own on. `look` as of `render.strips`."""
        images = len({step.image for step in self.steps})
        return draw_strips(
            [self._strip(verdict) for verdict in self.verdicts],
            self.image,
            title="Does the map notice?",
            subtitle=f"weights drawn anew, other classes: one of {images} pictures · under each map its rank "
            "correlation with the first, the mean of all pictures",
            footer=f"each map has its own scale · {self.model} · camlucida {camlucida.__version__}",
            **style,
        )

    def _repr_png_(self) -> bytes:
        return png(self.figure())

    def _strip(self, verdict: SanityVerdict) -> Strip:
        maps = self.strips[verdict.method, verdict.check]
        correlations = {stage: value for stage, _, value in self.curve(verdict.method, verdict.check)}
        displayed = sorted({round(i * (len(maps) - 1) / (N_FRAMES - 1)) for i in range(N_FRAMES)})
        size = self.image.height, self.image.width
        frames = [
            StripFrame(
                max_scale(upsample(maps[i][1][None], size)[0]).numpy(),
                maps[i][0],
                _correlation_text(correlations.get(maps[i][0])),
            )
            for i in displayed
        ]
        return Strip(f"{verdict.method}, {verdict.check}", verdict.text, verdict.passed is False, frames)

    def curve(self, method: str, check: Check = "cascading") -> list[tuple[str, float, float]]:
        """(stage, share of stages drawn anew, mean rank correlation), step by step."""
        steps = [s for s in self.steps if (s.method, s.check) == (method, check)]
        order = dict.fromkeys((s.stage, s.share) for s in steps)
        return [
            (stage, share, nanmean([s.spearman for s in steps if (s.stage, s.share) == (stage, share)]))
            for stage, share in order
        ]


def _correlation_text(value: float | None) -> str:
    return "" if value is None else "–" if math.isnan(value) else f"r = {value:.2f}"
