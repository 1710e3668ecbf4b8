"""The batch size of an audit, from a memory budget and the memory that the network needs per image."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attribute import attributions
from camlucida.attribution.batches import READ_AHEAD_BATCHES
from camlucida.attribution.error_context import raised_by_network
from camlucida.audits.chunk_arrays import check_distinct_layers
from camlucida.audits.plan import AuditPlan, LayerRun
from camlucida.errors import CamlucidaError, ImageError
from camlucida.evaluation.read_images import LoadedImage, read_image
from camlucida.methods import Combined, Method, find
from camlucida.opaque_networks import has_layers

MAX_BYTES = 2**30
"""Default memory budget of one batch."""

MAX_BATCH_SIZE, MAX_GPU_BATCH_SIZE = 16, 128
"""Largest batch sizes, on a CPU and elsewhere. On a CPU, larger batches leave the cache: ResNet-18 takes 65 to 70 ms of
one core per image in batches of 4 to 16, and 88 ms in batches of 64."""

FIRST_IMAGES = 8
"""Number of images that are tried until one can be read."""

ONE_RUN_INPUTS = frozenset(
    {"activations", "gradients", "head_weights", "inputs", "score", "input_gradients", "attention"}
    | {"attention_gradients", "guided", "deconvolved", "relevance", "layer_relevance", "report"}
)
"""Inputs of methods that run the network once. Others run it in batches of their own, which do not grow with ours."""


def first_readable(plan: AuditPlan) -> LoadedImage | None:
    """Return the first of the first images that can be read."""
    images = (read_image(plan, index) for index in plan.indices[:FIRST_IMAGES])
    return next((image for image in images if isinstance(image, LoadedImage)), None)


def batch_size_for(plan: AuditPlan, max_bytes: int = MAX_BYTES) -> int:
    """Return the largest batch size, a power of two, whose tensors fit into a memory budget.

    One and two images are explained, while the bytes of all tensors that exist at the same time are counted. The result
    depends on the network, the methods and the layers only, and not on what else runs on the machine, or its allocator.
    Without layers, as in an ONNX Runtime session, the memory cannot be counted, and the result is the largest one.

    Args:
        plan: The plan, with any batch size.
        max_bytes: The budget, in bytes: network inputs, activations, gradients and maps, without the weights.

    Raises:
        CamlucidaError: If a layer, method or target does not fit the network.
    """
    device = next((parameter.device for parameter in plan.model.network.parameters()), torch.device("cpu"))
    largest = MAX_BATCH_SIZE if device.type == "cpu" else MAX_GPU_BATCH_SIZE
    image = first_readable(plan)
    if image is None:
        return largest
    try:
        peak_bytes(plan, image.inputs[None])  # the first run of a network also makes what later ones reuse
        one = peak_bytes(plan, image.inputs[None])
    except ImageError:
        return largest  # this image will be a row with the reason, and so below
    except Exception as error:
        if isinstance(error, CamlucidaError) or not raised_by_network(error):
            raise
        return largest
    if not has_layers(plan.model.network):
        return largest  # what it allocates is not made of tensors that could be counted
    try:
        two = peak_bytes(plan, torch.stack([image.inputs, image.inputs]))
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        return 1  # it takes one image at a time
    read_ahead = (READ_AHEAD_BATCHES + 1) * image.inputs.nbytes
    n = (max_bytes - max(0, 2 * one - two)) // (max(1, two - one) + read_ahead)
    return min(largest, 1 << max(0, n.bit_length() - 1)) if n > 0 else 1


@plain_arithmetic()
def peak_bytes(plan: AuditPlan, inputs: Tensor) -> int:
    """Return the largest number of bytes that the tensors made while a batch is explained take at the same time.

    Args:
        plan: The plan. Methods that run the network many times are left out: they choose their own batches.
        inputs: Network inputs `(b, c, H, W)`.
    """
    targets = ["top2", torch.zeros(len(inputs), dtype=torch.long)]
    runs = [run for run in map(_only_one_run, plan.runs) if run is not None]
    memory = PeakMemory()
    with memory:
        results = [attributions(plan.model, inputs, run.request(targets)) for run in runs]
    for run, result in zip(runs, results, strict=True):
        check_distinct_layers(run, result)
    return memory.peak


def _only_one_run(run: LayerRun) -> LayerRun | None:
    """Return the run without the methods that run the network many times; grad_cam at its layers if none is left."""
    kept = tuple(request for request in run.methods if _is_one_run(request[0]))
    if run.channels and not any(method.needs_layer for method, _ in kept):
        method = find("grad_cam")
        kept = ((method, method.with_options({})), *kept)
    return replace(run, methods=kept) if kept else None


def _is_one_run(method: Method | Combined) -> bool:
    return isinstance(method, Method) and set(method.needs) <= ONE_RUN_INPUTS


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that counts the bytes of all tensors that operations return, until they are freed.

    Attributes:
        peak: The largest number of bytes that existed at the same time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bytes: dict[int, int] = {}
        self._current = self.peak = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False, so that PyTorch does not import its compiler to wrap this class, which takes over a second."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {tensor.untyped_storage()._cdata for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(out):
            storage = tensor.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self._bytes:
                self._bytes[storage._cdata] = storage.nbytes()
                self._current += storage.nbytes()
                weakref.finalize(storage, self._freed, storage._cdata)
        self.peak = max(self.peak, self._current)
        return out

    def _freed(self, key: int) -> None:
        self._current -= self._bytes.pop(key, 0)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
