"""What a network knows of a picture just before it decides: what enters its last linear layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import twin_of
from camlucida.looking import ask
from camlucida.models.model import Model
from camlucida.outputs import class_scores, placed


@dataclass(frozen=True)
class Penultimate:
    """Scores (b, k) and features (b, c), and where those were taken."""

    scores: Tensor
    features: Tensor
    place: str


@dataclass
class _Ends:
    """Watches a run: the calls of linear layers on one row a picture, and the last call of anything with weights."""

    names: dict[nn.Module, str]
    pictures: int
    linear: list[tuple[nn.Module, Tensor, Tensor]] = field(default_factory=list)
    last: nn.Module | None = None

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        entered = args[0].detach().clone() if self._takes_rows(module, args) else None
        output = forward(*args, **kwargs)
        if next(module.parameters(recurse=False), None) is not None:
            self.last = module
        if entered is not None and isinstance(output, Tensor):
            self.linear.append((module, entered, output.detach().clone()))
        return output

    def _takes_rows(self, module: nn.Module, args: Any) -> bool:
        if not isinstance(module, nn.Linear) or not args or not isinstance(args[0], Tensor):
            return False
        return args[0].ndim == 2 and len(args[0]) == self.pictures


def penultimate(model: Model, batch: Tensor) -> Penultimate:
    """Scores and features of a batch (b, c, H, W); the network is only watched.

    The linear layer is the one whose output the class scores are, or else the last layer with weights of all, if that
    is linear. A network that ends otherwise gives its default layer, averaged over the places.
    """
    inputs = placed(model.network, batch)
    twin = twin_of(model.network)
    ends = _Ends(twin.names, len(batch))
    with torch.inference_mode(False), torch.no_grad():
        scores = class_scores(twin.run(ends, inputs), model.output)
    for module, entered, left in reversed(ends.linear):
        if module is ends.last or (left.shape == scores.shape and torch.equal(left.to(scores), scores)):
            return Penultimate(scores, entered.float(), f"what enters {twin.names[module]}")
    place, features = _averaged(model, batch)
    return Penultimate(scores, features, place)


def _averaged(model: Model, batch: Tensor) -> tuple[str, Tensor]:
    found = [ask(model, image, None) for image in batch]
    features = [run.at_layers[0][0].activations[0].float().mean((1, 2)) for _, run in found]
    return f"{found[0][0].name}, averaged over its places", torch.stack(features)
