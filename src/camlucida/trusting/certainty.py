"""How sure is the model itself, and does it look at the edge of the picture?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.evidence import Sight
from camlucida.trusting.place import BLUR, blurred

GUESSING = 0.5
"""From this share of the entropy of knowing nothing on, the answer is a guess. benchmarks/trust_calibration.py."""
FRAME = 1 / 6
"""Width of the edge of a picture, in sides: the rest, the middle, is four ninths of it."""


@dataclass(frozen=True)
class Certainty:
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
        return self.unsure >= GUESSING


def certainty(logits: Tensor) -> Certainty:
    """Of class scores (k,), k of two or more."""
    chances = logits.detach().double().softmax(0)
    first, second = chances.topk(2).values.tolist()
    entropy = float(torch.special.entr(chances).sum())
    return Certainty(first, first - second, math.exp(max(0.0, entropy)), len(logits))


@dataclass(frozen=True)
class Edge:
    """What the class loses, in nats of its log-probability, when the picture's edge is blurred, and when its middle is.

    Watermarks, captions and borders of a camera lie at the edge; what a picture is about mostly does not.
    """

    edge: float
    middle: float

    @property
    def decides(self) -> bool:
        """Whether the answer hangs on the edge more than on the middle."""
        return self.edge > max(0.0, self.middle)


def edge(sight: Sight) -> Edge:
    """Blur the edge, then the middle."""
    height, width = sight.inputs.shape[-2:]
    down, across = round(FRAME * height), round(FRAME * width)
    frame = torch.ones(height, width)
    frame[down : height - down, across : width - across] = 0
    shares = torch.stack([frame, 1 - frame]).to(sight.inputs)[:, None]
    substrate = blurred(sight.inputs, BLUR * min(height, width), "reflect")

    def without(which: Tensor) -> Tensor:
        share = shares[which.to(shares.device)]
        return sight.inputs * (1 - share) + substrate * share

    after = sight.predict(without, 2).double().log_softmax(1)[:, sight.target]
    fall = sight.logits.double().log_softmax(0)[sight.target] - after
    return Edge(*fall.tolist())
