"""Bias gradients: the contribution of every bias of a network, explicit or implicit, to a score.

Around its input x, a call y = f(x) of a network is J x + b, where J is its derivative and b the remainder: the bias
of a convolution, beta - gamma * mean / sigma of a batch norm, f(x) - f'(x) x of an activation. The score is the sum of
input and bias contributions, S = sum x dS/dx + sum b dS/dy over all calls (Srinivas & Fleuret, "Full-Gradient
Representation for Neural Network Visualization", NeurIPS 2019, prop. 1), for any network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.backward import function_mode
from camlucida.engine.backward.function_mode import (
    Function,
    FunctionMode,
    depends_on_input,
    functions_named,
    writes_in_place,
)
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, add_cost
from camlucida.engine.input_variants import InputVariants
from camlucida.engine.layout import Layout, infer_layout
from camlucida.errors import MethodError
from camlucida.foreign import OutsideTorch, refuse_outside

_CONVOLUTIONS = functions_named(
    *("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
)
_LINEAR = functions_named("linear")
_BATCH_NORMS = functions_named("batch_norm")
_SUMS = functions_named(
    "add", "sub", "subtract", "rsub", *("__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__")
)
_CONCATENATIONS = functions_named("cat", "concat", "concatenate", "stack")
_NONLINEAR = functions_named(
    "glu", "layer_norm", "group_norm", "instance_norm", "rms_norm", "softmax", "log_softmax", "logsumexp", "var"
)
_MIXED = function_mode.PRODUCTS_AND_SUMS | functions_named("masked_fill", "where", "lerp")
_GRIDS = _CONVOLUTIONS | _BATCH_NORMS
_CHANNELS_LAST = _LINEAR | functions_named("layer_norm", "rms_norm")
"""Functions that put channels last."""
_NORMS = functions_named("group_norm", "instance_norm")
_WITH_LAYOUT = _CHANNELS_LAST | function_mode.ELEMENTWISE


def bias_gradients(
    images: InputVariants, score_of: Callable[[int], Callable[[Tensor], Tensor]]
) -> tuple[Tensor, list[Tensor]]:
    """Compute the input gradient and the bias gradients of all calls, in the order of the calls.

    The images run one after the other, so that the batch axis of intermediate tensors need not be known.

    Args:
        images: Runs of the network; only its unmodified inputs are used.
        score_of: Returns the target of the image at an index, a function of class scores (1, k) that returns a score
            (1,).

    Returns:
        The gradient of the score at the inputs, (b, c, H, W), and the bias gradients: (b, c, h, w) for a bias with a
        spatial position, (b,) for the sum of one without.

    Raises:
        MethodError: If the network takes different paths for these images.
    """
    rows = [_single_image(images.of_image(i), score_of(i)) for i in range(len(images.inputs))]
    calls = [[call for call, _ in row[1]] for row in rows]
    if any(calls_of_image != calls[0] for calls_of_image in calls):
        raise MethodError(
            f"{type(images.copy.module).__name__} takes a different path for each of these images, so that they "
            "have different biases. Explain them one by one."
        )
    biases = [torch.cat([b for _, b in column]) for column in zip(*(row[1] for row in rows), strict=True)]
    return torch.cat([row[0] for row in rows]), biases


def _single_image(images: InputVariants, score: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    with torch.inference_mode(False), torch.enable_grad():
        image = images.inputs.detach().clone().requires_grad_()
        with BiasGradientMode(tuple(int(side) for side in image.shape[2:])) as biases:
            value = score(images.read(images.network(image.clone()))).sum()
        (gradient,) = torch.autograd.grad(value, image)
    add_cost(len(image) * FORWARDS_WITH_GRADIENT)
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)), biases.gradients()


@dataclass
class _BiasTerm:
    """The bias of one call.

    Attributes:
        name: Name of the function.
        layout: Layout of its output, if that has a spatial grid.
        on_grid: b * dS/dy on the grid, (1, c, h, w), after the backward pass.
        off_grid: The sum of b * dS/dy off the grid, (1,), after the backward pass.
    """

    name: str
    layout: Layout | None
    on_grid: Tensor | None = None
    off_grid: Tensor | None = None


class BiasGradientMode(FunctionMode):
    """Determines the bias of every call; after the backward pass, `gradients` returns their contributions.

    Args:
        image_size: (height, width) of the network's input, or (depth, height, width).
    """

    def __init__(self, image_size: tuple[int, ...]) -> None:
        super().__init__()
        self.image_size = image_size
        self.bias_terms: list[_BiasTerm] = []
        self.grids: list[tuple[int, ...]] = []

    def gradients(self) -> list[tuple[str, Tensor]]:
        """Return the bias gradients, each with the name and layout of its call.

        They are (1, c, h, w) on the grid, and (1,), a sum, for values without a spatial position.
        """
        parts = [
            (f"{term.name} {term.layout}", part) for term in self.bias_terms for part in (term.on_grid, term.off_grid)
        ]
        return [(name, part) for name, part in parts if part is not None]

    def outside_torch(self, call: OutsideTorch) -> None:
        """Refuse a layer whose bias this mode cannot determine."""
        refuse_outside(call, "full_grad", in_any_case=True)

    def has_rule(self, func: Function) -> bool:
        """Return whether the bias of the function is known, so that it is not decomposed."""
        return func in _BIASES

    def call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function, and register its bias."""
        bias_rule = _BIASES.get(func)
        if bias_rule is None or kwargs.get("training"):
            return func(*args, **kwargs)
        if writes_in_place(func, kwargs):  # its input is needed below, after it was overwritten
            original = (args[0].detach().clone().requires_grad_(), *args[1:])
            y = func(*args, **kwargs)
            bias = bias_rule(func, original, kwargs, y.detach())
        else:
            y = func(*args, **kwargs)
            bias = bias_rule(func, args, kwargs, y.detach())
        if func in _GRIDS and y.ndim == len(self.image_size) + 2:
            self.grids.append(tuple(int(side) for side in y.shape[2:]))
        if bias is not None:
            self._register(func, y, bias)
        return y

    def _register(self, func: Function, y: Tensor, bias: Tensor) -> None:
        term = _BiasTerm(func.__name__, self._layout(func, y))
        self.bias_terms.append(term)
        dtype = torch.promote_types(y.dtype, torch.float32)
        bias = bias.detach().to(dtype)

        def store(gradient: Tensor) -> None:
            # The bias may be -inf at masked positions, where the gradient is 0.
            product = torch.where(gradient == 0, 0, bias * gradient.to(dtype))
            if term.layout:
                term.on_grid = term.layout.to_grid(product)
            if term.on_grid is None or term.on_grid.numel() < product.numel():  # class tokens
                term.off_grid = (product.sum() - (0 if term.on_grid is None else term.on_grid.sum()))[None]

        # The hook remains with this value, even if the network modifies the tensor later.
        y.register_hook(store)  # type: ignore[no-untyped-call]

    def _layout(self, func: Function, y: Tensor) -> Layout | None:
        """Return the layout of the call's bias; attention, sums and concatenations have none."""
        if func in _GRIDS | _NORMS:
            is_grid = y.ndim == len(self.image_size) + 2
            layout = Layout("nchw", tuple(int(side) for side in y.shape[2:])) if is_grid else None
        elif func not in _WITH_LAYOUT:
            return None
        else:
            layout = infer_layout(
                tuple(y.shape),
                batch_size=1,
                image=self.image_size,
                channels_last=func in _CHANNELS_LAST,
                known_grids=self.grids,
            )
        return layout if layout and set(layout.grid) != {1} else None


