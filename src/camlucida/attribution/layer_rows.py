"""The rows of an architecture summary: one per module call, with its shape, sizes and grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import nn

from camlucida.engine import Layer
from camlucida.engine.call_profile import CallProfile, ModuleCall

GeometrySource: TypeAlias = Literal["convolution", "measured", "not verified", "contradicted"]

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@dataclass(frozen=True)
class LayerSummary:
    """One call of one module in a forward pass.

    Attributes:
        name: Name of the module as in `named_modules()`, with "#2" and so on if it is called several times; accepted as
            `layer=`.
        type: Class name of the module.
        output_shape: Shape of the output's main tensor, without the batch axis.
        output_bytes: Size of that tensor in bytes, for one image.
        n_parameters: Number of parameters of the module, including its children.
        n_trainable_parameters: Number of those with `requires_grad`.
        n_cumulative_parameters: Number of parameters of all modules called so far; shared ones count once.
        grid: (h, w) of the spatial grid that explanations use; None if the output has none that can be used.
        geometry: How it is known that positions of the output lie in the image as in a grid. "convolution": a chain of
            convolutions and pooling layers from the input made the grid. "measured": a patch of noise that moves over
            the image moves the response with it. "not verified": all positions respond alike, so nothing can be said.
            "contradicted": the response moves elsewhere. None for an output without a grid.
        correlation: Pearson correlation of the position of the response with that of the patch, if measured, else None.
        is_convolution: Whether the module is a convolution or a transposed one.
        is_recommended: Whether the layer is suitable for explanations: a stage or block.
        is_default: Whether it is the default layer.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    output_bytes: int
    n_parameters: int
    n_trainable_parameters: int
    n_cumulative_parameters: int
    grid: tuple[int, ...] | None
    geometry: GeometrySource | None
    correlation: float | None
    is_convolution: bool
    is_recommended: bool
    is_default: bool


def layer_rows(
    profile: CallProfile, network: nn.Module, recommended: Sequence[Layer], default: Layer | None
) -> Iterator[LayerSummary]:
    """Yield the row of every module call with a tensor as output, in the order in which the calls finished.

    Args:
        profile: The calls of the network's copy.
        network: The user's network, whose parameters may require a gradient.
        recommended: The layers that are suitable for explanations.
        default: The default layer; None without one.
    """
    chosen = {(layer.module, layer.call) for layer in recommended}
    originals = dict(network.named_modules(remove_duplicate=False))
    n_cumulative, seen = 0, set[nn.Module]()
    for call in profile.module_calls:
        new = set(call.module.modules()) - seen
        seen |= new
        n_cumulative += sum(p.numel() for module in new for p in module.parameters(recurse=False))
        if call.shape is None or not call.name:
            continue
        # The parameters of the copy never require a gradient.
        trainable = [p for p in originals[call.name].parameters() if p.requires_grad] if call.name in originals else []
        check = profile.checks.get(call.position)
        yield LayerSummary(
            name=call.name if profile.n_calls(call.module) == 1 else f"{call.name}#{call.call}",
            type=type(call.module).__name__,
            output_shape=call.shape[1:],
            output_bytes=call.nbytes,
            n_parameters=call.n_parameters,
            n_trainable_parameters=sum(p.numel() for p in trainable),
            n_cumulative_parameters=n_cumulative,
            grid=call.layout.full_grid if call.layout else None,
            geometry=_geometry(profile, call),
            correlation=None if check is None or math.isnan(check.correlation) else check.correlation,
            is_convolution=isinstance(call.module, _CONVOLUTIONS),
            is_recommended=(call.module, call.call) in chosen,
            is_default=default is not None and (call.module, call.call) == (default.module, default.call),
        )


def _geometry(profile: CallProfile, call: ModuleCall) -> GeometrySource | None:
    check = profile.checks.get(call.position)
    if check is None:
        return "convolution" if call.layout is not None and not call.needs_check else None
    names: dict[str, GeometrySource] = {"verified": "measured", "contradicted": "contradicted"}
    return names.get(check.outcome, "not verified")
