"""Read the class scores in the output of a network, from the part that was recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from camlucida.attribution.output_parts import ScorePart, as_class_scores, find_part
from camlucida.engine.final_activation import (
    ActivationName,
    final_activation,
    invert_activation,
)
from camlucida.errors import TargetError
from camlucida.models.model import Output
from camlucida.tasks import OutputActivation, expand_binary


@dataclass(frozen=True)
class OutputReader:
    """Reads class scores from the outputs of one network copy.

    Attributes:
        selector: The user's choice of the part.
        part: The part that holds the class scores.
        activation: How they become probabilities.
        final: The network's last activation, whose input is read instead; None to read the output itself.
        n_labels: Number of class names.
    """

    selector: Output
    part: ScorePart
    activation: OutputActivation
    final: ActivationName | None
    n_labels: int

    def __call__(self, output: Any, n_images: int | None = None) -> Tensor:
        """Return the class scores `(b, k)` of an output, at least float32.

        They are what precedes the network's last softmax or sigmoid, where it has one. A binary network with one output
        and two class names has two columns: the negative class, and the positive one.

        Args:
            output: The network's output.
            n_images: Number of images in its inputs; None if unknown.

        Raises:
            TargetError: The output has another structure than the first one, or not one row per image.
        """
        try:
            selected = self.part.select(output, self.selector)
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            if callable(self.selector):
                raise TargetError(
                    f"wrap(output=…) raised {type(error).__name__} for an output of type {type(output).__name__}: "
                    f"{' '.join(str(error).split())[:200]}. It takes the network's output and returns class scores."
                ) from error
            selected = find_part(output, self.selector, n_labels=self.n_labels).select(output, self.selector)
        scores = as_class_scores(selected, n_images)
        if self.final is not None:
            scores = _before_activation(selected, scores, self.final)
        return expand_binary(scores, self.activation, self.n_labels)


def _before_activation(selected: Any, scores: Tensor, name: ActivationName) -> Tensor:
    """Return the input of the activation whose result was selected; scores recovered from its values without it."""
    final = final_activation(selected)
    if final is None or final.name != name:
        return invert_activation(name, scores)
    return as_class_scores(final.inputs)
