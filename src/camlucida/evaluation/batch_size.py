"""The batch size of a pass over a data set, measured on its first image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.batch_size import (
    MAX_BYTES,
    PeakMemory,
    fitting_batch_size,
    is_same_image,
    largest_batch_size,
)
from camlucida.attribution.batches import READ_AHEAD_BATCHES
from camlucida.attribution.error_context import raised_by_network
from camlucida.errors import CamlucidaError, ImageError
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.read_images import LoadedImage, read_image
from camlucida.opaque_networks import has_layers

FIRST_IMAGES = 8
"""Number of images that are tried until one can be read."""

Explain = Callable[[Tensor], Tensor]
"""Explains network inputs `(b, c, H, W)` as the pass does, and returns their class scores `(b, k)`."""


def first_readable(dataset_pass: DatasetPass) -> LoadedImage | None:
    """Return the first of the first images that can be read."""
    images = (read_image(dataset_pass, index) for index in dataset_pass.indices[:FIRST_IMAGES])
    return next((image for image in images if isinstance(image, LoadedImage)), None)


def measured_batch_size(dataset_pass: DatasetPass, explain: Explain, max_bytes: int = MAX_BYTES) -> int:
    """Return the largest batch size, a power of two, whose tensors fit into a memory budget.

    One and two images are explained, while the bytes of all tensors that exist at the same time are counted. The result
    depends on the network and what is explained only, and not on what else runs on the machine, or its allocator.
    Without layers, as in an ONNX Runtime session, the memory cannot be counted, and the result is the largest one. It
    is 1 for networks that take single images only, or whose scores of one image depend on the others of its batch.

    Args:
        dataset_pass: The model and the images.
        explain: Explains a batch.
        max_bytes: The budget, in bytes: network inputs, activations, gradients and maps, without the weights.

    Raises:
        CamlucidaError: If a layer, method or target does not fit the network.
    """
    network = dataset_pass.model.network
    largest = largest_batch_size(network)
    image = first_readable(dataset_pass)
    if image is None:
        return largest
    inputs = image.inputs[None]
    try:
        peak_bytes(explain, inputs)  # the first run of a network also makes what later ones reuse
        scores, one = peak_bytes(explain, inputs)
    except ImageError:
        return largest  # this image will be a row with the reason, and so below
    except Exception as error:
        if isinstance(error, CamlucidaError) or not raised_by_network(error):
            raise
        return largest
    if not has_layers(network):
        return largest  # what it allocates is not made of tensors that could be counted
    try:
        together, two = peak_bytes(explain, torch.cat([inputs, inputs.flip(-1) / 2]))
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        return 1  # it takes one image at a time
    if not is_same_image(network, scores[0], together[0]):
        return 1
    read_ahead = (READ_AHEAD_BATCHES + 1) * image.inputs.nbytes
    return fitting_batch_size(largest, max(1, two - one) + read_ahead, max(0, 2 * one - two), max_bytes)


@plain_arithmetic()
def peak_bytes(explain: Explain, inputs: Tensor) -> tuple[Tensor, int]:
    """Return the scores of a batch, and the bytes of the tensors that exist at the same time while it is explained."""
    with PeakMemory() as memory:
        scores = explain(inputs)
    return scores, memory.peak
