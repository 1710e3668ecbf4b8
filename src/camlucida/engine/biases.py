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

from camlucida.engine import calls
from camlucida.engine.calls import EveryCall, Function, depends, named, writes
from camlucida.engine.cost import WITH_GRADIENT, spend
from camlucida.engine.layout import Layout, infer
from camlucida.engine.pictures import Pictures
from camlucida.errors import MethodError

_CONVOLUTIONS = named(
    *("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
)
_LINEAR = named("linear")
_BATCH_NORMS = named("batch_norm")
_SUMS = named("add", "sub", "subtract", "rsub", *("__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__"))
_JOINS = named("cat", "concat", "concatenate", "stack")
_CURVED = named(
    "glu", "layer_norm", "group_norm", "instance_norm", "rms_norm", "softmax", "log_softmax", "logsumexp", "var"
)
_MIXED = calls.PRODUCTS_AND_SUMS | named("masked_fill", "where", "lerp")
_GRIDS = _CONVOLUTIONS | _BATCH_NORMS
_LAST = _LINEAR | named("layer_norm", "rms_norm")
"""Put channels last."""
_NORMS = named("group_norm", "instance_norm")
_PLACED = _LAST | calls.ELEMENTWISE


def bias_gradients(
    pictures: Pictures, score_of: Callable[[int], Callable[[Tensor], Tensor]]
) -> tuple[Tensor, list[Tensor]]:
    """The score's gradient (b, c, H, W) at the pictures, and the bias gradients of all calls, in order.

    score_of    which image in, its target out: class scores (1, k) to a score (1,)

    A bias gradient is (b, c, h, w) where it has a place in the picture; the sum of what has none is (b,).
    The pictures run one after the other, so that nothing has to be known about where a tensor counts its images.
    """
    rows = [_of_image(pictures, score_of(i), image) for i, image in enumerate(torch.split(pictures.inputs, 1))]
    found = [[place for place, _ in row[1]] for row in rows]
    if any(places != found[0] for places in found):
        raise MethodError(
            f"{type(pictures.twin.module).__name__} takes a different path for each of these pictures, so that they "
            "have different biases. Explain them one by one."
        )
    biases = [torch.cat([b for _, b in column]) for column in zip(*(row[1] for row in rows), strict=True)]
    return torch.cat([row[0] for row in rows]), biases


def _of_image(
    pictures: Pictures, score: Callable[[Tensor], Tensor], image: Tensor
) -> tuple[Tensor, list[tuple[str, Tensor]]]:
    with torch.inference_mode(False), torch.enable_grad():
        image = image.detach().clone().requires_grad_()
        with Biases((int(image.shape[-2]), int(image.shape[-1]))) as biases:
            value = score(pictures.read(pictures.twin.module(image.clone()))).sum()
        (gradient,) = torch.autograd.grad(value, image)
    spend(len(image) * WITH_GRADIENT)
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)), biases.gradients()


@dataclass
class _Noted:
    """A call: what it is, where it lies if it has a place in the picture, and later b * dS/dy, there and elsewhere."""

    name: str
    layout: Layout | None
    placed: Tensor | None = None
    rest: Tensor | None = None


class Biases(EveryCall):
    """While inside, finds the bias of every call; once the score's gradient was taken, `gradients` has them all."""

    def __init__(self, picture: tuple[int, int]) -> None:
        super().__init__()
        self.picture = picture
        self.noted: list[_Noted] = []
        self.grids: list[tuple[int, int]] = []

    def gradients(self) -> list[tuple[str, Tensor]]:
        """(1, c, h, w), and the sum (1,) of what has no place in the picture; the call's name and layout beside it."""
        parts = [(f"{n.name} {n.layout}", part) for n in self.noted for part in (n.placed, n.rest)]
        return [(name, part) for name, part in parts if part is not None]

    def known(self, func: Function) -> bool:
        return func in _BIASES

    def call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        find = _BIASES.get(func)
        if find is None or kwargs.get("training"):
            return func(*args, **kwargs)
        if writes(func, kwargs):  # what is left of what it overwrites is asked for below
            before = (args[0].detach().clone().requires_grad_(), *args[1:])
            y = func(*args, **kwargs)
            bias = find(func, before, kwargs, y.detach())
        else:
            y = func(*args, **kwargs)
            bias = find(func, args, kwargs, y.detach())
        if func in _GRIDS and y.ndim == 4:
            self.grids.append((int(y.shape[2]), int(y.shape[3])))
        if bias is not None:
            self._note(func, y, bias)
        return y

    def _note(self, func: Function, y: Tensor, bias: Tensor) -> None:
        noted = _Noted(func.__name__, self._layout(func, y))
        self.noted.append(noted)
        exact = torch.promote_types(y.dtype, torch.float32)
        bias = bias.detach().to(exact)

        def take(gradient: Tensor) -> None:
            # A mask may have put in -inf, where nothing comes back.
            found = torch.where(gradient == 0, 0, bias * gradient.to(exact))
            if noted.layout:
                noted.placed = noted.layout.to_grid(found)
            if noted.placed is None or noted.placed.numel() < found.numel():  # class tokens
                noted.rest = (found.sum() - (0 if noted.placed is None else noted.placed.sum()))[None]

        # A hook stays with this value, even if the network later writes to it.
        y.register_hook(take)  # type: ignore[no-untyped-call]

    def _layout(self, func: Function, y: Tensor) -> Layout | None:
        """Where the call's bias lies; that of attention, of sums and of joins nowhere."""
        if func in _GRIDS | _NORMS:
            found = Layout("nchw", (int(y.shape[2]), int(y.shape[3]))) if y.ndim == 4 else None
        elif func not in _PLACED:
            return None
        else:
            found = infer(tuple(y.shape), batch=1, picture=self.picture, channels_last=func in _LAST, seen=self.grids)
        return found if found and found.grid != (1, 1) else None


