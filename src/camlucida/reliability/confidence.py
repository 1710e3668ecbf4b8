"""How sure is the model itself, and does it look at the edge of the picture?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.evaluation.model_input import ModelInput
from camlucida.reliability.position_test import BLUR_SIGMA, blur_images

MAX_RELATIVE_ENTROPY = 0.5
"""From this share of the entropy of knowing nothing on, the answer is a guess. benchmarks/trust_calibration.py."""
BORDER_FRACTION = 1 / 6
"""Width of the edge of a picture, in sides: the rest, the middle, is four ninths of it."""
MIN_BORDER_FRACTION = 0.4
"""From this share of its mark on a map points at the edge. Of the maps of a watermark in a corner none has less than
0.45 there (30 toybox scenes); of photographs on which the edge counts more than the middle, four in seven have."""


@dataclass(frozen=True)
class Confidence:
    """How the model's probabilities are spread, as it gives them: no temperature.

    probability  of the likeliest class
    margin       over the second
    choices      among how many equally likely classes it would be as unsure: e to the entropy
    classes      how many there are
    """

    probability: float
    margin: float
    choices: float
    classes: int

    @property
    def unsure(self) -> float:
        """The entropy as a share of that of knowing nothing: from 0 to 1."""
        return math.log(self.choices) / math.log(self.classes)

    @property
    def guessing(self) -> bool:
        return self.unsure >= MAX_RELATIVE_ENTROPY


def confidence(logits: Tensor) -> Confidence:
    """Of class scores (k,), k of two or more."""
    probabilities = logits.detach().double().softmax(0)
    first, second = probabilities.topk(2).values.tolist()
    entropy = float(torch.special.entr(probabilities).sum())
    return Confidence(first, first - second, math.exp(max(0.0, entropy)), len(logits))


@dataclass(frozen=True)
class BorderTest:
    """What the class loses, in nats of its log-probability, when the picture's edge is blurred, and when its middle is.

    Watermarks, captions and borders of a camera lie at the edge; what a picture is about mostly does not.

    marked   the share of what the map marks that lies in the edge; 5/9 of an even map
    """

    edge: float
    middle: float
    marked: float

    @property
    def decides(self) -> bool:
        """Whether the answer hangs on the edge more than on the middle, and the map says so, too.

        Without the second a cat that reaches from the middle to the edge would be called a watermark.
        """
        return self.edge > max(0.0, self.middle) and self.marked >= MIN_BORDER_FRACTION


def border_test(model_input: ModelInput, highlighted: Tensor | None) -> BorderTest:
    """Blur the edge, then the middle.

    marked   (H, W) how much of each pixel the map marks; None for a map that marks nothing
    """
    height, width = model_input.inputs.shape[-2:]
    down, across = round(BORDER_FRACTION * height), round(BORDER_FRACTION * width)
    border = torch.ones(height, width)
    border[down : height - down, across : width - across] = 0
    masks = torch.stack([border, 1 - border]).to(model_input.inputs)[:, None]
    infill = blur_images(model_input.inputs, BLUR_SIGMA * min(height, width), "reflect")

    def without(which: Tensor) -> Tensor:
        share = masks[which.to(masks.device)]
        return model_input.inputs * (1 - share) + infill * share

    after = model_input.predict(without, 2).double().log_softmax(1)[:, model_input.target]
    drop = model_input.logits.double().log_softmax(0)[model_input.target] - after
    border_fraction = float((highlighted.cpu() * border).sum() / highlighted.sum()) if highlighted is not None else 0.0
    outer, inner = drop.tolist()
    return BorderTest(outer, inner, border_fraction)
