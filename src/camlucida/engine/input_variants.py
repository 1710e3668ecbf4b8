"""Runs of the network on variants of its inputs, in chunks: outputs and input gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import nested
from camlucida.engine.backward.relu_rules import ReluRule, ReluRuleName
from camlucida.engine.batch_axes import select_image
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, add_cost
from camlucida.engine.fold_batchnorm import FoldedNetwork, folded, unfolded
from camlucida.engine.image_axes import ImageAxes
from camlucida.engine.named_inputs import NamedInputs, call_network, held_values, with_images
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.run_options import RunOptions
from camlucida.errors import MethodError
from camlucida.opaque_networks import described, has_layers
from camlucida.types import ProgressCallback

MAX_BYTES = 512 * 2**20
"""Approximate memory limit, in bytes, of one chunk of inputs and what the network computes from them."""

MEMORY_FACTOR, GRAPH_MEMORY_FACTOR = 40, 160
"""Memory that a network takes in multiples of its input, without and with its graph.

Measured on ResNet-50, VGG-16 and ViT-B: 15 to 45, and 80 to 200.
"""

MAX_IMAGES_CPU, MAX_IMAGES_GPU = 8, 64
"""Maximum number of inputs in one chunk; more gain nothing.

Measured: SmoothGrad on ResNet-50 is slower with 25 inputs at once than with 5.
"""

MIN_RUNS_TO_FOLD = 64
"""Minimum number of runs for which folding batch norms pays off; folding costs about as much as seven runs."""

MAX_REPETITION_ERROR = 1e-2
"""Tolerated difference of the scores of repeated inputs, relative to the largest score: rounding in half precision."""

Variants = Callable[[Tensor], Tensor]
"""A function of indices (n,) that returns these variants of the inputs, (n, b, c, *grid)."""


@dataclass(frozen=True)
class InputVariants:
    """Runs of the network on variants of its inputs.

    Attributes:
        copy: The network copy to run.
        inputs: The unmodified images, as the network takes them: (b, c, H, W), (b, c, D, H, W) or frames.
        read: Extracts the class scores (rows, k) from the network's output.
        progress: Called as `progress(done, total)` after every chunk, if there are several. A method that requests one
            run after the other reports its own progress.
        run_options: How many inputs run at once, and the precision of runs without gradients.
        held: All inputs of a network that takes several, which are held as they are but for the image; None for a
            network that takes the images only.
        axes: The axes of the images. Variants are (n, b, c, *grid), whatever these are.
    """

    copy: NetworkCopy
    inputs: Tensor
    read: Callable[[Any], Tensor]
    progress: ProgressCallback = field(default=lambda done, total: None)
    run_options: RunOptions = field(default_factory=RunOptions)
    held: NamedInputs | None = None
    axes: ImageAxes = field(default_factory=ImageAxes)

    @property
    def images(self) -> Tensor:
        """Return the unmodified images as (b, c, *grid)."""
        return self.axes.to_grid(self.inputs)

    def network(self, images: Tensor) -> Any:
        """Return the network's output for images, n variants of the b images one after the other.

        Args:
            images: Images (n b, ...), with the axes that the network takes, as `inputs`.
        """
        inputs = images if self.held is None else with_images(self.held, images)
        return call_network(self.copy.module, inputs)

    def of_image(self, i: int) -> InputVariants:
        """Return the runs of the network on variants of one image of the batch."""
        held = None if self.held is None else select_image(self.held, i)
        return replace(self, inputs=self.inputs[i : i + 1], held=held)

    def outputs(self, variants: Variants, n: int) -> Tensor:
        """Compute the class scores of all variants.

        Args:
            variants: Returns the variants of given indices.
            n: Number of variants.

        Returns:
            Class scores, (n, b, k).
        """
        return torch.cat(list(self.iter_outputs(variants, n)))

    def iter_outputs(self, variants: Variants, n: int) -> Iterator[Tensor]:
        """Yield the class scores of all variants chunk by chunk, (chunk, b, k), in order."""
        self._check_repetition(n)
        with torch.inference_mode(False), torch.no_grad():
            forward = self._network_for(variants, n)
        for indices in self._chunks(n, MEMORY_FACTOR):
            with torch.inference_mode(False), torch.no_grad():  # must not enclose the yield: it is thread-wide
                scores = self._scores_of(forward, variants(indices)).detach()
            add_cost(len(indices) * len(self.inputs))
            self._report_progress(indices, n)
            yield scores

    def input_gradients(
        self, score: Callable[[Tensor], Tensor], variants: Variants, n: int, rule: ReluRuleName | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Compute scores and input gradients of all variants, chunk by chunk.

        Args:
            score: A function of class scores (n, b, k) that returns scores (n, b).
            variants: Returns the variants of given indices.
            n: Number of variants.
            rule: Name of another backward rule for ReLUs, "guided" or "deconvolution"; None for the ordinary gradient.

        Yields:
            Indices of the variants (chunk,), their scores (chunk, b), and the gradients (chunk, b, c, *grid).

        Raises:
            MethodError: If `rule` is given and the network has no ReLU.
        """
        self._check_repetition(n)
        for indices in self._chunks(n, GRAPH_MEMORY_FACTOR):
            with torch.inference_mode(False), torch.enable_grad():
                images = variants(indices).detach().to(self.inputs.dtype).requires_grad_()
                scores = score(self._scores(images)) if rule is None else self._scores_with_rule(rule, score, images)
                (gradient,) = torch.autograd.grad(scores.sum(), images)
            add_cost(len(indices) * len(self.inputs) * FORWARDS_WITH_GRADIENT)
            self._report_progress(indices, n)
            yield indices, scores.detach(), gradient.to(torch.promote_types(gradient.dtype, torch.float32))

    def _report_progress(self, indices: Tensor, n: int) -> None:
        if len(indices) < n:
            self.progress(int(indices[-1]) + 1, n)

    def _scores_with_rule(self, rule: ReluRuleName, score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with ReluRule(rule) as relu_mode:
            scores = score(self._scores(images))
        if not relu_mode.count:
            raise MethodError(
                f"{rule} backpropagation changes the backward pass of ReLUs, and {type(self.copy.module).__name__} has "
                "none. Use gradient or integrated_gradients."
            )
        return scores

    def _scores(self, images: Tensor) -> Tensor:
        return self._scores_of(unfolded(self.network, self.read), images)

    def _scores_of(self, forward: FoldedNetwork, images: Tensor) -> Tensor:
        """Return the class scores (n, b, k) of inputs (n, b, c, *grid)."""
        scores = forward(self.axes.from_grid(images.to(self.inputs.dtype)).flatten(0, 1))
        return scores.reshape(*images.shape[:2], -1)

    def _network_for(self, variants: Variants, n: int) -> FoldedNetwork:
        """Return the network for `n` runs on variants.

        Where the runs are many, this is a folded network, verified on three inputs.
        """
        precision = self.run_options.precision
        if precision == "bf16" and self.inputs.dtype == torch.float64:
            raise MethodError("precision='bf16' requires a network in float32, and this one runs in float64.")
        if not has_layers(self.copy.module):
            if precision == "bf16":
                raise MethodError(
                    f"precision='bf16' rounds the weights of a network, and the model is "
                    f"{described(self.copy.module)}, "
                    "whose weights cannot be accessed. Use precision='exact'."
                )
            return unfolded(self.network, self.read)
        if n * len(self.inputs) < MIN_RUNS_TO_FOLD:
            return replace(unfolded(self.network, self.read), precision=precision)
        first_and_last = self.axes.from_grid(variants(torch.tensor([0, n - 1]))[:, 0].to(self.inputs.dtype))
        probes = torch.cat([self.inputs[:1], first_and_last])
        add_cost(2 * len(probes))
        return replace(folded(self.of_image(0).network, self.read, probes, precision), network=self.network)

    def _check_repetition(self, n: int) -> None:
        """Check once per shape that the network returns the same scores when all its inputs are repeated.

        Raises:
            MethodError: It does not, so an input whose first axis has the size of the batch does not belong to images.
        """
        if self.held is None or n == 1 or not self.held.other_tensors:
            return
        shapes = tuple((tuple(t.shape), t.dtype) for _, t in nested.tensors(self.held))
        key = ("repetition", held_values(self.held), shapes)
        if key not in self.copy.notes:
            with torch.inference_mode(False), torch.no_grad():
                once = self.read(self.network(self.inputs.clone()))
                try:
                    twice = self.read(self.network(self.inputs.repeat(2, *[1] * (self.inputs.ndim - 1))))
                except Exception as error:  # networks raise errors of any type on inputs that do not fit
                    raise MethodError(self._not_repeated(f"{type(error).__name__}: {error}")) from error
            add_cost(3 * len(self.inputs))
            difference = (
                float((twice - torch.cat([once, once])).abs().max()) if len(twice) == 2 * len(once) else float("nan")
            )
            self.copy.notes[key] = difference <= MAX_REPETITION_ERROR * max(1e-6, float(once.abs().max()))
        if not self.copy.notes[key]:
            raise MethodError(self._not_repeated("it returns other scores"))

    def _not_repeated(self, found: str) -> str:
        names = ", ".join(name for name in self.held or () if self.held is not None and name != self.held.image)
        return (
            f"this method runs {type(self.copy.module).__name__} on several images at once, with the other inputs "
            f"({names}) repeated along their first axis, and there {' '.join(found.split())[:200]}. Give every other "
            "input a batch axis, first, or choose a method that needs one run only, such as gradient or grad_cam."
        )

    def _chunks(self, n: int, memory_factor: int) -> list[Tensor]:
        """Return the indices of all variants, split into chunks that fit the memory limit."""
        batch_size = self.run_options.batch_size
        if batch_size is None:
            max_images = MAX_IMAGES_GPU if self.inputs.is_cuda else MAX_IMAGES_CPU
            batch_size = min(max_images, MAX_BYTES // (memory_factor * max(1, self.inputs[0].nbytes)))
        return list(torch.split(torch.arange(n), max(1, batch_size // len(self.inputs))))
