"""One run of a network from which relevance is propagated back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import structure
from camlucida.engine.batch import images_of
from camlucida.engine.cost import WITH_GRADIENT, spend
from camlucida.engine.relevance.functions import STRAY
from camlucida.engine.relevance.mode import RelevanceMode, RelevanceRule
from camlucida.engine.relevance.shares import Affine, Passed, Unruled, Weighted
from camlucida.engine.tape import structure_get
from camlucida.engine.trace import Traced, at_least_float32
from camlucida.engine.twin import Twin
from camlucida.errors import LayerError, MethodError


@dataclass
class _Cut:
    """Begins the graph at what a layer gives out."""

    traced: Traced
    leaf: Tensor | None = None
    _calls: int = 0

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        capture = self.traced.capture
        if module is not capture.module:
            return output
        self._calls += 1
        if self._calls != capture.call:
            return output
        tensor = structure_get(output, capture.path)
        self.leaf = at_least_float32(tensor.detach()).clone().requires_grad_()
        torch.set_grad_enabled(True)  # the layer may stand inside the network's own `no_grad`
        return structure.exchange(output, tensor, self.leaf.clone())


class Relevances:
    """One run of a network under one rule, and the relevance at its picture, or at a layer, from any score.

    read     finds the class scores (b, k) in the output
    traced   the layer; None for the picture, which then is a tensor
    """

    def __init__(
        self, twin: Twin, inputs: Any, read: Callable[[Any], Tensor], rule: RelevanceRule, traced: Traced | None = None
    ) -> None:
        self._twin, self._traced = twin, traced
        spend(images_of(inputs) * WITH_GRADIENT)
        with torch.inference_mode(False), torch.set_grad_enabled(traced is None):
            given = structure.transform(inputs, lambda _, t: at_least_float32(t.detach()).clone())
            if traced is None:
                self._leaf = given.requires_grad_()
                with RelevanceMode(rule, self._leaf):
                    self._outputs = read(twin.module(self._leaf.clone()))
            else:
                cut = _Cut(traced)
                with RelevanceMode(rule, None):
                    self._outputs = read(twin.run(cut, given))
                if cut.leaf is None:
                    raise LayerError(f"{traced.layer.name!r} was not reached this time.")
                self._leaf = cut.leaf
        self._check()

    def of(self, score: Callable[[Tensor], Tensor], *, contrast: bool = False) -> tuple[Tensor, Tensor]:
        """Relevance at the picture (b, c, H, W) or the layer (b, c, h, w), and all that it began with, (b,).

        It begins as output times d score / d output: the logit of a class, or for one class rather than another the
        one's logit and the other's negative. With `contrast` the classes not asked for begin with as much in
        all, negative and in equal parts.
        """
        with torch.inference_mode(False), torch.enable_grad():
            outputs = self._outputs.detach().requires_grad_()
            (slope,) = torch.autograd.grad(score(outputs).sum(), outputs)
            begin = outputs.detach() * slope
            total = begin.sum(1, keepdim=True)
            others = (slope == 0).to(begin)
            if contrast:
                begin = begin - others * total / others.sum(1, keepdim=True).clamp(min=1)
            (found,) = torch.autograd.grad(self._outputs, self._leaf, begin, retain_graph=True)
        found = found if self._traced is None else self._traced.layout.to_grid(found)
        return found.detach(), begin.sum(1)

    def _check(self) -> None:
        """That the score depends on where relevance shall arrive, and that nothing ran where no rule could see it.

        Also finds what reads the layers that may be of one with a batch norm.
        """
        kind = type(self._twin.module).__name__
        reached, todo, seen = False, [self._outputs.grad_fn], set()
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            name = node.name()
            ours = isinstance(node, _OURS)
            if not ours and (name.partition("Backward")[0] in STRAY or isinstance(node, _CUSTOM)):
                raise MethodError(
                    f"{kind} computes {name.partition('Backward')[0]} in compiled code or an autograd function of its "
                    "own, where relevance cannot follow. Use a gradient method such as integrated_gradients."
                )
            reached = reached or getattr(node, "variable", None) is self._leaf
            for following, _ in node.next_functions:
                note_reader(node, following)
                todo.append(following)
        if not reached:
            where = "the picture" if self._traced is None else repr(self._traced.layer.name)
            raise LayerError(
                f"no relevance can come from the score of {kind} to {where}: the score does not depend on it, or only "
                "through a softmax, whose output is held constant. Explain the logits."
            )


def note_reader(node: Any, following: Any) -> None:
    """Tell a layer that may be of one with a norm that `node`, which reads it, is that norm, or another function."""
    fold = getattr(following, "fold", None)
    if fold is not None:
        of_norm = getattr(node, "norm_of", None) is fold
        fold.normed, fold.others = fold.normed or of_norm, fold.others + (not of_norm)


_OURS = tuple(function._backward_cls for function in (Affine, Weighted, Passed, Unruled))
_CUSTOM: Any = torch.autograd.function.BackwardCFunction
