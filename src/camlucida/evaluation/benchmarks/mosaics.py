"""Mosaics of n x n images: a class occurs in known cells, which its map should highlight.

Rao et al., CVPR 2022, sec. 3.1 (GridPG); Arias-Duart et al., Focus, FUZZ-IEEE 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from camlucida.attribution.load_input import load_input
from camlucida.attribution.output_reader import predict
from camlucida.class_lookup import class_index
from camlucida.data.datasets import Dataset, Item, Mask
from camlucida.data.images import load_image
from camlucida.errors import DataError, TargetError
from camlucida.models.model import Model

MIN_PROBABILITY = 0.99
"""Mosaics use images whose class the model predicts with at least this probability."""
BATCH_SIZE = 16


@dataclass(frozen=True, eq=False)
class Mosaics:
    """A data set of mosaics, with one item per explained class of a mosaic.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes.
        images: The data set of single images.
        model: The model of a single cell, whose preprocessing resizes the images.
        cells: For each mosaic, the indices of its images, row by row.
        questions: For each item, the index of its mosaic and of its class in `classes`.
        labels: The class of each image.
        exact: Whether the ground truth is exact.
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
    """Mosaics for a disconnected model, with one item per cell; the target output depends on this cell alone.

    Attributes:
        name: Name of the data set.
        classes: Names of the disconnected model's outputs.
        images: The data set of single images.
        model: The model of a single cell.
        n: Cells per side.
        outputs: For each item, the output of the cell's own class.
        exact: Whether the ground truth is exact.
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
    """Return the model with an input of n x n cells, for networks with global pooling that accept any size."""
    height, width = model.preprocessing.size
    preprocessing = replace(model.preprocessing, size=(n * height, n * width), resize=None, fit="squash")
    return replace(model, preprocessing=preprocessing, spec=f"{model.name} on {n} x {n} cells")


def mosaics(
    model: Model, images: Dataset, n_images: int, seed: int = 0, *, n: int = 2, n_class_cells: int = 1, name: str = ""
) -> tuple[Model, Mosaics]:
    """Build mosaics of confidently classified images, and return the model for inputs of that size with them.

    Args:
        model: The model.
        images: The data set of single images.
        n_images: Number of items: one per class of a mosaic (GridPG); with `n_class_cells=2` only the first class of
            each mosaic (Focus).
        seed: Seed for the choice of images.
        n: Cells per side.
        n_class_cells: Number of cells that show the target class; the other cells are of distinct other classes.
        name: Name of the data set.

    Raises:
        DataError: If too few classes have enough confidently classified images.
    """
    known = _confident_images(model, images)
    classes = sorted(set(known.values()))
    n_different = n**2 - n_class_cells + 1
    by_class = {k: [i for i, label in known.items() if label == k] for k in classes}
    by_class = {k: indices for k, indices in by_class.items() if len(indices) >= n_class_cells}
    if len(by_class) < n_different:
        raise DataError(
            f"a mosaic of {n} x {n} needs confident predictions (p >= {MIN_PROBABILITY}) for {n_different} classes; in "
            f"{images.name}, the model has them for {len(by_class)} of {len(images.classes)} classes."
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
    """Build mosaics for a disconnected model; every cell is a target, for the class of its image.

    Where the model has no such class, a random one is used: the cells on which an output does not depend are equally
    irrelevant for all classes.

    Args:
        model: The original model.
        cut_model: The model returned by `disconnected`.
        images: The data set of single images.
        n: Cells per side.
        seed: Seed for the random classes.
        name: Name of the data set.

    Raises:
        DataError: If there are fewer than n x n images.
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
        raise DataError(f"a mosaic of {n} x {n} needs {n**2} images, and {images.name} has {len(images)}.")
    return CellMosaics(name or f"{n} x {n} cells of {images.name}", cut_model.labels, images, model, n, tuple(targets))


def paste_tiles(model: Model, items: Sequence[Item]) -> tuple[Image.Image, list[Mask]]:
    """Paste preprocessed images side by side, row by row; return the mosaic and the mask of each image."""
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
    """Return the indices of images whose class has a probability of at least `MIN_PROBABILITY`, with that class."""
    outputs = _outputs(model, images.classes)
    labels: dict[int, int] = {}
    for start in range(0, len(images), BATCH_SIZE):
        items = {i: images[i] for i in range(start, min(start + BATCH_SIZE, len(images)))}
        expected = {i: (item.label, outputs[item.label]) for i, item in items.items() if item.label is not None}
        indices = [i for i, (_, output) in expected.items() if output is not None]
        if not indices:
            continue
        batch = torch.stack([load_input(model.preprocessing, items[i].image).inputs for i in indices])
        scores, activation = predict(model, batch)
        probabilities = activation.probabilities(scores).cpu()
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
