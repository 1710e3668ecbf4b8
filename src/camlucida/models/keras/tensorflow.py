"""Keras layers on TensorFlow as part of PyTorch's graph: a `tf.GradientTape` per call, and tensors passed by DLPack.

Tensors share memory where that is possible. TensorFlow never writes to a tensor that is referenced elsewhere: a
variable that is assigned or trained gets another buffer, so a snapshot of its value keeps its content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida._optional import need
from camlucida.errors import MethodError
from camlucida.models.keras.graph import flatten, map_structure

ALIGNMENT_BYTES = 64
"""TensorFlow ends the process on a tensor whose address is no multiple of this."""


def _tensorflow() -> Any:
    return need("tensorflow", extra="tensorflow", what="Keras on TensorFlow")


def to_tensorflow(tensor: Tensor) -> Any:
    """Return a tensor as one of TensorFlow, on the same memory where TensorFlow can read it."""
    tf = _tensorflow()
    detached = tensor.detach()
    if not detached.is_floating_point() or not detached.numel():
        return tf.convert_to_tensor(detached.cpu().numpy())
    if not detached.is_contiguous() or detached.data_ptr() % ALIGNMENT_BYTES:
        detached = detached.clone(memory_format=torch.contiguous_format)
    return tf.experimental.dlpack.from_dlpack(detached.__dlpack__())


def from_tensorflow(value: Any) -> Tensor:
    """Return an eager tensor of TensorFlow as one of PyTorch, on the same memory for floating-point numbers."""
    tf = _tensorflow()
    if not value.dtype.is_floating or not value.shape.num_elements():
        return torch.from_numpy(value.numpy().copy())
    tensor: Tensor = torch.utils.dlpack.from_dlpack(tf.experimental.dlpack.to_dlpack(value))
    return tensor


def snapshot(variable: Any) -> Tensor:
    """Return the current value of a Keras variable, on the variable's own memory."""
    return from_tensorflow(variable.value.read_value())


def call_with_tape(run: Callable[[Any, Any], Any], args: Any, kwargs: Any, name: str) -> Any:
    """Call a function of TensorFlow tensors with PyTorch's, as part of PyTorch's graph.

    Args:
        run: Called as `run(args, kwargs)`.
        args: Positional arguments, nested, with tensors of PyTorch.
        kwargs: Keyword arguments, likewise.
        name: What is called, for messages.

    Returns:
        What it returns, with tensors of PyTorch.
    """
    tensors = [leaf for leaf in flatten([*args, kwargs]) if isinstance(leaf, Tensor)]
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        converted = map_structure(_to_tensorflow_or_same, (tuple(args), kwargs))
        return map_structure(_result(tensors), _plain(run(*converted)))
    structure: list[Any] = []
    outputs = _Taped.apply(run, args, kwargs, structure, name, *tensors)
    iterator = iter(outputs)
    return map_structure(lambda leaf: next(iterator) if leaf is _TENSOR else leaf, structure[0])


_TENSOR = object()
"""Stands for a tensor in the structure of an output."""


def _plain(value: Any) -> Any:
    """Return an output with tensors in place of variables."""
    tf = _tensorflow()
    return map_structure(lambda leaf: leaf if tf.is_tensor(leaf) or leaf is None else tf.convert_to_tensor(leaf), value)


def _to_tensorflow_or_same(value: Any) -> Any:
    return to_tensorflow(value) if isinstance(value, Tensor) else value


def _result(inputs: Sequence[Tensor]) -> Callable[[Any], Any]:
    """Return the conversion of outputs; an output on the memory of an input is copied."""
    addresses = {tensor.data_ptr() for tensor in inputs}

    def convert(value: Any) -> Any:
        if value is None:
            return None
        tensor = from_tensorflow(value)
        return tensor.clone() if tensor.data_ptr() in addresses else tensor

    return convert


class _Taped(torch.autograd.Function):
    """One call under a gradient tape, whose backward pass asks the tape."""

    @staticmethod
    def forward(ctx: Any, run: Any, args: Any, kwargs: Any, structure: list[Any], name: str, *tensors: Tensor) -> Any:
        tf = _tensorflow()
        inputs = [to_tensorflow(tensor) for tensor in tensors]
        iterator = iter(inputs)
        args, kwargs = map_structure(
            lambda leaf: next(iterator) if isinstance(leaf, Tensor) else leaf, (tuple(args), kwargs)
        )
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            for value in inputs:
                if value.dtype.is_floating:
                    tape.watch(value)
            result = _plain(run(args, kwargs))
        outputs = [leaf for leaf in flatten(result) if leaf is not None]
        ctx.tape, ctx.inputs, ctx.outputs, ctx.layer = tape, inputs, outputs, name
        structure.append(map_structure(lambda leaf: None if leaf is None else _TENSOR, result))
        converted = tuple(map(_result(tensors), outputs))
        ctx.mark_non_differentiable(*(tensor for tensor in converted if not tensor.is_floating_point()))
        return converted

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        if torch.is_grad_enabled():
            raise MethodError(
                f"second derivatives were requested, and the layer {ctx.layer!r} runs on TensorFlow, which gives first "
                "derivatives here. Use another method, or run Keras with KERAS_BACKEND=torch."
            )
        tf = _tensorflow()
        given = [(o, g) for o, g in zip(ctx.outputs, gradients, strict=True) if g is not None and o.dtype.is_floating]
        sources = [value for value, needed in zip(ctx.inputs, ctx.needs_input_grad[5:], strict=True) if needed]
        found = iter(
            ctx.tape.gradient(
                [output for output, _ in given], sources, output_gradients=[to_tensorflow(g) for _, g in given]
            )
        )
        result: list[Any] = []
        for needed in ctx.needs_input_grad[5:]:
            gradient = next(found) if needed else None
            result.append(None if gradient is None else from_tensorflow(tf.convert_to_tensor(gradient)))
        return (None, None, None, None, None, *result)
