"""Pictures of n x n pictures: a class is in one cell, so its map belongs there.

Rao et al., CVPR 2022, sec. 3.1 (GridPG); Arias-Duart et al., Focus, FUZZ-IEEE 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from camlucida.attribution.outputs import class_scores, to_network
from camlucida.data.datasets import Dataset, Item, Mask
from camlucida.data.images import load_image
from camlucida.engine import copy_of
from camlucida.errors import DataError, TargetError
from camlucida.models.model import Model
from camlucida.targets import class_index

MIN_PROBABILITY = 0.99
BATCH_SIZE = 16


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
    questions: tuple[tuple[int, int], ...]
    labels: dict[int, int]
    exact: bool = True

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> Item:
        mosaic, label = self.questions[index]
        cells = self.cells[mosaic]
        image, masks = paste_tiles(self.model, [self.images[i] for i in cells])
        class_masks = [masks[j] for j, i in enumerate(cells) if self.labels[i] == label]
        other_masks = [masks[j] for j, i in enumerate(cells) if self.labels[i] != label]
        return Item(
            image,
            f"mosaic {mosaic}, {self.classes[label]}",
            label,
            np.array([_box(mask) for mask in class_masks], dtype=np.float64),
            lambda: np.any(class_masks, axis=0),
            also_correct=tuple(dict.fromkeys(self.labels[i] for i in cells if self.labels[i] != label)),
            other_objects_mask=lambda: np.any(other_masks, axis=0),
        )


@dataclass(frozen=True, eq=False)
class CellMosaics:
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
        image, masks = paste_tiles(self.model, items)
        mask = masks[cell]
        box = np.array([_box(mask)], dtype=np.float64)
        return Item(image, f"mosaic {mosaic}, cell {cell + 1}", self.outputs[index], box, lambda: mask)


def with_larger_input(model: Model, n: int) -> Model:
    """The same network, which sees mosaics whole: for networks that pool what they have, of any size."""
    height, width = model.preprocessing.size
    preprocessing = replace(model.preprocessing, size=(n * height, n * width), resize=None, fit="squash")
    return replace(model, preprocessing=preprocessing, spec=f"{model.name} on {n} x {n} cells")


def mosaics(
    model: Model, images: Dataset, n_images: int, seed: int = 0, *, n: int = 2, n_class_cells: int = 1, name: str = ""
) -> tuple[Model, Mosaics]:
    """Mosaics of pictures that the model is sure about, and the model as it sees them.

    count        items: one a class of a mosaic, GridPG; with `of_a_class` 2 the first class of each only, Focus
    of_a_class   cells that show the class; the others are all of different classes
    Raises `DataError` where too few pictures of too few classes are there.
    """
    known = _confident_images(model, images)
    classes = sorted(set(known.values()))
    n_different = n**2 - n_class_cells + 1
    by_class = {k: [i for i, label in known.items() if label == k] for k in classes}
    by_class = {k: found for k, found in by_class.items() if len(found) >= n_class_cells}
    if len(by_class) < n_different:
        raise DataError(
            f"a mosaic of {n} x {n} needs {n_different} classes, and the model is sure (p >= "
            f"{MIN_PROBABILITY}) of pictures of "
            f"{len(by_class)} of the {len(images.classes)} in {images.name}."
        )
    rng = np.random.default_rng((seed, n, n_class_cells))
    cells: list[tuple[int, ...]] = []
    questions: list[tuple[int, int]] = []
    while len(questions) < n_images:
        chosen_classes = [sorted(by_class)[int(i)] for i in rng.permutation(len(by_class))[:n_different]]
        drawn = [int(i) for i in rng.choice(by_class[chosen_classes[0]], n_class_cells, replace=False)]
        drawn += [int(rng.choice(by_class[k])) for k in chosen_classes[1:]]
        questions += [(len(cells), k) for k in (chosen_classes if n_class_cells == 1 else chosen_classes[:1])]
        cells.append(tuple(drawn[int(i)] for i in rng.permutation(len(drawn))))
    title = name or f"{n} x {n} mosaics of {images.name}"
    dataset = Mosaics(title, tuple(images.classes), images, model, tuple(cells), tuple(questions[:n_images]), known)
    return with_larger_input(model, n), dataset


def cell_mosaics(
    model: Model, cut_model: Model, images: Dataset, n: int, seed: int = 0, *, name: str = ""
) -> CellMosaics:
    """Mosaics for `whole`, which is `model` disconnected: every cell is asked about, for its picture's class.

    Where the model has no such class it is one by lot: what a cell's outputs do not see is as impossible for each.
    """
    n_cell_classes = len(cut_model.labels) // n**2
    outputs = _outputs(model, images.classes)
    rng = np.random.default_rng((seed, n))
    random_classes = rng.integers(0, n_cell_classes, len(images))
    targets = []
    for i in range(len(images) // n**2 * n**2):
        label = images[i].label
        own_output = outputs[label] if label is not None else None
        targets.append(i % n**2 * n_cell_classes + (int(random_classes[i]) if own_output is None else own_output))
    if not targets:
        raise DataError(f"a mosaic of {n} x {n} needs {n**2} pictures, and {images.name} has {len(images)}.")
    return CellMosaics(name or f"{n} x {n} cells of {images.name}", cut_model.labels, images, model, n, tuple(targets))


def paste_tiles(model: Model, items: Sequence[Item]) -> tuple[Image.Image, list[Mask]]:
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


def _confident_images(model: Model, images: Dataset) -> dict[int, int]:
    """The pictures whose class the model says with at least `CONFIDENT`, and that class."""
    outputs = _outputs(model, images.classes)
    network = copy_of(model.network).module
    labels: dict[int, int] = {}
    for start in range(0, len(images), BATCH_SIZE):
        items = {i: images[i] for i in range(start, min(start + BATCH_SIZE, len(images)))}
        expected = {i: (item.label, outputs[item.label]) for i, item in items.items() if item.label is not None}
        indices = [i for i, (_, output) in expected.items() if output is not None]
        if not indices:
            continue
        batch = torch.stack([model.preprocessing(load_image(items[i].image))[0] for i in indices])
        with torch.inference_mode(False), torch.no_grad():
            probabilities = class_scores(network(to_network(model.network, batch)), model.output).softmax(1).cpu()
        for i, p in zip(indices, probabilities, strict=True):
            label, output = expected[i]
            if output is not None and float(p[output]) >= MIN_PROBABILITY:
                labels[i] = label
    return labels


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