BiasRule = Callable[[Function, tuple[Any, ...], dict[str, Any], Tensor], Tensor | None]
"""A rule for the bias of one function.

A function of the call and its output; returns the bias, which may broadcast to the output, or None if there is none.
"""


def _weight_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    if depends_on_input(args[1] if len(args) > 1 else kwargs["weight"]):
        return _nonlinear_bias(func, args, kwargs, y)
    bias: Tensor | None = args[2] if len(args) > 2 else kwargs.get("bias")
    if bias is None or func in _LINEAR:
        return bias
    return bias.view(-1, *(1 for _ in y.shape[2:]))


def _value_at_zero(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Return the bias of a function y = J x + b with a constant J: the value at x = 0.

    None where all summands depend on the image.
    """

    def zero(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(zero(v) for v in value)
        return torch.zeros_like(value, requires_grad=False) if depends_on_input(value) else value

    summands = args[0] if func in _CONCATENATIONS else [args[0], args[1] if len(args) > 1 else kwargs.get("other")]
    if func not in _BATCH_NORMS and all(map(depends_on_input, summands)):
        return None
    bias: Tensor = func(*zero(args), **{key: zero(value) for key, value in kwargs.items()})
    return bias


def _nonlinear_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Return y - J x, with J x from the derivative along x."""
    arguments = [*args, *kwargs.values()]
    positions = [i for i, value in enumerate(arguments) if depends_on_input(value)]

    def function(*values: Tensor) -> Tensor:
        replaced = list(arguments)
        for position, value in zip(positions, values, strict=True):
            replaced[position] = value.clone()
        out: Tensor = func(*replaced[: len(args)], **dict(zip(kwargs, replaced[len(args) :], strict=True)))
        return out

    # J x is the derivative of (J' u) x by u; `torch.func.jvp` raises a deprecation warning inside PyTorch.
    xs = [arguments[i].detach().requires_grad_() for i in positions]
    output = function(*xs)
    u = torch.zeros_like(output, requires_grad=True)
    vjp = torch.autograd.grad(output, xs, u, create_graph=True)
    directional = torch.stack([(g * x.detach()).sum() for g, x in zip(vjp, xs, strict=True)]).sum()
    return y - torch.autograd.grad(directional, u)[0]


def _elementwise_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Return f(x) - f'(x) x with f' from one backward pass, since not all activations are twice differentiable."""
    arguments = [*args, *kwargs.values()]
    positions = [i for i, value in enumerate(arguments) if depends_on_input(value)]
    if len(positions) != 1 or arguments[positions[0]].shape != y.shape:
        return _nonlinear_bias(func, args, kwargs, y)
    x = arguments[positions[0]].detach().requires_grad_()
    replaced = [x.clone() if i == positions[0] else value for i, value in enumerate(arguments)]
    out: Tensor = func(*replaced[: len(args)], **dict(zip(kwargs, replaced[len(args) :], strict=True)))
    (derivative,) = torch.autograd.grad(out.sum(), x)
    bias: Tensor = y - derivative * x.detach()
    return bias


def _product_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Return the bias of a product, of degree 2 where both factors depend on the image: J x = 2 y."""
    return -y if sum(map(depends_on_input, args[0] if isinstance(args[0], list | tuple) else args)) > 1 else None


def _quotient_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Return the bias of a quotient, of degree 0 in both, and -1 where only the divisor depends on the image."""
    if not depends_on_input(args[1]):
        return None
    return y if depends_on_input(args[0]) else 2 * y


_BIASES: dict[Function, BiasRule] = {
    **dict.fromkeys(function_mode.PRODUCTS, _product_bias),
    **dict.fromkeys(_CONVOLUTIONS | _LINEAR, _weight_bias),
    **dict.fromkeys(_BATCH_NORMS | _SUMS | _CONCATENATIONS, _value_at_zero),
    **dict.fromkeys(function_mode.QUOTIENTS, _quotient_bias),
    **dict.fromkeys(_NONLINEAR | _MIXED, _nonlinear_bias),
    **dict.fromkeys(function_mode.ELEMENTWISE, _elementwise_bias),
    **dict.fromkeys(function_mode.HOMOGENEOUS, lambda *_: None),
}
BiasGradientMode.replacements = dict.fromkeys(function_mode.ATTENTION, function_mode.explicit_attention)
