"""The `camlucida layers` command."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from camlucida.cli.options import Arch, Device, Probabilities, Size, TaskOption, TrustCode, preprocessing_options
from camlucida.cli.terminal import Terminal
from camlucida.errors import ModelError, TargetError

if TYPE_CHECKING:
    from torch import Tensor

    from camlucida.attribution.output_reader import OutputReader
    from camlucida.engine import NetworkCopy
    from camlucida.models.model import Model


def layers(
    model: str = "resnet50",
    /,
    *,
    arch: Arch = None,
    trust_code: TrustCode = False,
    task: TaskOption = None,
    probabilities: Probabilities = None,
    device: Device = "auto",
    size: Size = None,
    depth: int = 0,
) -> None:
    """List the layers of a network with their output shapes and costs. Downloads no weights.

    Layers with ● are recommended for --layer, from edges to objects; ★ is the default layer.

    Parameters
    ----------
    model
        A name (resnet50, timm:…, toybox), a checkpoint, the folder of a training run, or python:module:function; see
        `camlucida models`.
    depth
        List only layers whose names have at most this many parts, as layer4.0.conv1 has three; 0 lists all.
    """
    from camlucida.models.load import load

    loaded = load(
        model,
        arch=arch,
        trust_code=trust_code,
        pretrained=False,
        device=device,
        task=task,
        probabilities=probabilities,
        **preprocessing_options(size, fit=None),
    )
    _print_summary(Terminal(width=None if sys.stdout.isatty() else 140), loaded, depth)


def _print_summary(console: Terminal, model: Model, depth: int) -> None:
    import torch

    from camlucida.attribution.error_context import describe_network_error, raised_by_network
    from camlucida.attribution.outputs import to_network
    from camlucida.engine import candidates, copy_of, profile_calls
    from camlucida.engine.layers import Layer

    height, width = model.preprocessing.size
    inputs = to_network(model.network, torch.zeros(1, len(model.preprocessing.mean), height, width))
    copy = copy_of(model.network)
    try:
        profile = profile_calls(copy, inputs)
        read, output_text = _output_of(model, copy, inputs)
        recommended: list[Layer] = candidates(copy, inputs, read)
    except Exception as error:
        if not raised_by_network(error):
            raise
        raise ModelError(f"{describe_network_error(error, model, (height, width))} ({model.name})") from error
    marks = {layer.module: "●" for layer in recommended} | ({recommended[-1].module: "★"} if recommended else {})

    table = Table(title=f"{escape(model.name)} · {_shape(inputs.shape[1:])} input", title_justify="left", box=None)
    for name in ("", "layer", "type", "output"):
        table.add_column(name, overflow="fold")
    for name in ("parameters", "running total", "output (MB)"):
        table.add_column(name, justify="right", no_wrap=True)
    total, activation_bytes = 0, 0
    seen: set[torch.nn.Module] = set()
    for call in profile.module_calls:
        new = set(call.module.modules()) - seen
        seen |= new
        n_parameters = sum(p.numel() for module in new for p in module.parameters(recurse=False))
        total += n_parameters
        if call.shape is None:
            continue
        size_mb = 4 * math.prod(call.shape) / 2**20
        activation_bytes += 4 * math.prod(call.shape) if call.is_leaf else 0
        if not call.name or (depth and len(call.name.split(".")) > depth):
            continue
        name = call.name if profile.n_calls(call.module) == 1 else f"{call.name}#{call.call}"
        table.add_row(
            marks.get(call.module, "") if call.call == profile.n_calls(call.module) else "",
            escape(name),
            type(call.module).__name__,
            _shape(call.shape[1:]),
            f"{call.n_parameters:,}" if call.n_parameters else "",
            f"{total:,}",
            f"{size_mb:.2f}",
        )
    console.print(table)
    weights = sum(p.numel() * p.element_size() for p in model.network.parameters()) / 2**20
    trainable = sum(p.numel() for p in model.network.parameters() if p.requires_grad)
    parameters = sum(p.numel() for p in model.network.parameters())
    console.print(
        f"{parameters:,} parameters ({trainable:,} trainable), weights {weights:.1f} MB, "
        f"input {4 * inputs.numel() / 2**20:.2f} MB, all layers' outputs {activation_bytes / 2**20:.1f} MB per image.",
        highlight=False,
    )
    console.print_line(f"Output: {output_text}")
    if recommended:
        names = ", ".join(layer.name for layer in recommended)
        console.print(f"Recommended (●): {names}. Default (★): {recommended[-1].name}.", highlight=False)


def _output_of(model: Model, copy: NetworkCopy, inputs: Tensor) -> tuple[OutputReader | None, str]:
    """Return the reader of the class scores, and how they become probabilities; or None, and why there are none."""
    from camlucida.attribution.output_reader import output_reader

    try:
        read = output_reader(model, copy, inputs)
    except TargetError as error:
        return None, str(error)
    return read, f"{read.activation.describe()}."


def _shape(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))
