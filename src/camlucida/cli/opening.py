"""From what a user types to a model and its pictures: a benchmark brings its own model, or changes the one given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.data.datasets import DataSet
    from camlucida.models.model import Model


def opened(
    data: str,
    model: str,
    *,
    arch: str | None = None,
    labels: str | Path | None = None,
    boxes: str | Path | None = None,
    count: int | None = None,
    seed: int = 0,
    split: str | None = None,
) -> tuple[Model, DataSet]:
    """The model that is explained, and its pictures. exact:… is a benchmark of `camlucida.exact`, the folder of a
    training stands for the pictures that it was validated on, all else is a data set.

    count   how many pictures are drawn, where they are
    split   of a data set: only those pictures
    """
    from camlucida.data.sources import SCENES, open_dataset
    from camlucida.exact import PREFIX, benchmark, open_benchmark
    from camlucida.models.load import load

    if split is not None and (is_run(data) or data.startswith(PREFIX)):
        raise DataError(f"{data} says itself which pictures it takes: --split is for data sets.")
    if is_run(data):
        return load(model, arch=arch, labels=labels), _held_out(data, boxes)
    if not data.startswith(PREFIX):
        dataset = open_dataset(data, boxes=boxes, count=count, seed=seed, split=split)  # before weights are fetched
        return load(model, arch=arch, labels=labels), dataset
    if boxes is not None:
        raise DataError(f"{data} knows what is where: --boxes is for folders.")
    given = load(model, arch=arch, labels=labels) if benchmark(data).model else None
    return open_benchmark(data, given, count=SCENES if count is None else count, seed=seed)


def is_run(data: str) -> bool:
    """Whether it is a folder that `camlucida train` wrote."""
    file = Path(data).expanduser() / "run.json"
    return file.is_file() and (file.parent / "model.json").is_file()


def _held_out(run: str, boxes: str | Path | None) -> DataSet:
    from camlucida.training.run import held_out

    if boxes is not None:
        raise DataError(f"{run} knows its own data: give --boxes when training.")
    return held_out(run)
