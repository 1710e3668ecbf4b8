"""Bias gradients: what every bias of a network, written in its weights or implied by its functions, adds to a score.

A call y = f(x) of a network is J x + b at its x, where J is its derivative and b what is left: the bias of a
convolution, beta - gamma * mean / sigma of a batch norm, f(x) - f'(x) x of an activation. Added up from the score
back, S = sum x dS/dx + sum b dS/dy over all calls (Srinivas & Fleuret, NeurIPS 2019, prop. 1), whatever the network.
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
"""Put channels last."""
_NORMS = functions_named("group_norm", "instance_norm")
_WITH_LAYOUT = _CHANNELS_LAST | function_mode.ELEMENTWISE


def bias_gradients(
    images: InputVariants, score_of: Callable[[int], Callable[[Tensor], Tensor]]
) -> tuple[Tensor, list[Tensor]]:
    """The score's gradient (b, c, H, W) at the pictures, and the bias gradients of all calls, in order.

    score_of    which image in, its target out: class scores (1, k) to a score (1,)

    A bias gradient is (b, c, h, w) where it has a place in the picture; the sum of what has none is (b,).
    The pictures run one after the other, so that nothing has to be known about where a tensor counts its images.
    """
    rows = [_single_image(images, score_of(i), image) for i, image in enumerate(torch.split(images.inputs, 1))]
    positions = [[place for place, _ in row[1]] for row in rows]
    if any(places != positions[0] for places in positions):
        raise MethodError(
            f"{type(images.copy.module).__name__} takes a different path for each of these pictures, so that they "
            "have different biases. Explain them one by one."
        )
    biases = [torch.cat([b for _, b in column]) for column in zip(*(row[1] for row in rows), strict=True)]
    return torch.cat([row[0] for row in rows]), biases


def _single_image(
    images: InputVariants, score: Callable[[Tensor], Tensor], image: Tensor
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    with torch.inference_mode(False), torch.enable_grad():
        image = image.detach().clone().requires_grad_()
        with BiasGradientMode((int(image.shape[-2]), int(image.shape[-1]))) as biases:
            value = score(images.read(images.copy.module(image.clone()))).sum()
        (gradient,) = torch.autograd.grad(value, image)
    add_cost(len(image) * FORWARDS_WITH_GRADIENT)
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)), biases.gradients()


@dataclass
class _BiasTerm:
    """A call: what it is, where it lies if it has a place in the picture, and later b * dS/dy, there and elsewhere."""

    name: str
    layout: Layout | None
    on_grid: Tensor | None = None
    off_grid: Tensor | None = None


class BiasGradientMode(FunctionMode):
    """While inside, finds the bias of every call; once the score's gradient was taken, `gradients` has them all."""

    def __init__(self, image: tuple[int, int]) -> None:
        super().__init__()
        self.picture = image
        self.noted: list[_BiasTerm] = []
        self.grids: list[tuple[int, int]] = []

    def gradients(self) -> list[tuple[str, Tensor]]:
        """(1, c, h, w), and the sum (1,) of what has no place in the picture; the call's name and layout beside it."""
        parts = [(f"{n.name} {n.layout}", part) for n in self.noted for part in (n.on_grid, n.off_grid)]
        return [(name, part) for name, part in parts if part is not None]

    def has_rule(self, func: Function) -> bool:
        return func in _BIASES

    def call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bias_rule = _BIASES.get(func)
        if bias_rule is None or kwargs.get("training"):
            return func(*args, **kwargs)
        if writes_in_place(func, kwargs):  # what is left of what it overwrites is asked for below
            original = (args[0].detach().clone().requires_grad_(), *args[1:])
            y = func(*args, **kwargs)
            bias = bias_rule(func, original, kwargs, y.detach())
        else:
            y = func(*args, **kwargs)
            bias = bias_rule(func, args, kwargs, y.detach())
        if func in _GRIDS and y.ndim == 4:
            self.grids.append((int(y.shape[2]), int(y.shape[3])))
        if bias is not None:
            self._register(func, y, bias)
        return y

    def _register(self, func: Function, y: Tensor, bias: Tensor) -> None:
        term = _BiasTerm(func.__name__, self._layout(func, y))
        self.noted.append(term)
        dtype = torch.promote_types(y.dtype, torch.float32)
        bias = bias.detach().to(dtype)

        def store(gradient: Tensor) -> None:
            # A mask may have put in -inf, where nothing comes back.
            product = torch.where(gradient == 0, 0, bias * gradient.to(dtype))
            if term.layout:
                term.on_grid = term.layout.to_grid(product)
            if term.on_grid is None or term.on_grid.numel() < product.numel():  # class tokens
                term.off_grid = (product.sum() - (0 if term.on_grid is None else term.on_grid.sum()))[None]

        # A hook stays with this value, even if the network later writes to it.
        y.register_hook(store)  # type: ignore[no-untyped-call]

    def _layout(self, func: Function, y: Tensor) -> Layout | None:
        """Where the call's bias lies; that of attention, of sums and of joins nowhere."""
        if func in _GRIDS | _NORMS:
            layout = Layout("nchw", (int(y.shape[2]), int(y.shape[3]))) if y.ndim == 4 else None
        elif func not in _WITH_LAYOUT:
            return None
        else:
            layout = infer_layout(
                tuple(y.shape),
                batch_size=1,
                image=self.picture,
                channels_last=func in _CHANNELS_LAST,
                known_grids=self.grids,
            )
        return layout if layout and layout.grid != (1, 1) else None


BiasRule = Callable[[Function, tuple[Any, ...], dict[str, Any], Tensor], Tensor | None]
"""A call and what it returned in; its bias, which may be broadcast over that, or None if it has none, out."""


def _weight_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    if depends_on_input(args[1] if len(args) > 1 else kwargs["weight"]):
        return _nonlinear_bias(func, args, kwargs, y)
    bias: Tensor | None = args[2] if len(args) > 2 else kwargs.get("bias")
    if bias is None or func in _LINEAR:
        return bias
    return bias.view(-1, *(1 for _ in y.shape[2:]))


def _value_at_zero(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Where y is J x + b with the same J everywhere: b is y at x = 0. None where all summands depend on the picture."""

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
    """y - J x, by the derivative along x."""
    arguments = [*args, *kwargs.values()]
    positions = [i for i, value in enumerate(arguments) if depends_on_input(value)]

    def function(*values: Tensor) -> Tensor:
        replaced = list(arguments)
        for position, value in zip(positions, values, strict=True):
            replaced[position] = value.clone()
        out: Tensor = func(*replaced[: len(args)], **dict(zip(kwargs, replaced[len(args) :], strict=True)))
        return out

    # J x as the derivative of (J' u) x by u: `torch.func.jvp` compiles with what PyTorch itself calls deprecated.
    xs = [arguments[i].detach().requires_grad_() for i in positions]
    output = function(*xs)
    u = torch.zeros_like(output, requires_grad=True)
    vjp = torch.autograd.grad(output, xs, u, create_graph=True)
    directional = torch.stack([(g * x.detach()).sum() for g, x in zip(vjp, xs, strict=True)]).sum()
    return y - torch.autograd.grad(directional, u)[0]


def _elementwise_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """f(x) - f'(x) x, with f' from one backward pass: not every activation function can be derived twice."""
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
    """Of degree 2 where both factors depend on the picture: J x = 2 y."""
    return -y if sum(map(depends_on_input, args[0] if isinstance(args[0], list | tuple) else args)) > 1 else None


def _quotient_bias(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Of degree 0 in both, of degree -1 where only the divisor depends on the picture."""
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
