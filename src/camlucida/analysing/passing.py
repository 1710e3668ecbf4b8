"""One pass of a model over a data set, part by part: interrupted, it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from camlucida.data.datasets import DataSet, Item, identity
from camlucida.data.images import load_image
from camlucida.error_context import fault_of_network, of_this, raised_by_network
from camlucida.errors import CamlucidaError
from camlucida.evaluation.run import outputs_of
from camlucida.evaluation.store import Row, Store
from camlucida.explaining import versions
from camlucida.model_input import Sight
from camlucida.models.model import Model
from camlucida.outputs import placed
from camlucida.targets import class_label
from camlucida.types import Geometry, ProgressCallback

PART = 16
"""Pictures in one part, which is also one batch: what an interruption loses at most."""

T = TypeVar("T")

COLUMNS = {
    "index": "int64",
    "picture": "string",
    "split": "string",
    "label": "string",
    "truth": "int64",
    "predicted": "int64",
    "said": "string",
    "correct": "bool",
    "confidence": "float64",
    "error": "string",
}
"""What every row says of a picture. `truth` and `predicted` are outputs of the model, `label` and `said` their names;
`truth` is missing where the model has no such class; `error` says why the rest is."""


@dataclass(frozen=True)
class Pass:
    """A model and the pictures of a data set that it goes over."""

    model: Model
    data: DataSet
    indices: Sequence[int]
    outputs: tuple[int | None, ...]

    @classmethod
    def of(cls, model: Model, data: DataSet, indices: Sequence[int]) -> Pass:
        return cls(model, data, indices, outputs_of(data.classes, model))

    def record(self) -> dict[str, Any]:
        """What decides the rows, for the store."""
        return {
            "model": self.model.name,
            "weights": self.model.weights_hash,
            "data": self.data.name,
            "pictures": len(self.indices),
            "data_hash": identity(self.data, self.indices),
            "labels": list(self.model.labels),
            "versions": versions(),
        }

    def output(self, label: int | None) -> int | None:
        """The model's output for a class of the data set."""
        return None if label is None else self.outputs[label]


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture that could be read, ready for the network: inputs (c, H, W)."""

    index: int
    item: Item
    inputs: Tensor
    geometry: Geometry

    def sight(self, run: Pass, logits: Tensor, target: int) -> Sight:
        """As metrics want it."""
        batch = placed(run.model.network, self.inputs[None])
        return Sight(run.model, self.item, batch, self.geometry, logits, target, run.output(self.item.label))


def go(
    store: Store,
    run: Pass,
    ask: Callable[[Tensor], Sequence[T]],
    describe: Callable[[Shown, T], Row],
    progress: ProgressCallback | None = None,
) -> None:
    """Write a row for every picture, part by part, leaving out the parts that are there.

    ask       the network about a batch (b, c, H, W): one answer a picture
    describe  the row of a picture by its answer
    A picture that cannot be read, or makes the network fail, is a row with its reason.
    """
    for number, start in enumerate(range(0, len(run.indices), PART)):
        part = run.indices[start : start + PART]
        if not store.has(number):
            store.write(number, rows(run, part, ask, describe))
        if progress:
            progress(start + len(part), len(run.indices))
    store.finish()


def rows(
    run: Pass, part: Sequence[int], ask: Callable[[Tensor], Sequence[T]], describe: Callable[[Shown, T], Row]
) -> list[Row]:
    """A row for every picture of one part, in one batch; `ask` and `describe` as of `go`."""
    made: dict[int, Row] = {}
    shown: list[Shown] = []
    for index in part:
        item = run.data[index]
        made[index] = {"index": index, "picture": item.name, "split": item.split, "label": _named(run, item)}
        try:
            with of_this(run.model, item.image):
                shown.append(Shown(index, item, *run.model.preprocessing(load_image(item.image))))
        except CamlucidaError as error:
            made[index]["error"] = str(error)
    for one, answer in zip(shown, _answers(run.model, shown, ask), strict=True):
        made[one.index] |= {"error": answer} if isinstance(answer, str) else describe(one, answer)
    return list(made.values())


def _answers(
    model: Model, shown: Sequence[Shown], ask: Callable[[Tensor], Sequence[T]]
) -> Sequence[T] | Sequence[T | str]:
    """Of a batch; where it fails, of one picture after the other, so that only what is to blame is lost."""
    if not shown:
        return []
    try:
        return ask(torch.stack([one.inputs for one in shown]))
    except Exception as error:
        if not isinstance(error, CamlucidaError) and not raised_by_network(error):
            raise
        if len(shown) > 1:
            return [answer for one in shown for answer in _answers(model, [one], ask)]
        return [str(error) if isinstance(error, CamlucidaError) else fault_of_network(error, model)]


def judged(run: Pass, one: Shown, logits: Tensor) -> Row:
    """What the network says (k,), beside the truth. A class that is right, too, counts as right."""
    chances = logits.double().softmax(0)
    predicted = int(logits.argmax())
    truth = run.output(one.item.label)
    right = {truth, *(run.output(other) for other in one.item.others)}
    return {
        "truth": truth,
        "predicted": predicted,
        "said": class_label(predicted, run.model.labels),
        "correct": None if truth is None else predicted in right,
        "confidence": float(chances[predicted]),
    }


def _named(run: Pass, item: Item) -> str | None:
    """The true class as the model calls it, or as the data set does where the model does not know it."""
    if item.label is None:
        return None
    output = run.output(item.label)
    return class_label(item.label, run.data.classes) if output is None else class_label(output, run.model.labels)
