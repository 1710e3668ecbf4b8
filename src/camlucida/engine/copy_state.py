"""The state of a network's copy: writes of a forward pass are undone, so that every run starts from the caller's state.

A network may keep and read counters, running statistics or a list of past outputs. Modified tensors are replaced, not
overwritten, since the graph of an earlier run may still need the modified one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine.container_slots import CountSlot, ModuleSlot, slots_of
from camlucida.engine.tensor_snapshot import TensorSnapshot


class CopyState:
    """Snapshot of what the containers and tensors of a copy hold.

    Args:
        containers: Modules, objects, dicts, lists, sets, cells, arrays and generators of the copy.
        tensors: Its parameters, buffers and loose tensors. Of parameters, which belong to the caller, only the memory
            address is recorded.

    Attributes:
        tensors: Buffers and loose tensors, which belong to the copy and may be written to.
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
        """Return whether a run has modified the copy since the snapshot."""
        moved = any(p.data_ptr() != alias.data_ptr() for p, alias in self._parameters)
        return moved or any(slot.changed for slot in self._slots) or self._tensors_changed

    @property
    def likely_changed(self) -> bool:
        """Return whether a run has modified the copy, by a faster check.

        Tensors and PyTorch's own layers, which write to nothing in eval mode, are not compared.
        """
        return any(slot.changed for slot in self._likely)

    @property
    def _tensors_changed(self) -> bool:
        return self._snapshot.comparable and not self._snapshot.same(self.tensors)

    def restore(self) -> None:
        """Restore everything that was modified since the snapshot."""
        for parameter, alias in self._parameters:
            if parameter.data_ptr() != alias.data_ptr():  # its `.data` was reassigned
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
        """Return unmodified replacements of the tensors that were modified, by the ids of the latter."""
        fresh: dict[int, Any] = {}
        within = {number for slot in self._slots for number in slot.ids}
        with torch.inference_mode(False), torch.no_grad():
            for i, (tensor, content) in enumerate(zip(self.tensors, self._contents, strict=True)):
                if TensorSnapshot([content]).same([tensor]):
                    continue
                if id(tensor) not in within and tensor.shape == content.shape:  # held by a tuple, for example
                    tensor.copy_(content)
                    continue
                fresh[id(tensor)] = self.tensors[i] = content.clone()
                self.tensors[i].__dict__.update(tensor.__dict__)
        return fresh
