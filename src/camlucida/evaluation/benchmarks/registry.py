"""The benchmarks by name: a model and images for which the correct map is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from camlucida.data.datasets import Dataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, nearest
from camlucida.evaluation.benchmarks import analytic, designed
from camlucida.evaluation.benchmarks.disconnected import Variant, disconnected
from camlucida.evaluation.benchmarks.mosaics import cell_mosaics, mosaics
from camlucida.evaluation.benchmarks.scenes import SIZES, Size, scenes_of_size, stamped_scenes, tagged_scenes
from camlucida.models.model import Model
from camlucida.seeds import check_seed

PREFIX = "exact:"
N_SCENES = 300
"""Number of scenes from which mosaics are composed."""

ModelAndData = tuple[Model, Dataset]


@dataclass(frozen=True)
class Benchmark:
    """A model and images with known ground truth.

    Attributes:
        name: Name without the prefix.
        summary: What is known.
        build: Builds the benchmark from (model, number of images, seed, cells per side); returns the model to explain
            and the images.
        needs_model: Whether it requires a model; other benchmarks have their own.
        takes_cells: Whether the name accepts a number of cells, e.g. `exact:NAME:3` for 3 x 3.
    """

    name: str
    summary: str
    build: Callable[[Model | None, int, int, int], ModelAndData]
    needs_model: bool = True
    takes_cells: bool = False


def benchmark(name: str) -> Benchmark:
    """Return a benchmark by name, with or without "exact:" and a number of cells.

    Raises:
        DataError: For an unknown name (the message suggests the nearest one) or an invalid number of cells.
    """
    base_name, _, cells = name.removeprefix(PREFIX).partition(":")
    entry = BENCHMARKS.get(base_name)
    if entry is None:
        raise DataError(f"no benchmark {base_name!r}.{nearest(base_name, BENCHMARKS)} Known: {', '.join(BENCHMARKS)}.")
    if cells and not (entry.takes_cells and cells in ("2", "3", "4")):
        expected = "takes 2, 3 or 4 cells per side" if entry.takes_cells else "takes no number of cells"
        raise DataError(f"exact:{base_name} {expected}, not {cells!r}.")
    return entry


def open_benchmark(name: str, model: Model | None = None, *, count: int = 500, seed: int = 0) -> ModelAndData:
    """Return the model to explain and the images of a benchmark, by name, e.g. "exact:mosaic:3".

    Args:
        name: Name of the benchmark.
        model: The model under test; ignored by benchmarks that have their own.
        count: Number of images.
        seed: Seed of the images.

    Raises:
        DataError: If the name is unknown, the model is missing, or `count` is less than 1.
    """
    entry = benchmark(name)
    if entry.needs_model and model is None:
        raise DataError(f"exact:{entry.name} needs a model: pass one as `model`.")
    if count < 1:
        raise DataError(f"count is the number of images, at least 1, not {count}.")
    cells = name.removeprefix(PREFIX).partition(":")[2]
    return entry.build(model, count, check_seed(seed), int(cells or 2))


def _required(model: Model | None) -> Model:
    assert model is not None, "checked by open_benchmark"
    return model


def _sized(size: Size) -> Benchmark:
    return Benchmark(
        size,
        f"toybox scenes whose object is {size}",
        lambda model, count, seed, _: (_required(model), scenes_of_size(size, count, seed)),
    )


def _mosaic(model: Model | None, n_images: int, seed: int, n: int) -> ModelAndData:
    return mosaics(
        _required(model), ToyboxDataset(Toybox(N_SCENES, seed)), n_images, seed, n=n, name=f"exact:mosaic:{n}"
    )


def _focus(model: Model | None, n_images: int, seed: int, n: int) -> ModelAndData:
    return mosaics(
        _required(model),
        ToyboxDataset(Toybox(N_SCENES, seed)),
        n_images,
        seed,
        n=2,
        n_class_cells=2,
        name="exact:focus",
    )


def _disconnected_benchmark(variant: Variant) -> Callable[[Model | None, int, int, int], ModelAndData]:
    def build(model: Model | None, count: int, seed: int, n: int) -> ModelAndData:
        cut_model = disconnected(_required(model), n, variant=variant)
        scenes = ToyboxDataset(Toybox(-(-count // n**2) * n**2, seed))
        return cut_model, cell_mosaics(_required(model), cut_model, scenes, n, seed, name=f"exact:di{variant}:{n}")

    return build


def _own_model_benchmark(function: Callable[[int, int], ModelAndData]) -> Benchmark:
    summary = (function.__doc__ or "").partition("\n")[0].rstrip(".")
    return Benchmark(function.__name__, summary, lambda model, count, seed, _: function(count, seed), needs_model=False)


BENCHMARKS: dict[str, Benchmark] = {
    entry.name: entry
    for entry in (
        *(_sized(size) for size in SIZES),
        Benchmark("mosaic", "mosaics of different classes (GridPG)", _mosaic, takes_cells=True),
        Benchmark("focus", "mosaics with two of four cells of the class (Focus)", _focus),
        Benchmark(
            "difull",
            "every output depends on one cell only, from the pixels on (DiFull)",
            _disconnected_benchmark("full"),
            takes_cells=True,
        ),
        Benchmark(
            "dipart",
            "every output depends on one cell of the last layer only (DiPart)",
            _disconnected_benchmark("part"),
            takes_cells=True,
        ),
        Benchmark(
            "watermark",
            "a watermark that occurs with one class: the region is the watermark",
            lambda model, count, seed, _: (_required(model), stamped_scenes(count, seed)),
        ),
        Benchmark(
            "watermark_control",
            "the same watermark with any class: how strongly it is highlighted without being predictive",
            lambda model, count, seed, _: (_required(model), stamped_scenes(count, seed, dependent=False)),
        ),
        Benchmark(
            "tag",
            "a tag planted in a fifth of one class, for audits",
            lambda model, count, seed, _: (_required(model), tagged_scenes(count, seed)),
        ),
        *(
            _own_model_benchmark(function)
            for function in (
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
