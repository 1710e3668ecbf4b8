"""Results of the sanity checks: verdicts, curves, and strips of maps."""

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
from camlucida.render.text import EMPTY_MAP
from camlucida.sanity_checks.verdict import Check, SanityVerdict, Step, judge_check, nanmean

N_FRAMES = 8
"""Maximum number of frames per strip; of more steps, evenly spaced ones are displayed."""


@dataclass(frozen=True, eq=False)
class Sanity:
    """All steps of the checks, and their verdicts. Displayed as a figure in notebooks.

    Attributes:
        steps: Similarity of the maps before and after each step.
        strips: The maps of the first image, by method and check: pairs of what was re-initialised and the map `(h, w)`,
            starting with the original network.
        image: The first image, as the network input contains it.
        model: Name of the model.
        failures: Images that could not be read, or have no such target, each with the error message.
        target: The target of the first map, as text; empty for the predicted class.
    """

    steps: tuple[Step, ...]
    strips: dict[tuple[str, Check], tuple[tuple[str, Tensor], ...]]
    image: Image.Image
    model: str
    failures: tuple[tuple[str, str], ...]
    target: str = ""

    @cached_property
    def verdicts(self) -> tuple[SanityVerdict, ...]:
        """Return one verdict per method and check, in the order in which they were run."""
        pairs = dict.fromkeys((step.method, step.check) for step in self.steps)
        return tuple(
            judge_check(method, check, [s for s in self.steps if (s.method, s.check) == (method, check)])
            for method, check in pairs
        )

    def verdict(self, method: str, check: Check = "cascading") -> SanityVerdict:
        """Return the verdict of one method and check.

        Args:
            method: Name of the method.
            check: Name of the check.

        Returns:
            The verdict.

        Raises:
            MethodError: If the method was not checked.
        """
        for verdict in self.verdicts:
            if (verdict.method, verdict.check) == (method, check):
                return verdict
        raise MethodError(f"{method} was not checked by {check!r} in this run.")

    def figure(self, **style: Any) -> Image.Image:
        """Draw one strip of maps per method and check, starting with the original network.

        Args:
            **style: Options of `camlucida.render.film_strip.draw_strips`.

        Returns:
            The figure, RGB.
        """
        images, shown = len({step.image for step in self.steps}), f"{self.target} in " if self.target else ""
        return draw_strips(
            [self._strip(verdict) for verdict in self.verdicts],
            self.image,
            title="Sanity checks",
            subtitle=f"re-initialised weights, other classes: {shown}the first of {images} images · below each map its "
            "rank correlation with the original map, averaged over the images",
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
                _correlation_text(correlations.get(maps[i][0])) if bool((maps[i][1] > 0).any()) else EMPTY_MAP,
            )
            for i in displayed
        ]
        return Strip(f"{verdict.method}, {verdict.check}", verdict.text, verdict.passed is False, frames)

    def curve(self, method: str, check: Check = "cascading") -> list[tuple[str, float, float]]:
        """Return the similarity of the maps step by step.

        Args:
            method: Name of the method.
            check: Name of the check.

        Returns:
            For each step, the stage, the fraction of stages that are re-initialised, and the mean rank correlation.
        """
        steps = [s for s in self.steps if (s.method, s.check) == (method, check)]
        order = dict.fromkeys((s.stage, s.fraction) for s in steps)
        return [
            (stage, fraction, nanmean([s.spearman for s in steps if (s.stage, s.fraction) == (stage, fraction)]))
            for stage, fraction in order
        ]


def _correlation_text(value: float | None) -> str:
    return "" if value is None else "–" if math.isnan(value) else f"r = {value:.2f}"
