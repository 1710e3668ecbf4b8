"""DeepLIFT's backward pass: finite differences between a baseline and the input in place of derivatives.

The network runs on the baseline first, and the inputs of each nonlinear call are recorded; then it runs on the input,
with the multipliers of Shrikumar et al. ("Learning Important Features Through Propagating Activation Differences",
ICML 2017) in place of the derivatives:

    elementwise f     (f(x) - f(x0)) / (x - x0), the Rescale rule; f' where x and x0 are equal
    max pooling       cross-max: increases go to the maximum of x, decreases to the maximum of x0
    product a b       each factor at the midpoint, (b + b0) / 2 and (a + a0) / 2
    quotient a / b    as y in y b = a: 2 / (b + b0) and -(y + y0) / (b + b0)
    softmax           diag(m) - m m' / sum(m), like its Jacobian, with the logarithmic mean
                      m = (s - s0) / (log s - log s0)
    norms, attention  decomposed into the functions above

Each rule is exact: multipliers times differences of the inputs sum to the difference of the output. All other
functions keep their gradient, which is exact if they are linear.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.engine.backward import function_mode, norm_formulas
from camlucida.engine.backward.deeplift_rules import (
    RULES,
    BackwardRule,
    DeepLiftRule,
    log_softmax,
    product,
    quotient,
    rescale,
    select,
    softmax,
)
from camlucida.engine.backward.function_mode import Function, FunctionMode, depends_on_input, writes_in_place
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, add_cost
from camlucida.engine.input_variants import InputVariants
from camlucida.errors import MethodError
from camlucida.foreign import OutsideTorch, refuse_outside


def multipliers(input_variants: InputVariants, score: Callable[[Tensor], Tensor], baselines: Tensor) -> Tensor:
    """Compute DeepLIFT's multipliers of the inputs against baselines.

    Args:
        input_variants: Runs of the network; only its unmodified inputs are used.
        score: A function of class scores (n, b, k) that returns scores (n, b).
        baselines: Baseline inputs, (b, c, H, W).

    Returns:
        Multipliers, (b, c, H, W), in float32 or better.

    Raises:
        MethodError: If the network takes different paths on the inputs and the baselines.
    """

    def run(images: Tensor, mode: DeepLiftMode) -> tuple[Tensor, Tensor]:
        images = images.detach().to(input_variants.inputs.dtype).clone().requires_grad_()
        with mode:
            return images, score(input_variants.read(input_variants.network(images.clone()))[None]).sum()

    with torch.inference_mode(False), torch.enable_grad():
        recorder = DeepLiftMode(type(input_variants.copy.module).__name__)
        run(baselines, recorder)
        mode = DeepLiftMode(recorder.network, deque(recorder.recorded_calls))
        images, total = run(input_variants.inputs, mode)
        mode.check_finished()
        (gradient,) = torch.autograd.grad(total, images)
    add_cost(len(baselines) + len(images) * FORWARDS_WITH_GRADIENT)
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32))


class DeepLiftMode(FunctionMode):
    """Records the inputs of every nonlinear call; given those of the baseline, uses multipliers as gradients.

    Args:
        network: Name of the network's class, for error messages.
        baseline: The records of a run on the baseline; None to record.
    """

    def __init__(self, network: str, baseline: deque[tuple[str, tuple[Tensor, ...]]] | None = None) -> None:
        super().__init__()
        self.network = network
        self.recorded_calls: list[tuple[str, tuple[Tensor, ...]]] = []
        self.baseline = baseline

    def outside_torch(self, call: OutsideTorch) -> None:
        """Refuse a layer that is nonlinear: its multipliers would be its derivatives."""
        if not call.is_affine and call.runs_on != "torch":
            refuse_outside(call, "DeepLIFT")

    def has_rule(self, func: Function) -> bool:
        """Return whether the function has a DeepLIFT rule, so that it is not decomposed."""
        return func in RULES

    def call(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function by its DeepLIFT rule, if it has one."""
        rule = RULES.get(func)
        if rule is None:
            return func(*args, **kwargs)
        if not writes_in_place(func, kwargs):
            return self._apply_rule(rule, func, args, kwargs)
        kwargs = {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs
        return args[0].copy_(self._apply_rule(rule, func, (args[0].clone(), *args[1:]), kwargs))

    def _apply_rule(self, rule: DeepLiftRule, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        xs, function = _as_function_of_dependents(func, args, kwargs)
        if (
            (rule is product and len(xs) == 1)  # linear, since the other factor is constant
            or (rule is quotient and (not depends_on_input(args[-1]) or "rounding_mode" in kwargs))
            or (rule in (rescale, softmax, log_softmax) and len(xs) > 1)  # a parameter of it depends on the input
        ):
            return func(*args, **kwargs)
        values = tuple(x.detach().clone() for x in xs)
        if rule is select and isinstance(outputs := function(*values), tuple):
            # The function also returns the indices of the maxima, which have no gradient.
            maxima = self._apply(rule, func.__name__, lambda *v: function(*v)[0], xs, values, None)
            return type(outputs)((maxima, *outputs[1:]))
        return self._apply(rule, func.__name__, function, xs, values, args[1] if len(args) > 1 else kwargs.get("dim"))

    def _apply(
        self,
        rule: DeepLiftRule,
        name: str,
        function: Function,
        xs: list[Tensor],
        values: tuple[Tensor, ...],
        setting: Any,
    ) -> Any:
        if self.baseline is None:
            self.recorded_calls.append((name, values))
            return function(*(x.clone() for x in xs))
        return _CustomBackward.apply(
            function(*values), rule(function, values, self._baseline_inputs(name, values), setting), *xs
        )

    def _baseline_inputs(self, name: str, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the inputs of the same call on the baseline."""
        assert self.baseline is not None
        baseline_name, baseline_inputs = self.baseline.popleft() if self.baseline else ("nothing", ())
        if baseline_name != name or [x.shape for x in baseline_inputs] != [x.shape for x in values]:
            raise self._different_path_error(
                f"{name} of {_format_shapes(values)}", f"{baseline_name} of {_format_shapes(baseline_inputs)}"
            )
        return baseline_inputs

    def check_finished(self) -> None:
        """Raise `MethodError` if the run on the baseline made further calls."""
        if self.baseline:
            baseline_name, baseline_inputs = self.baseline[0]
            raise self._different_path_error("nothing", f"{baseline_name} of {_format_shapes(baseline_inputs)}")

    def _different_path_error(self, image: str, baseline: str) -> MethodError:
        return MethodError(
            f"deep_lift compares a run on the image with one on the baseline, call by call, and {self.network} takes "
            f"different paths: {image} on the image, {baseline} on the baseline. Use integrated_gradients."
        )


def _format_shapes(tensors: Sequence[Tensor]) -> str:
    return " and ".join("×".join(map(str, x.shape)) for x in tensors) or "no tensors"


def _as_function_of_dependents(
    func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Tensor], Function]:
    """Return the tensors that depend on the input, and the call as a function of them."""
    keywords = list(kwargs)
    arguments = [*args, *kwargs.values()]
    positions = [i for i, value in enumerate(arguments) if depends_on_input(value)]

    def function(*values: Tensor) -> Any:
        replaced = list(arguments)
        if values[0].dtype != arguments[positions[0]].dtype:  # a higher precision, which weights must match
            replaced = [
                v.to(values[0].dtype) if isinstance(v, Tensor) and v.is_floating_point() else v for v in arguments
            ]
        for position, value in zip(positions, values, strict=True):
            replaced[position] = value
        return func(*replaced[: len(args)], **dict(zip(keywords, replaced[len(args) :], strict=True)))

    return [arguments[i] for i in positions], function


class _CustomBackward(torch.autograd.Function):
    """Returns `value` in the forward pass; the backward pass is `backward_rule`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, backward_rule: BackwardRule, *xs: Tensor) -> Tensor:
        ctx.back, ctx.dtypes = backward_rule, [x.dtype for x in xs]
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        input_gradients = ctx.back(gradients[0])
        return None, None, *(g.to(dtype) for g, dtype in zip(input_gradients, ctx.dtypes, strict=True))


def _vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    if ord == 1:
        return x.abs().sum(dim, keepdim)
    return x.square().sum(dim, keepdim).sqrt() if ord == 2 else (x.abs() ** ord).sum(dim, keepdim) ** (1 / ord)


DeepLiftMode.replacements = {
    F.layer_norm: norm_formulas.layer_norm,
    torch.layer_norm: norm_formulas.layer_norm,
    F.group_norm: norm_formulas.group_norm,
    torch.group_norm: norm_formulas.group_norm,
    F.instance_norm: norm_formulas.instance_norm,
    F.rms_norm: norm_formulas.rms_norm,
    torch.rms_norm: norm_formulas.rms_norm,
    torch.linalg.vector_norm: _vector_norm,
    **dict.fromkeys(function_mode.ATTENTION, function_mode.explicit_attention),
}
