"""Predict the classes of an image without a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.error_context import error_context, input_context
from camlucida.attribution.load_input import ImageInput, LoadedInput
from camlucida.attribution.load_volume_input import load_any
from camlucida.attribution.output_reader import predict
from camlucida.attribution.several_inputs import load_inputs
from camlucida.errors import ModelError
from camlucida.models.model import Model
from camlucida.targets import class_label
from camlucida.tasks import OutputActivation
from camlucida.types import Prediction

N_PREDICTIONS = 5
"""Number of predictions in an explanation."""


@plain_arithmetic()
def predict_scores(model: Model, image: ImageInput | Mapping[str, Any]) -> tuple[Tensor, OutputActivation]:
    """Return the class scores `(k,)` of one image and their activation, without a map. Raises as `explain` does."""
    with error_context(model, image):
        if isinstance(image, Mapping):
            inputs = load_inputs(model, image)
            with input_context(inputs.first):
                scores, activation = predict(inputs.model.of_image(inputs.model.image[0]), inputs.arguments)
        else:
            loaded = load_any(model, image)
            with input_context(loaded):
                of_image = model.on_image(loaded.geometry) if isinstance(loaded, LoadedInput) else model
                scores, activation = predict(of_image, loaded.inputs[None])
        return check_finite(scores[0].cpu()), activation


def check_finite(scores: Tensor) -> Tensor:
    """Return scores `(k,)` unmodified.

    Raises:
        ModelError: A score is NaN or infinite; -inf is valid and rules a class out.
    """
    n_invalid = int((scores.isnan() | scores.isposinf()).sum())
    if n_invalid:
        raise ModelError(
            f"{n_invalid} of the {len(scores)} scores of the network are NaN or infinite. "
            "Look for a division by 0, a square root or logarithm of 0, or NaN in the weights."
        )
    return scores


def top_predictions(
    scores: Tensor, names: Sequence[str], activation: OutputActivation, n: int = N_PREDICTIONS
) -> tuple[Prediction, ...]:
    """Return the `n` most likely classes, most likely first; none of an embedding, which has no classes.

    Args:
        scores: Class scores of one image `(k,)`.
        names: Names of the classes; may be empty.
        activation: How the scores become probabilities.
        n: Number of predictions, at most k are returned.
    """
    if activation.task is None:
        return ()
    probabilities = activation.probabilities(scores)
    indices = torch.topk(scores, min(n, len(scores))).indices.tolist()
    return tuple(
        Prediction(
            i,
            class_label(i, names),
            float(probabilities[i]) if activation.has_probabilities else None,
            float(scores[i]),
        )
        for i in indices
    )
