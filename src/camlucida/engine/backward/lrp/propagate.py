"""One run of a network from which relevance is propagated backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida._ambient import without_callers_autocast
from camlucida.engine import nested
from camlucida.engine.backward.lrp.mode import RelevanceMode, RelevanceRule
from camlucida.engine.backward.lrp.op_types import UNCAUGHT
from camlucida.engine.backward.lrp.rules import AffineRule, NoRule, PassThrough, WeightedRule
from camlucida.engine.batch_axes import n_images
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, add_cost
from camlucida.engine.named_inputs import call_network, named_image, with_images
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.recording import get_tensor
from camlucida.engine.trace import LayerTrace, at_least_float32
from camlucida.errors import LayerError, MethodError


@dataclass
class _LayerLeaf:
    """A call observer that starts the graph at a layer's output."""

    traced: LayerTrace
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
        tensor = get_tensor(output, capture.path)
        self.leaf = at_least_float32(tensor.detach()).clone().requires_grad_()
        torch.set_grad_enabled(True)  # the layer may be inside a `no_grad` of the network
        return nested.replace_tensor(output, tensor, self.leaf.clone())


class LrpRun:
    """One run of a network under one rule, which propagates relevance to its input or a layer, for any score.

    Args:
        copy: The network copy.
        inputs: Network inputs.
        read: Extracts the class scores (b, k) from the network's output.
        rule: The rule.
        traced: The layer; None for the image, which must be a tensor or named.

    Raises:
        LayerError: If the layer is not reached, or the score does not depend on it.
        MethodError: If the network computes in compiled code or autograd functions of its own.
    """

    def __init__(
        self,
        copy: NetworkCopy,
        inputs: Any,
        read: Callable[[Any], Tensor],
        rule: RelevanceRule,
        traced: LayerTrace | None = None,
    ) -> None:
        self._copy, self._traced = copy, traced
        add_cost(n_images(inputs) * FORWARDS_WITH_GRADIENT)
        # Autocast would round the products of the rules, which subtract large contributions from each other.
        with torch.inference_mode(False), torch.set_grad_enabled(traced is None), without_callers_autocast():
            network_inputs = nested.transform(inputs, lambda _, t: at_least_float32(t.detach()).clone())
            if traced is None:
                image = named_image(network_inputs)
                assert image is not None, "relevance at the network's input needs to know which input is the image"
                self._leaf = image.requires_grad_()
                with RelevanceMode(rule, self._leaf):
                    self._outputs = read(call_network(copy.module, with_images(network_inputs, self._leaf.clone())))
            else:
                leaf_observer = _LayerLeaf(traced)
                with RelevanceMode(rule, None):
                    self._outputs = read(copy.run(leaf_observer, network_inputs))
                if leaf_observer.leaf is None:
                    raise LayerError(f"{traced.layer.name!r} was not called in this run.")
                self._leaf = leaf_observer.leaf
        self._check_graph()

    def propagate(self, score: Callable[[Tensor], Tensor], *, contrast: bool = False) -> tuple[Tensor, Tensor]:
        """Propagate the relevance of a score.

        The relevance of the output is output * d score / d output: the logit of a class, or for a contrast of two
        classes the logit of the first and the negative logit of the second.

        Args:
            score: A function of the class scores (b, k) that returns scores (b,).
            contrast: Whether the classes that the score does not depend on start with the negated total, in equal
                parts.

        Returns:
            The relevance of the input (b, c, H, W) or the layer (b, c, h, w), and the total relevance at the output
            (b,).
        """
        with torch.inference_mode(False), torch.enable_grad():
            outputs = self._outputs.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(score(outputs).sum(), outputs)
            start = outputs.detach() * gradient
            total = start.sum(1, keepdim=True)
            other_classes = (gradient == 0).to(start)
            if contrast:
                start = start - other_classes * total / other_classes.sum(1, keepdim=True).clamp(min=1)
            (relevance,) = torch.autograd.grad(self._outputs, self._leaf, start, retain_graph=True)
        relevance = relevance if self._traced is None else self._traced.layout.to_grid(relevance)
        return relevance.detach(), start.sum(1)

    def _check_graph(self) -> None:
        """Check that the score depends on the input or layer, and that all functions had a rule.

        Also registers the functions that read the output of layers into which a batch norm may be folded.

        Raises:
            LayerError: If the score does not depend on the input or layer.
            MethodError: If something ran where no mode could intercept it.
        """
        network_name = type(self._copy.module).__name__
        reached, todo, seen = False, [self._outputs.grad_fn], set()
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            name = node.name()
            is_known = isinstance(node, _KNOWN_NODES)
            if not is_known and (name.partition("Backward")[0] in UNCAUGHT or isinstance(node, _CUSTOM_NODES)):
                raise MethodError(
                    f"{network_name} computes {name.partition('Backward')[0]} in compiled code or in its own autograd "
                    "function, through which relevance cannot be propagated. Use a gradient method such as "
                    "integrated_gradients."
                )
            reached = reached or getattr(node, "variable", None) is self._leaf
            for next_node, _ in node.next_functions:
                register_reader(node, next_node)
                todo.append(next_node)
        if not reached:
            destination = "the input" if self._traced is None else repr(self._traced.layer.name)
            raise LayerError(
                f"no relevance reaches {destination} from the score of {network_name}: the score does not depend on "
                "it, or only through a softmax, whose output is held constant. Explain the logits."
            )


def register_reader(node: Any, next_node: Any) -> None:
    """Register `node`, the norm or another function, as a reader of a layer that a norm may be folded into."""
    fold = getattr(next_node, "fold", None)
    if fold is not None:
        is_norm = getattr(node, "norm_of", None) is fold
        fold.feeds_norm, fold.n_other_readers = fold.feeds_norm or is_norm, fold.n_other_readers + (not is_norm)


_KNOWN_NODES = tuple(function._backward_cls for function in (AffineRule, WeightedRule, PassThrough, NoRule))
_CUSTOM_NODES: Any = torch.autograd.function.BackwardCFunction
