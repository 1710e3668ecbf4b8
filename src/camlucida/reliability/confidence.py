"""Confidence of the prediction, and a test of whether it depends on the border of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.evaluation.model_input import ModelInput
from camlucida.reliability.position_test import blur_drops
from camlucida.tasks import MULTICLASS, OutputActivation

MAX_RELATIVE_ENTROPY = 0.5
"""Predictions with a normalised entropy of at least this value count as guesses. Measured by
benchmarks/trust_calibration.py.
"""
BORDER_FRACTION = 1 / 6
"""Width of the border as a fraction of each side. The middle, without the border, is four ninths of the image."""
MIN_BORDER_FRACTION = 0.4
"""Minimum fraction of the highlighted region in the border for a map to point at the border. All maps of a watermark in
a corner have at least 0.45 there (30 toybox scenes); so do, of the photographs on which the border matters more than
the middle, four in seven.
"""


@dataclass(frozen=True)
class Confidence:
    """The distribution of the model's probabilities, without temperature scaling.

    The alternatives are the classes; for one class of a multi-label network, its presence and its absence.

    Attributes:
        probability: Probability of the most probable class.
        margin: Difference to the probability of the second class.
        choices: Perplexity exp(H), where H is the entropy in nats: the number of equally probable classes with the same
            entropy.
        classes: Number of classes.
        present: Probability that the explained class is present, in a multi-label network; None in others.
    """

    probability: float
    margin: float
    choices: float
    classes: int
    present: float | None = None

    @property
    def unsure(self) -> float:
        """Return the normalised entropy H / log(classes), in [0, 1]."""
        return math.log(self.choices) / math.log(self.classes)

    @property
    def guessing(self) -> bool:
        """Return whether the prediction counts as a guess.

        Among classes that exclude each other, the normalised entropy is at least `MAX_RELATIVE_ENTROPY`. A class of a
        multi-label network, such as that of a detected box, is judged by whether it is predicted at all: its
        probability is below one half.
        """
        if self.present is not None:
            return self.present < 0.5
        return self.unsure >= MAX_RELATIVE_ENTROPY


def confidence(logits: Tensor, activation: OutputActivation = MULTICLASS, target: int | None = None) -> Confidence:
    """Compute the confidence of a prediction.

    Args:
        logits: Class scores `(k,)` of at least two classes.
        activation: How they become probabilities.
        target: The explained class of a multi-label network, whose classes do not exclude each other: its presence and
            its absence are the two alternatives. None for the most probable class.

    Returns:
        Probability, margin and entropy of the prediction.
    """
    probabilities = activation.probabilities(logits.detach().double())
    is_present: float | None = None
    if activation.task == "multilabel":
        present = probabilities[int(logits.argmax()) if target is None else target]
        probabilities, is_present = torch.stack([present, 1 - present]), float(present)
    first, second = probabilities.topk(2).values.tolist()
    entropy = float(torch.special.entr(probabilities).sum())
    return Confidence(first, first - second, math.exp(max(0.0, entropy)), len(probabilities), is_present)


@dataclass(frozen=True)
class BorderTest:
    """Drops in the target's log-probability when the border or the middle of the image is blurred.

    Watermarks, captions and frames lie in the border; the subject of an image usually does not.

    Attributes:
        edge: Drop when the border is blurred, in nats.
        middle: Drop when the middle is blurred, in nats.
        marked: Fraction of the highlighted region that lies in the border; 5/9 for a uniform region.
    """

    edge: float
    middle: float
    marked: float

    @property
    def decides(self) -> bool:
        """Return whether the border matters more than the middle and the map highlights it.

        Without the second condition, an object that extends from the middle to the border would count as a watermark.
        """
        return self.edge > max(0.0, self.middle) and self.marked >= MIN_BORDER_FRACTION


def border_test(model_input: ModelInput, highlighted: Tensor | None) -> BorderTest:
    """Measure how much the target's score depends on the border and on the middle of the image.

    Args:
        model_input: The network input and its target.
        highlighted: Weight of each pixel in the highlighted region `(H, W)`, in [0, 1]; None for a constant map, which
            highlights nothing.

    Returns:
        Both drops, and the fraction of the highlighted region in the border.
    """
    height, width = model_input.inputs.shape[-2:]
    down, across = round(BORDER_FRACTION * height), round(BORDER_FRACTION * width)
    border = torch.ones(height, width, dtype=torch.float32)
    border[down : height - down, across : width - across] = 0
    border_drop, middle_drop = blur_drops(model_input, torch.stack([border, 1 - border])).tolist()
    border_fraction = float((highlighted.cpu() * border).sum() / highlighted.sum()) if highlighted is not None else 0.0
    return BorderTest(border_drop, middle_drop, border_fraction)
