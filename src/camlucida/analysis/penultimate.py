"""Penultimate features: the input of a network's last linear layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_reader
from camlucida.engine import copy_of
from camlucida.features.common import record_layer
from camlucida.models.model import Model


@dataclass(frozen=True)
class PenultimateOutput:
    """Scores and penultimate features of a batch.

    Attributes:
        scores: Class scores `(b, k)`.
        features: Features `(b, c)`.
        feature_source: Where in the network the features were taken.
    """

    scores: Tensor
    features: Tensor
    feature_source: str


@dataclass
class _LinearInputs:
    """Observes a run: calls of linear layers with one row per image, and the last module with parameters of its own."""

    names: dict[nn.Module, str]
    images: int
    calls: list[tuple[nn.Module, Tensor, Tensor]] = field(default_factory=list)
    last: nn.Module | None = None

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        inputs = args[0].detach().clone() if self._takes_rows(module, args) else None
        output = forward(*args, **kwargs)
        if next(module.parameters(recurse=False), None) is not None:
            self.last = module
        if inputs is not None and isinstance(output, Tensor):
            self.calls.append((module, inputs, output.detach().clone()))
        return output

    def _takes_rows(self, module: nn.Module, args: Any) -> bool:
        if not isinstance(module, nn.Linear) or not args or not isinstance(args[0], Tensor):
            return False
        return args[0].ndim == 2 and len(args[0]) == self.images


@plain_arithmetic()
def penultimate(model: Model, batch: Tensor) -> PenultimateOutput:
    """Compute scores and penultimate features of a batch. The network itself is not modified.

    The features are the input of the linear layer whose output equals the class scores, or else of the last module with
    parameters if that is linear. For other networks they are the activations of the default layer, averaged over the
    positions.

    Args:
        model: The model.
        batch: Network inputs `(b, c, H, W)`.

    Returns:
        Scores, features, and where the features were taken.
    """
    inputs = model_inputs(model, batch)
    copy = copy_of(model.network)
    observer = _LinearInputs(copy.names, len(batch))
    with torch.inference_mode(False), torch.no_grad():
        read = output_reader(model, copy, inputs)
        scores = read(copy.run(observer, inputs), len(batch))
    for module, features_, output in reversed(observer.calls):
        if module is observer.last or (output.shape == scores.shape and torch.equal(output.to(scores), scores)):
            return PenultimateOutput(scores, features_.float(), f"the input of {copy.names[module]}")
    feature_source, features = _pooled_features(model, batch)
    return PenultimateOutput(scores, features, feature_source)


def _pooled_features(model: Model, batch: Tensor) -> tuple[str, Tensor]:
    """Return the activations of the default layer, averaged over the positions."""
    runs = [record_layer(model, image, None) for image in batch]
    features = [run.at_layers[0][0].activations[0].float().mean((1, 2)) for _, run in runs]
    return f"{runs[0][0].name}, averaged over its positions", torch.stack(features)
