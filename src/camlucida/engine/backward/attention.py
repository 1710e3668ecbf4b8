"""Attention of a transformer: its weights in the order of the blocks, and their gradients.

`AttentionWeights` collects the weights of all attentions while the network runs. Which of them are the blocks of an
encoder, an attention pooling or a decoder, and how the tokens map to the image, is found here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.backward.attention_weights import AttentionWeights
from camlucida.engine.backward.sampled_attention import SampledBlocks, Sampling, contradiction, find_blocks
from camlucida.engine.batch_axes import n_images
from camlucida.engine.call_profile import ModuleCall
from camlucida.engine.geometry import check_layouts
from camlucida.engine.grid_checks import check_grids
from camlucida.engine.image_axes import image_size
from camlucida.engine.image_dependence import differ, variants_of_image
from camlucida.engine.module_calls import profile_calls
from camlucida.engine.named_inputs import NamedInputs, call_network
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.trace import at_least_float32, trace
from camlucida.errors import MethodError
from camlucida.types import Attention, SampledAttention

N_VERIFIED = 6
"""Number of layers whose geometry is measured to find the patches: the first may be embeddings without an image."""


@dataclass(frozen=True)
class AttentionTrace:
    """One run of a network with its attention weights.

    Attributes:
        attention: The attention weights of all blocks, and how the tokens map to the image.
    """

    attention: Attention
    _output: Any
    _weights: Sequence[Tensor] = field(repr=False)
    _samplings: Mapping[int, Sequence[Sampling]] = field(default_factory=dict, repr=False)

    def gradients(self, score: Callable[[Any], Tensor]) -> tuple[Tensor, ...]:
        """Compute the gradient of a score at the attention weights of every block.

        Args:
            score: A function of the network's output that returns scores (b,).

        Returns:
            For every block the gradient, (b, heads, t, t), and last that of an attention pooling, (b, heads, q, t), or
            those of a decoder, (b, heads, q, q) and (b, heads, q, t) per block; 0 where the score does not depend on
            the weights. For attention to sampled points, see `AttentionGradients`.

        Raises:
            MethodError: The recorded weights are not those of the sampled points.
        """
        with torch.enable_grad():
            value = score(self._output).sum()
        if self.attention.sampled is not None:
            return self._gradients_of_sampled(value, self.attention.sampled)
        pooling = self.attention.pooling
        of_decoder = [weights for pair in self.attention.decoder for weights in pair]
        all_weights = (*self.attention.weights, *of_decoder, *(() if pooling is None else (pooling,)))
        shapes = [weights.shape for weights in all_weights]
        if not value.requires_grad:
            return tuple(torch.zeros_like(weights) for weights in all_weights)
        weight_gradients = torch.autograd.grad(value, self._weights, retain_graph=True, materialize_grads=True)
        return tuple(at_least_float32(g).reshape(shape) for g, shape in zip(weight_gradients, shapes, strict=True))

    def _gradients_of_sampled(self, value: Tensor, sampled: SampledAttention) -> tuple[Tensor, ...]:
        decoder = [weights for own, crossing in sampled.decoder for weights in (own, crossing.weights)]
        all_weights = (*(attended.weights for attended in sampled.encoder), *decoder)
        if not value.requires_grad:
            return tuple(torch.zeros_like(weights) for weights in all_weights)
        for samplings in self._samplings.values():
            for sampling in samplings:
                sampling.contributions = None
        # Those of the first block are on no path to other weights, where their gradients would be noted as well.
        first = [sampling.samples for sampling in self._samplings[min(self._samplings)]]
        gradients = torch.autograd.grad(value, (*self._weights, *first), retain_graph=True, materialize_grads=True)
        gradients = gradients[: len(self._weights)]
        for index, samplings in self._samplings.items():
            if reason := contradiction(self._weights[index], gradients[index], samplings):
                raise MethodError(f"this method cannot be used: {reason}. Use grad_cam or hires_cam instead.")
        ordered = (g.transpose(1, 2) if i in self._samplings else g for i, g in enumerate(gradients))
        return tuple(at_least_float32(g).reshape(w.shape) for g, w in zip(ordered, all_weights, strict=True))


def trace_attention(copy: NetworkCopy, inputs: Any, read: Callable[[Any], Tensor]) -> AttentionTrace:
    """Run the network once and record its attention weights.

    The graph begins at the first attention and includes no parameters.

    Args:
        copy: The network copy.
        inputs: Network inputs.
        read: Extracts the class scores (b, k) from the network's output.

    Raises:
        MethodError: Unless every attention is computed between all tokens of the image, and these are the same in every
            block. After the last block, queries that are no tokens may attend to all of them (attention pooling), or a
            decoder may follow, in every block of which queries attend to each other, and then to all tokens (DETR).
    """
    with AttentionWeights() as mode:
        output = trace(copy, inputs, [], gradients=True).output
    if samplings := mode.sampled():
        return _trace_sampled(copy, inputs, read, output, mode.attention_weights, samplings)
    images, recorded = n_images(inputs), _dependent_weights(copy, inputs, mode.attention_weights)
    if isinstance(inputs, NamedInputs) and inputs.other_tensors:
        recorded = _image_tower(recorded)
        while len(recorded) > 1 and _token_weights(recorded[-1], read, output) is None:
            recorded = recorded[:-1]  # LLaVA reads the tokens before the last block
    shapes = [tuple(weights.shape) for weights in recorded]
    is_pooled = _ends_in_pooling(shapes, images)
    start = _decoder_start(recorded, images)
    n_blocks = start or len(shapes) - is_pooled
    if any(weights.is_leaf for i, weights in enumerate(recorded) if i not in (0, start)):
        raise _unsupported_error(copy, "one of its attentions does not depend on those before it")
    if reason := _incompatibility(shapes[:n_blocks], images):
        raise _unsupported_error(copy, reason)
    n_tokens = recorded[0].shape[-1]
    grid, prefix = _patch_grid(copy, inputs, n_tokens)
    weights = tuple(at_least_float32(w.detach()).reshape(images, -1, *w.shape[-2:]) for w in recorded)
    blocks, pooling = weights[:n_blocks], weights[-1] if is_pooled else None
    of_decoder = () if is_pooled else weights[n_blocks:]
    token_weights = _token_weights(recorded[-1], read, output)
    if token_weights is None:
        raise _unsupported_error(
            copy, "its scores do not depend on the last attention (are the last layer's weights zero?)"
        )
    return AttentionTrace(
        Attention(
            blocks,
            token_weights.to(weights[-1]),
            prefix,
            grid,
            image_size(copy, inputs),
            pooling,
            tuple(zip(of_decoder[::2], of_decoder[1::2], strict=True)),
        ),
        output,
        recorded,
    )


def _trace_sampled(
    copy: NetworkCopy,
    inputs: Any,
    read: Callable[[Any], Tensor],
    output: Any,
    recorded: Sequence[Tensor],
    samplings: Mapping[int, Sequence[Sampling]],
) -> AttentionTrace:
    """Return the trace of a network whose queries sample points of the tokens, see `trace_attention`."""
    if isinstance(inputs, NamedInputs) and inputs.other_tensors:
        raise _unsupported_error(copy, "it samples points of its tokens, and takes several inputs")
    images = n_images(inputs)
    blocks = find_blocks(recorded, samplings, images)
    if not isinstance(blocks, SampledBlocks):
        raise _unsupported_error(copy, blocks)
    first = blocks.indices[0] if blocks.encoder else blocks.decoder[0][1]

    def grids(variant: Any) -> list[Tensor]:
        with AttentionWeights() as mode:
            call_network(copy.module, variant)
        n = len(mode.attention_weights[first])
        return [s.values.reshape(n, -1, *s.values.shape[2:]) for s in mode.samplings.get(first, [])]

    if contradicted := check_grids(copy, inputs, grids, blocks.grids):
        raise _unsupported_error(copy, contradicted)
    token_weights = _token_weights(recorded[blocks.indices[-1]], read, output, is_sampled=True)
    if token_weights is None:
        raise _unsupported_error(copy, "its scores do not depend on the last attention")
    sampled = blocks.attention(recorded, samplings, images)
    contributions = token_weights.to(sampled.decoder[-1][0])
    return AttentionTrace(
        Attention((), contributions, 0, blocks.grids[0], image_size(copy, inputs), sampled=sampled),
        output,
        [recorded[index] for index in blocks.indices],
        {position: samplings[index] for position, index in enumerate(blocks.indices) if index in samplings},
    )


def _ends_in_pooling(shapes: Sequence[tuple[int, ...]], images: int) -> bool:
    """Return whether other queries than the tokens attend to all tokens in the last attention."""
    if len(shapes) < 2 or _incompatibility(shapes[:-1], images):
        return False
    last, n_tokens = shapes[-1], shapes[0][-1]
    per_image = last[0] == images if len(last) == 4 else len(last) == 3 and last[0] % images == 0
    return per_image and last[-1] == n_tokens != last[-2]


def _decoder_start(recorded: Sequence[Tensor], images: int) -> int:
    """Return the index of the first attention of a decoder: pairs of queries × queries and queries × tokens.

    The shapes show it, unless there are as many queries as tokens. But learned queries do not depend on the image
    before they attend to its tokens: their first attention begins a graph of its own.

    Returns:
        The index; 0 without a decoder.
    """
    shapes = [tuple(weights.shape) for weights in recorded]
    start = next(
        (i for i in range(1, len(shapes)) if recorded[i].is_leaf or shapes[i][-2:] != shapes[0][-2:]), len(shapes)
    )
    decoder = shapes[start:]
    if not decoder or len(decoder) % 2:
        return 0
    if any(shape[0] != images if len(shape) == 4 else shape[0] % images or len(shape) != 3 for shape in decoder):
        return 0
    queries, tokens = decoder[0][-1], shapes[0][-1]
    expected = [(queries, queries), (queries, tokens)] * (len(decoder) // 2)
    return start if [shape[-2:] for shape in decoder] == expected else 0


def _dependent_weights(copy: NetworkCopy, inputs: Any, attention_weights: list[Tensor]) -> list[Tensor]:
    """Return the attention weights that depend on the explained image, where a network takes several inputs."""
    if not isinstance(inputs, NamedInputs) or not inputs.other_tensors:
        return attention_weights
    runs = []
    with torch.inference_mode(False), torch.no_grad():
        for variant in variants_of_image(inputs):
            with AttentionWeights() as mode:
                call_network(copy.module, variant)
            runs.append([weights.detach() for weights in mode.attention_weights])
    if any(len(run) != len(attention_weights) for run in runs):
        raise _unsupported_error(copy, "the number of its attentions depends on the image")
    return [kept for kept, *weights in zip(attention_weights, *runs, strict=True) if differ(weights)]


def _image_tower(recorded: list[Tensor]) -> list[Tensor]:
    """Return the attention weights between the tokens of the image, where a decoder of text follows.

    The image is encoded first, by attentions between equally many tokens. Those of a decoder are between the tokens of
    the text, from the text to the image, or between the tokens of both. All weights are returned if they are equally
    many tokens, or if the network does not begin with the attention of a tower.
    """
    sizes = [tuple(weights.shape[-2:]) for weights in recorded]
    if not sizes or sizes[0][0] != sizes[0][1] or sizes[0][0] == 1:
        return recorded
    n_tower = next((i for i, size in enumerate(sizes) if size != sizes[0]), len(sizes))
    is_text = all(size[1] != sizes[0][1] or size[0] != size[1] for size in sizes[n_tower:])
    return recorded[:n_tower] if is_text else recorded


def _incompatibility(shapes: Sequence[tuple[int, ...]], images: int) -> str:
    """Return why tokens cannot be followed from block to block; empty where they can be."""
    if not shapes:
        return "it has no attention at all"
    for shape in shapes:
        if shape[0] % images or (len(shape) == 4 and shape[0] != images) or len(shape) > 4:
            return f"it attends within windows: weights {_format_shape(shape)} for {images} image{'s'[: images > 1]}"
        if shape[-1] != shape[-2]:
            return f"{shape[-2]} of its tokens attend to {shape[-1]} others"
    counts = list(dict.fromkeys(shape[-1] for shape in shapes))
    return "" if len(counts) == 1 else f"its blocks have {', '.join(map(str, counts))} tokens, not the same number"


def _format_shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _unsupported_error(copy: NetworkCopy, why: str) -> MethodError:
    return MethodError(
        "this method follows the attention between all tokens of the image from block to block, and "
        f"{type(copy.module).__name__} is not supported: {why}. "
        "Use grad_cam, hires_cam or layer_cam at its layers instead."
    )


def _has_other_tokens(module_call: ModuleCall, n_tokens: int) -> bool:
    """Return whether a call returned all tokens, and more than the patches."""
    layout, shape = module_call.layout, module_call.shape or ()
    return (
        layout is not None
        and layout.kind in ("tokens", "tokens_first")
        and layout.prefix > 0
        and (n_tokens in shape[:2])
    )


def _patch_grid(copy: NetworkCopy, inputs: Any, n_tokens: int) -> tuple[tuple[int, ...], int]:
    """Return the grid of patches, and the number of tokens before them.

    Where other tokens exist, they may also come after the patches, as those of the boxes in YOLOS: the geometry of
    the first layers with all tokens is verified.
    """
    profile = profile_calls(copy, inputs)
    early = [c.position for c in profile.module_calls if _has_other_tokens(c, n_tokens)][:N_VERIFIED]
    check_layouts(copy, inputs, profile, early)
    for position in early:
        check, layout = profile.checks.get(position), profile.module_calls[position].layout
        if check is not None and check.outcome == "verified" and layout is not None:
            return layout.grid, layout.prefix
    for module_call in reversed(profile.module_calls):
        layout = module_call.layout
        if (
            layout
            and layout.kind in ("tokens", "tokens_first")
            and module_call.shape
            and n_tokens in module_call.shape[:2]
        ):
            return layout.grid, layout.prefix
        if layout and math.prod(layout.grid) == n_tokens:
            return layout.grid, 0
    raise _unsupported_error(copy, f"it attends to {n_tokens} tokens that are not positions of the image")


def _token_weights(
    last: Tensor, read: Callable[[Any], Tensor], output: Any, *, is_sampled: bool = False
) -> Tensor | None:
    """Return the contribution to the scores of each token, (t,), or of each query of an attention pooling, (q,).

    It is uniform over those used after the last attention. A row of the attention weights that is not used has no
    gradient, which is tested with a random mixture of all classes.
    """
    with torch.enable_grad():
        scores = read(output)
        mixture = torch.randn(scores.shape[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(
            scores
        )
        value = (scores * mixture).sum()
    if not value.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(value, last, retain_graph=True, materialize_grads=True)
    if is_sampled:  # (b, q, heads, n)
        gradient = gradient.transpose(1, 2)
    is_read = (gradient != 0).any(-1).flatten(0, -2).any(0)
    return is_read / is_read.sum() if bool(is_read.any()) else None
