"""What one forward pass called: the module calls, with the shape and layout of what each of them returned."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from camlucida.engine.layer_checks import Influence, LayoutCheck, ScoreReader
from camlucida.engine.layout import Layout
from camlucida.engine.recording import get_tensor, tensor_path
from camlucida.errors import LayerError


@dataclass(frozen=True)
class ModuleCall:
    """One finished call of a module.

    Attributes:
        position: Index among all calls of the run, in the order in which they finished.
        name: Name of the module.
        call: Which call of the module this was, counted from 1.
        module: The module.
        shape: Shape of the output's main tensor; None if it holds none.
        layout: How that tensor maps to a spatial grid; None if it has none.
        same_output_as: Position of the call whose output this one returns unchanged (the last child of a Sequential).
        is_leaf: Whether no other module was called inside this call.
        nbytes: Size of the output's main tensor in bytes.
        needs_check: Whether the layout was inferred from the shape, so that `geometry` has to verify it before use.
            False where a chain of convolutions and pooling layers from the network input made the grid.
        depends_on_image: Whether the output depends on the image that is explained, where a network takes several
            inputs; if not, `layout` is None.
    """

    position: int
    name: str
    call: int
    module: nn.Module
    shape: tuple[int, ...] | None
    layout: Layout | None
    same_output_as: int | None
    is_leaf: bool
    nbytes: int
    needs_check: bool = False
    depends_on_image: bool = True

    @cached_property
    def n_parameters(self) -> int:
        """Return the number of parameters of the module, including its children."""
        return sum(p.numel() for p in self.module.parameters())


@dataclass(frozen=True)
class CallProfile:
    """All module calls of one run.

    Attributes:
        module_calls: The calls, in the order in which they finished. `geometry` replaces the layouts that it verified.
        grids: The grids (h, w) or (d, h, w) that the network's layers returned, in the order of their calls, without
            duplicates.
        n_outputs: Width of the network's output, usually the number of classes.
        influences: What is known of the influence of calls on the class scores, by the reader of the scores and the
            position of the call; filled by `influence.find_influence` for the calls that it tested.
        checks: Results of `geometry.check_layouts`, by the position of the call.
    """

    module_calls: list[ModuleCall]
    grids: tuple[tuple[int, ...], ...]
    n_outputs: int | None
    influences: dict[ScoreReader | None, dict[int, Influence]] = field(default_factory=dict, compare=False, repr=False)
    checks: dict[int, LayoutCheck] = field(default_factory=dict, compare=False, repr=False)

    def influences_on(self, read: ScoreReader | None) -> dict[int, Influence]:
        """Return the known influences on the class scores that `read` reads, by position."""
        return self.influences.setdefault(read, {})

    def last_call(self, module: nn.Module) -> ModuleCall | None:
        """Return the last call of a module that depends on the explained image, or None if there is none."""
        calls = reversed(self.module_calls)
        return next((e for e in calls if e.module is module and e.depends_on_image), None)

    def n_calls(self, module: nn.Module) -> int:
        """Return how often a module was called."""
        return sum(e.module is module for e in self.module_calls)

    def find_call(self, module: nn.Module, call: int) -> ModuleCall | None:
        """Return the call of a module with the given number, counted from 1, or None."""
        return next((e for e in self.module_calls if e.module is module and e.call == call), None)


def main_tensor(output: Any, key: str | None = None) -> Tensor | None:
    """Return the main tensor of a module's output, or its part `key`; None where there is no floating-point tensor."""
    try:
        return get_tensor(output, tensor_path(output, key))
    except LayerError:
        return None