Bias = Callable[[Function, tuple[Any, ...], dict[str, Any], Tensor], Tensor | None]
"""A call and what it returned in; its bias, which may be broadcast over that, or None if it has none, out."""


def _of_weights(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    if depends(args[1] if len(args) > 1 else kwargs["weight"]):
        return _curved(func, args, kwargs, y)
    bias: Tensor | None = args[2] if len(args) > 2 else kwargs.get("bias")
    if bias is None or func in _LINEAR:
        return bias
    return bias.view(-1, *(1 for _ in y.shape[2:]))


def _at_zero(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Where y is J x + b with the same J everywhere: b is y at x = 0. None where all summands depend on the picture."""

    def zero(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(zero(v) for v in value)
        return torch.zeros_like(value, requires_grad=False) if depends(value) else value

    summands = args[0] if func in _JOINS else [args[0], args[1] if len(args) > 1 else kwargs.get("other")]
    if func not in _BATCH_NORMS and all(map(depends, summands)):
        return None
    found: Tensor = func(*zero(args), **{key: zero(value) for key, value in kwargs.items()})
    return found


def _curved(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """y - J x, by the derivative along x."""
    given = [*args, *kwargs.values()]
    places = [i for i, value in enumerate(given) if depends(value)]

    def function(*values: Tensor) -> Tensor:
        put = list(given)
        for place, value in zip(places, values, strict=True):
            put[place] = value.clone()
        out: Tensor = func(*put[: len(args)], **dict(zip(kwargs, put[len(args) :], strict=True)))
        return out

    # J x as the derivative of (J' u) x by u: `torch.func.jvp` compiles with what PyTorch itself calls deprecated.
    xs = [given[i].detach().requires_grad_() for i in places]
    found = function(*xs)
    u = torch.zeros_like(found, requires_grad=True)
    back = torch.autograd.grad(found, xs, u, create_graph=True)
    along = torch.stack([(g * x.detach()).sum() for g, x in zip(back, xs, strict=True)]).sum()
    return y - torch.autograd.grad(along, u)[0]


def _elementwise(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """f(x) - f'(x) x, with f' from one backward pass: not every activation function can be derived twice."""
    given = [*args, *kwargs.values()]
    places = [i for i, value in enumerate(given) if depends(value)]
    if len(places) != 1 or given[places[0]].shape != y.shape:
        return _curved(func, args, kwargs, y)
    x = given[places[0]].detach().requires_grad_()
    put = [x.clone() if i == places[0] else value for i, value in enumerate(given)]
    out: Tensor = func(*put[: len(args)], **dict(zip(kwargs, put[len(args) :], strict=True)))
    (derivative,) = torch.autograd.grad(out.sum(), x)
    bias: Tensor = y - derivative * x.detach()
    return bias


def _of_product(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Of degree 2 where both factors depend on the picture: J x = 2 y."""
    return -y if sum(map(depends, args[0] if isinstance(args[0], list | tuple) else args)) > 1 else None


def _of_quotient(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> Tensor | None:
    """Of degree 0 in both, of degree -1 where only the divisor depends on the picture."""
    if not depends(args[1]):
        return None
    return y if depends(args[0]) else 2 * y


_BIASES: dict[Function, Bias] = {
    **dict.fromkeys(calls.PRODUCTS, _of_product),
    **dict.fromkeys(_CONVOLUTIONS | _LINEAR, _of_weights),
    **dict.fromkeys(_BATCH_NORMS | _SUMS | _JOINS, _at_zero),
    **dict.fromkeys(calls.QUOTIENTS, _of_quotient),
    **dict.fromkeys(_CURVED | _MIXED, _curved),
    **dict.fromkeys(calls.ELEMENTWISE, _elementwise),
    **dict.fromkeys(calls.HOMOGENEOUS, lambda *_: None),
}
Biases.written_out = dict.fromkeys(calls.ATTENTION, calls.attention)
