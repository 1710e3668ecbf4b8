"""A network whose outputs see one cell of a picture each: whatever a map shows outside of it is wrong.

Rao, Böhle, Schiele: Towards Better Understanding Attribution Methods, CVPR 2022, sec. 3.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.attribution.outputs import class_scores
from camlucida.engine import LayerSpec, copy_of, profile_calls, resolve
from camlucida.engine.network_copy import duplicate
from camlucida.errors import ModelError
from camlucida.models.model import Model, Output

Variant: TypeAlias = Literal["full", "part"]


def tiles(x: Tensor, n: int) -> Tensor:
    """(b, c, n h, n w) cut into n x n: (b n n, c, h, w), row by row."""
    b, c, height, width = x.shape
    cut = x.reshape(b, c, n, height // n, n, width // n)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def join_tiles(x: Tensor, n: int) -> Tensor:
    """The way back: (b n n, c, h, w) -> (b, c, n h, n w)."""
    _, c, h, w = x.shape
    arranged = x.reshape(-1, n, n, c, h, w).permute(0, 3, 1, 4, 2, 5)
    return arranged.reshape(-1, c, n * h, n * w)


class CutLayer(nn.Module):
    """A layer whose grid is joined from the cells, shown whole as `grid`, and cut up again for what comes after.

    apart   whether what comes in is cut up already
    """

    def __init__(self, layer: nn.Module, n: int, *, apart: bool) -> None:
        super().__init__()
        self.layer, self.grid = layer, nn.Identity()
        self.n, self.apart = n, apart

    def forward(self, x: Tensor) -> Tensor:
        output = self.layer(x)
        return tiles(self.grid(join_tiles(output, self.n) if self.apart else output), self.n)


class Disconnected(nn.Module):
    """n x n copies of a network side by side, each on its own cell: output cell * k + class, cells row by row.

    network   with a `Cut` where maps are to be made
    apart     True for DiFull: nothing ever sees two cells. False for DiPart: what is before the cut sees all
    """

    def __init__(self, network: nn.Module, n: int, output: Output, *, apart: bool) -> None:
        super().__init__()
        self.network, self.n, self.apart = network, n, apart
        self._output = output

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, n h, n w) -> (b, n n k)."""
        scores = class_scores(self.network(tiles(x, self.n) if self.apart else x), self._output)
        return scores.reshape(-1, self.n**2 * scores.shape[1])


def disconnected(model: Model, n: int = 2, *, variant: Variant = "full", layer: LayerSpec = None) -> Model:
    """The same network on pictures of n x n cells, each as large as its own input.

    where   full: cells never meet (DiFull). part: they meet up to the layer, not after it (DiPart)
    layer   where the grid is joined, and where maps are made unless asked otherwise; the default layer if not given
    Raises `ModelError` where the network does not give out a grid there.
    """
    height, width = model.preprocessing.size
    copy, inputs = copy_of(model.network), torch.zeros(1, len(model.preprocessing.mean), height, width)
    parameter = next(model.network.parameters(), inputs)
    inputs = inputs.to(parameter)
    resolved_layer = resolve(copy, inputs, [model.layer if layer is None else layer])[0]
    if resolved_layer.n_calls > 1 or resolved_layer.key is not None:
        raise ModelError(
            f"{resolved_layer.label} runs several times, or gives out several things: name a layer that does not."
        )
    call = profile_calls(copy, inputs).last_call(resolved_layer.module)
    if call is None or call.shape is None or len(call.shape) != 4:
        raise ModelError(
            "a network is cut up at a layer that gives out channels on a grid, (b, c, h, w); "
            f"{resolved_layer.label} gives out "
            f"{None if call is None else call.shape}. Name another layer, or take a convolutional network."
        )
    duplicated = duplicate(model.network)
    parent, _, leaf = resolved_layer.name.rpartition(".")
    apart = variant == "full"
    setattr(
        duplicated.get_submodule(parent), leaf, CutLayer(duplicated.get_submodule(resolved_layer.name), n, apart=apart)
    )
    network = Disconnected(duplicated, n, model.output, apart=apart).eval()
    n_classes = profile_calls(copy, inputs).n_outputs or len(model.labels)
    classes = model.labels or tuple(f"class {k}" for k in range(n_classes))
    return replace(
        model,
        network=network,
        preprocessing=replace(model.preprocessing, size=(n * height, n * width), resize=None, fit="squash"),
        labels=tuple(f"cell {cell + 1}: {name}" for cell in range(n**2) for name in classes),
        layer=f"network.{resolved_layer.name}.grid",
        output=None,
        spec=f"{model.name} in {n} x {n} cells ({'DiFull' if apart else 'DiPart'})",
    )
