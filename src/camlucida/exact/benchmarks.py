"""The benchmarks by name: a model and pictures for which it is known what a map has to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from camlucida.data.datasets import Dataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, nearest
from camlucida.exact import analytic, designed
from camlucida.exact.disconnected import Where, disconnected
from camlucida.exact.mosaics import cells_of, mosaics
from camlucida.exact.scenes import SIZES, Size, sized, stamped, tagged
from camlucida.models.model import Model
from camlucida.seeds import check_seed

PREFIX = "exact:"
POOL = 300
"""Scenes that mosaics are pasted from."""

Opened = tuple[Model, Dataset]


@dataclass(frozen=True)
class Benchmark:
    """A model and pictures with known truth.

    summary   what is known
    model     whether it asks for a model; others bring their own
    cells     whether `exact:NAME:3` is 3 x 3 cells
    make      (model, count, seed, n) -> the model to be explained, and the pictures
    """

    name: str
    summary: str
    make: Callable[[Model | None, int, int, int], Opened]
    model: bool = True
    cells: bool = False


def benchmark(name: str) -> Benchmark:
    """A benchmark by name, with or without "exact:" and a number of cells; `DataError` offers the nearest."""
    plain, _, cells = name.removeprefix(PREFIX).partition(":")
    found = BENCHMARKS.get(plain)
    if found is None:
        raise DataError(f"no benchmark {plain!r}.{nearest(plain, BENCHMARKS)} Known: {', '.join(BENCHMARKS)}.")
    if cells and not (found.cells and cells in ("2", "3", "4")):
        what = "2, 3 or 4 (cells a side)" if found.cells else "nothing"
        raise DataError(f"after exact:{plain}: comes {what}, not {cells!r}.")
    return found


def open_benchmark(name: str, model: Model | None = None, *, count: int = 500, seed: int = 0) -> Opened:
    """The model to be explained, and the pictures, by name: "exact:mosaic:3".

    model   what the benchmark is about; not used by those that bring their own
    count   how many pictures
    Raises `DataError` where it is unknown, or asks for a model and got none.
    """
    found = benchmark(name)
    if found.model and model is None:
        raise DataError(f"exact:{found.name} is about a model of yours: give one.")
    if count < 1:
        raise DataError(f"a benchmark has at least one picture, not {count}.")
    cells = name.removeprefix(PREFIX).partition(":")[2]
    return found.make(model, count, check_seed(seed), int(cells or 2))


def _given(model: Model | None) -> Model:
    assert model is not None, "asked before"
    return model


def _sized(size: Size) -> Benchmark:
    return Benchmark(
        size,
        f"toybox scenes whose object is {size}",
        lambda model, count, seed, _: (_given(model), sized(size, count, seed)),
    )


def _mosaic(model: Model | None, count: int, seed: int, n: int) -> Opened:
    return mosaics(_given(model), ToyboxDataset(Toybox(POOL, seed)), count, seed, n=n, name=f"exact:mosaic:{n}")


def _focus(model: Model | None, count: int, seed: int, n: int) -> Opened:
    return mosaics(_given(model), ToyboxDataset(Toybox(POOL, seed)), count, seed, n=2, of_a_class=2, name="exact:focus")


def _cut(where: Where) -> Callable[[Model | None, int, int, int], Opened]:
    def make(model: Model | None, count: int, seed: int, n: int) -> Opened:
        whole = disconnected(_given(model), n, where=where)
        scenes = ToyboxDataset(Toybox(-(-count // n**2) * n**2, seed))
        return whole, cells_of(_given(model), whole, scenes, n, seed, name=f"exact:di{where}:{n}")

    return make


def _brought(made: Callable[[int, int], Opened]) -> Benchmark:
    summary = (made.__doc__ or "").partition("\n")[0].rstrip(".")
    return Benchmark(made.__name__, summary, lambda model, count, seed, _: made(count, seed), model=False)


BENCHMARKS: dict[str, Benchmark] = {
    entry.name: entry
    for entry in (
        *(_sized(size) for size in SIZES),
        Benchmark("mosaic", "each cell another class (GridPG)", _mosaic, cells=True),
        Benchmark("focus", "two cells of four show the class (Focus)", _focus),
        Benchmark("difull", "every output sees one cell alone, from the pixels on (DiFull)", _cut("full"), cells=True),
        Benchmark("dipart", "every output sees one cell of the last layer alone (DiPart)", _cut("part"), cells=True),
        Benchmark(
            "watermark",
            "a stamp that goes with one class: the region is the stamp",
            lambda model, count, seed, _: (_given(model), stamped(count, seed)),
        ),
        Benchmark(
            "watermark_control",
            "the same stamp on any class: what is shown of it without any meaning",
            lambda model, count, seed, _: (_given(model), stamped(count, seed, dependent=False)),
        ),
        Benchmark(
            "tag",
            "a tag planted in a fifth of one class, for audits",
            lambda model, count, seed, _: (_given(model), tagged(count, seed)),
        ),
        *(
            _brought(made)
            for made in (
                designed.red,
                designed.signed,
                designed.channels,
                designed.template,
                designed.xor,
                designed.square,
                designed.shift,
                analytic.linear,
                analytic.additive,
                analytic.interaction,
            )
        ),
    )
}
