"""Pictures of n x n pictures: a class is in one cell, so its map belongs there.

Rao et al., CVPR 2022, sec. 3.1 (GridPG); Arias-Duart et al., Focus, FUZZ-IEEE 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from camlucida.data.datasets import Dataset, Item, Mask
from camlucida.data.images import load_image
from camlucida.engine import copy_of
from camlucida.errors import DataError, TargetError
from camlucida.models.model import Model
from camlucida.outputs import class_scores, to_network
from camlucida.targets import class_index

CONFIDENT = 0.99
CHUNK = 16


@dataclass(frozen=True, eq=False)
class Mosaics:
    """A data set of mosaics, one item for each cell that is asked about.

    size     (width, height) of a cell
    cells    a row a mosaic: which pictures, row by row
    asked    which (mosaic, class) each item is about: an index into `classes`
    labels   (pictures,) the class of each
    """

    name: str
    classes: tuple[str, ...]
    images: Dataset
    model: Model
    cells: tuple[tuple[int, ...], ...]
    asked: tuple[tuple[int, int], ...]
    labels: dict[int, int]
    exact: bool = True

    def __len__(self) -> int:
        return len(self.asked)

    def __getitem__(self, index: int) -> Item:
        mosaic, label = self.asked[index]
        cells = self.cells[mosaic]
        image, masks = pasted(self.model, [self.images[i] for i in cells])
        of_class = [masks[j] for j, i in enumerate(cells) if self.labels[i] == label]
        rest = [masks[j] for j, i in enumerate(cells) if self.labels[i] != label]
        return Item(
            image,
            f"mosaic {mosaic}, {self.classes[label]}",
            label,
            np.array([_box(mask) for mask in of_class], dtype=np.float64),
            lambda: np.any(of_class, axis=0),
            also_correct=tuple(dict.fromkeys(self.labels[i] for i in cells if self.labels[i] != label)),
            other_objects_mask=lambda: np.any(rest, axis=0),
        )


@dataclass(frozen=True, eq=False)
class Cells:
    """Mosaics for a disconnected model, one item a cell: the class is an output that sees this cell alone.

    classes   of the disconnected model
    outputs   (n n,) the output of the cell's own class, item by item
    """

    name: str
    classes: tuple[str, ...]
    images: Dataset
    model: Model
    n: int
    outputs: tuple[int, ...]
    exact: bool = True

    def __len__(self) -> int:
        return len(self.outputs)

    def __getitem__(self, index: int) -> Item:
        mosaic, cell = divmod(index, self.n**2)
        items = [self.images[mosaic * self.n**2 + i] for i in range(self.n**2)]
        image, masks = pasted(self.model, items)
        mask = masks[cell]
        box = np.array([_box(mask)], dtype=np.float64)
        return Item(image, f"mosaic {mosaic}, cell {cell + 1}", self.outputs[index], box, lambda: mask)


def enlarged(model: Model, n: int) -> Model:
    """The same network, which sees mosaics whole: for networks that pool what they have, of any size."""
    height, width = model.preprocessing.size
    how = replace(model.preprocessing, size=(n * height, n * width), resize=None, fit="squash")
    return replace(model, preprocessing=how, spec=f"{model.name} on {n} x {n} cells")


def mosaics(
    model: Model, images: Dataset, count: int, seed: int = 0, *, n: int = 2, of_a_class: int = 1, name: str = ""
) -> tuple[Model, Mosaics]:
    """Mosaics of pictures that the model is sure about, and the model as it sees them.

    count        items: one a class of a mosaic, GridPG; with `of_a_class` 2 the first class of each only, Focus
    of_a_class   cells that show the class; the others are all of different classes
    Raises `DataError` where too few pictures of too few classes are there.
    """
    known = _sure(model, images)
    classes = sorted(set(known.values()))
    different = n**2 - of_a_class + 1
    by_class = {k: [i for i, label in known.items() if label == k] for k in classes}
    by_class = {k: found for k, found in by_class.items() if len(found) >= of_a_class}
    if len(by_class) < different:
        raise DataError(
            f"a mosaic of {n} x {n} needs {different} classes, and the model is sure (p >= {CONFIDENT}) of pictures of "
            f"{len(by_class)} of the {len(images.classes)} in {images.name}."
        )
    rng = np.random.default_rng((seed, n, of_a_class))
    cells: list[tuple[int, ...]] = []
    asked: list[tuple[int, int]] = []
    while len(asked) < count:
        chosen = [sorted(by_class)[int(i)] for i in rng.permutation(len(by_class))[:different]]
        drawn = [int(i) for i in rng.choice(by_class[chosen[0]], of_a_class, replace=False)]
        drawn += [int(rng.choice(by_class[k])) for k in chosen[1:]]
        asked += [(len(cells), k) for k in (chosen if of_a_class == 1 else chosen[:1])]
        cells.append(tuple(drawn[int(i)] for i in rng.permutation(len(drawn))))
    title = name or f"{n} x {n} mosaics of {images.name}"
    found = Mosaics(title, tuple(images.classes), images, model, tuple(cells), tuple(asked[:count]), known)
    return enlarged(model, n), found


def cells_of(model: Model, whole: Model, images: Dataset, n: int, seed: int = 0, *, name: str = "") -> Cells:
    """Mosaics for `whole`, which is `model` disconnected: every cell is asked about, for its picture's class.

    Where the model has no such class it is one by lot: what a cell's outputs do not see is as impossible for each.
    """
    of_a_cell = len(whole.labels) // n**2
    outputs = _outputs(model, images.classes)
    rng = np.random.default_rng((seed, n))
    lots = rng.integers(0, of_a_cell, len(images))
    found = []
    for i in range(len(images) // n**2 * n**2):
        label = images[i].label
        own = outputs[label] if label is not None else None
        found.append(i % n**2 * of_a_cell + (int(lots[i]) if own is None else own))
    if not found:
        raise DataError(f"a mosaic of {n} x {n} needs {n**2} pictures, and {images.name} has {len(images)}.")
    return Cells(name or f"{n} x {n} cells of {images.name}", whole.labels, images, model, n, tuple(found))


def pasted(model: Model, items: Sequence[Item]) -> tuple[Image.Image, list[Mask]]:
    """The pictures as the model would see each, side by side, row by row; and where each lies."""
    n = int(len(items) ** 0.5)
    height, width = model.preprocessing.size
    image = Image.new("RGB", (n * width, n * height))
    masks = []
    for i, item in enumerate(items):
        row, column = divmod(i, n)
        image.paste(model.preprocessing.resize_and_place(load_image(item.image))[0], (column * width, row * height))
        mask = np.zeros((n * height, n * width), dtype=bool)
        mask[row * height : (row + 1) * height, column * width : (column + 1) * width] = True
        masks.append(mask)
    return image, masks


def _sure(model: Model, images: Dataset) -> dict[int, int]:
    """The pictures whose class the model says with at least `CONFIDENT`, and that class."""
    outputs = _outputs(model, images.classes)
    network = copy_of(model.network).module
    found: dict[int, int] = {}
    for start in range(0, len(images), CHUNK):
        items = {i: images[i] for i in range(start, min(start + CHUNK, len(images)))}
        right = {i: (item.label, outputs[item.label]) for i, item in items.items() if item.label is not None}
        seen = [i for i, (_, output) in right.items() if output is not None]
        if not seen:
            continue
        batch = torch.stack([model.preprocessing(load_image(items[i].image))[0] for i in seen])
        with torch.inference_mode(False), torch.no_grad():
            sure = class_scores(network(to_network(model.network, batch)), model.output).softmax(1).cpu()
        for i, p in zip(seen, sure, strict=True):
            label, output = right[i]
            if output is not None and float(p[output]) >= CONFIDENT:
                found[i] = label
    return found


def _outputs(model: Model, classes: Sequence[str]) -> list[int | None]:
    if tuple(classes) == model.labels:
        return list(range(len(classes)))
    return [_output(model, name) for name in classes]


def _output(model: Model, name: str) -> int | None:
    try:
        return class_index(name, model.labels)
    except TargetError:
        return None


def _box(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
