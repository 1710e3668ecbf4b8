"""The state of a network's copy: what a forward wrote to it is put back, so that every run starts as the caller's does.

A counter, running statistics, a list of past outputs: the network may keep and read them. Tensors are exchanged, not
written to, since the graph of an earlier run may still need the one that was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine.container_slots import CountSlot, ModuleSlot, slots_of
from camlucida.engine.tensor_snapshot import TensorSnapshot


class CopyState:
    """What the containers and tensors of a copy hold now.

    Args:
        containers: Modules, objects, dicts, lists, sets, cells, arrays and generators of the copy.
        tensors: Its parameters, buffers and loose tensors. Of parameters, which are the caller's, only where they lie.

    Attributes:
        tensors: Its buffers and loose tensors: the copy's own, to be written to.
    """

    def __init__(self, containers: Iterable[Any], tensors: Sequence[Tensor]) -> None:
        self.tensors = [t for t in tensors if not isinstance(t, nn.Parameter)]
        self._snapshot = TensorSnapshot(self.tensors)
        with torch.inference_mode(False), torch.no_grad():
            self._contents = [t.detach().clone() for t in self.tensors]
            self._parameters = [(p, p.detach()) for p in tensors if isinstance(p, nn.Parameter)]
        self._slots = [slot for container in containers for slot in slots_of(container)]
        self._likely = [s for s in self._slots if not (isinstance(s, ModuleSlot) and s.inside_torch)]

    @property
    def changed(self) -> bool:
        """Whether a run has written to the copy since."""
        moved = any(p.data_ptr() != alias.data_ptr() for p, alias in self._parameters)
        return moved or any(slot.changed for slot in self._slots) or self._tensors_changed

    @property
    def likely_changed(self) -> bool:
        """The same, without PyTorch's own layers, which write to nothing in eval mode, and without tensors."""
        return any(slot.changed for slot in self._likely)

    @property
    def _tensors_changed(self) -> bool:
        return self._snapshot.comparable and not self._snapshot.same(self.tensors)

    def restore(self) -> None:
        """Put back whatever was written to."""
        for parameter, alias in self._parameters:
            if parameter.data_ptr() != alias.data_ptr():  # something was assigned to its `.data`
                parameter.data = alias
        fresh = self._fresh_tensors() if self._tensors_changed else {}
        for slot in self._slots:
            if isinstance(slot, CountSlot) and slot.changed:
                slot.renew(fresh)
        for slot in self._slots:
            slot.exchange(fresh)
            if slot.changed:
                slot.write()

    def _fresh_tensors(self) -> dict[int, Any]:
        """Tensors that take the place of those that were written to, by the ids of these."""
        fresh: dict[int, Any] = {}
        within = {number for slot in self._slots for number in slot.ids}
        with torch.inference_mode(False), torch.no_grad():
            for i, (tensor, content) in enumerate(zip(self.tensors, self._contents, strict=True)):
                if TensorSnapshot([content]).same([tensor]):
                    continue
                if id(tensor) not in within and tensor.shape == content.shape:  # in a tuple, say
                    tensor.copy_(content)
                    continue
                fresh[id(tensor)] = self.tensors[i] = content.clone()
                self.tensors[i].__dict__.update(tensor.__dict__)
        return fresh
