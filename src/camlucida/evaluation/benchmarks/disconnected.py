"""A network whose outputs each depend on one cell of a mosaic: attribution to other cells is wrong.

Rao, Böhle, Schiele: Towards Better Understanding Attribution Methods, CVPR 2022, sec. 3.1 (DiFull, DiPart).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.attribution.output_reader import output_reader
from camlucida.attribution.read_scores import OutputReader
from camlucida.engine import LayerSpec, copy_of, profile_calls, resolve
from camlucida.engine.final_activation import ActivationRecorder
from camlucida.engine.network_copy import duplicate
from camlucida.errors import ModelError
from camlucida.layer_names import layer_names
from camlucida.models.model import Model

Variant: TypeAlias = Literal["full", "part"]


def tiles(x: Tensor, n: int) -> Tensor:
    """Cut inputs `(b, c, n h, n w)` into n x n tiles `(b n n, c, h, w)`, row by row."""
    b, c, height, width = x.shape
    cut = x.reshape(b, c, n, height // n, n, width // n)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def join_tiles(x: Tensor, n: int) -> Tensor:
    """Join tiles `(b n n, c, h, w)` into `(b, c, n h, n w)`; the inverse of `tiles`."""
    _, c, h, w = x.shape
    arranged = x.reshape(-1, n, n, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return arranged.reshape(-1, c, n * h, n * w)


class CutLayer(nn.Module):
    """A layer whose output is joined across cells, exposed as the submodule `grid`, and cut again for later layers.

    Args:
        layer: The original layer.
        n: Cells per side.
        apart: Whether the input is already cut into tiles.
    """

    def __init__(self, layer: nn.Module, n: int, *, apart: bool) -> None:
        super().__init__()
        self.layer, self.grid = layer, nn.Identity()
        self.n, self.apart = n, apart

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer, join its output across cells, and cut it into tiles again."""
        output = self.layer(x)
        return tiles(self.grid(join_tiles(output, self.n) if self.apart else output), self.n)


class Disconnected(nn.Module):
    """n x n copies of a network side by side, each on its own cell; output `cell * k + class`, cells row by row.

    Args:
        network: The network, with a `CutLayer` at the layer where maps are computed.
        n: Cells per side.
        read: Reads the class scores from the network's output, with its last activation undone.
        apart: True for DiFull, where no activation depends on two cells. False for DiPart, where layers before the cut
            process the whole mosaic.
    """

    def __init__(self, network: nn.Module, n: int, read: OutputReader, *, apart: bool) -> None:
        super().__init__()
        self.network, self.n, self.apart = network, n, apart
        self._read = read

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores `(b, n n k)` of inputs `(b, c, n h, n w)`."""
        with ActivationRecorder() if self._read.final else nullcontext() as recorder:
            output = self.network(tiles(x, self.n) if self.apart else x)
        if recorder is not None:
            recorder.attach(output)
        scores = self._read(output)
        return scores.reshape(-1, self.n**2 * scores.shape[1])


def disconnected(model: Model, n: int = 2, *, variant: Variant = "full", layer: LayerSpec = None) -> Model:
    """Return a model that applies the network to mosaics of n x n cells, each of the size of its own input.

    Args:
        model: The model.
        n: Cells per side.
        variant: "full": cells never interact (DiFull). "part": cells interact up to the layer, but not after it
            (DiPart).
        layer: The layer at which cells are joined, and the default layer for maps; None for the model's default layer.

    Raises:
        ModelError: If the layer runs several times, or does not return a feature map `(b, c, h, w)`.
    """
    height, width = model.preprocessing.size
    copy, inputs = copy_of(model.network), torch.zeros(1, len(model.preprocessing.mean), height, width)
    parameter = next(model.network.parameters(), inputs)
    inputs = inputs.to(parameter)
    read = output_reader(model, copy, inputs)
    resolved_layer = resolve(copy, inputs, [model.layer if layer is None else layer_names(model.network, layer)], read)[
        0
    ]
    if resolved_layer.n_calls > 1 or resolved_layer.key is not None:
        raise ModelError(
            f"{resolved_layer.label} runs several times, or returns several outputs: choose another layer."
        )
    call = profile_calls(copy, inputs).last_call(resolved_layer.module)
    if call is None or call.shape is None or len(call.shape) != 4:
        raise ModelError(
            f"a network is divided into cells at a layer with a feature map (b, c, h, w); the output of "
            f"{resolved_layer.label} has shape {None if call is None else call.shape}. Choose another layer, or a "
            "convolutional network."
        )
    duplicated = duplicate(model.network)
    parent, _, leaf = resolved_layer.name.rpartition(".")
    apart = variant == "full"
    setattr(
        duplicated.get_submodule(parent), leaf, CutLayer(duplicated.get_submodule(resolved_layer.name), n, apart=apart)
    )
    network = Disconnected(duplicated, n, read, apart=apart).eval()
    n_classes = profile_calls(copy, inputs).n_outputs or len(model.labels)
    classes = model.labels or tuple(f"class {k}" for k in range(n_classes))
    return replace(
        model,
        network=network,
        preprocessing=replace(model.preprocessing, size=(n * height, n * width), resize=None, fit="squash"),
        labels=tuple(f"cell {cell + 1}: {name}" for cell in range(n**2) for name in classes),
        layer=f"network.{resolved_layer.name}.grid",
        output=None,
        task=None if read.activation.task is None or read.activation.is_exclusive else "multilabel",
        probabilities=read.activation.is_probability,
        spec=f"{model.name} in {n} x {n} cells ({'DiFull' if apart else 'DiPart'})",
    )
