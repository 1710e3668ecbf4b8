"""Interface of datasets: images with their annotations, in the manner of a map-style PyTorch dataset.

A dataset is any object with a `name`, `classes`, a length and items by index:

    item = dataset[3]
    item.image, item.label, item.boxes, item.mask, item.parts
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from camlucida.data import toybox
from camlucida.data.images import Source
from camlucida.errors import DataError
from camlucida.options import shown
from camlucida.seeds import check_seed

Mask: TypeAlias = NDArray[np.bool_]
Boxes: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ObjectAnnotation:
    """One annotated object of an image.

    Attributes:
        label: Its class, an index into the `classes` of the dataset; None if it is unknown.
        box: `(4,)` left, top, right, bottom in pixels of the image; None if it is unknown.
        mask: Returns its `(h, w)` mask; None if it is unknown.
        is_ignored: Whether it is neither to be found nor a mistake to find, as crowds of COCO and difficult objects of
            Pascal VOC.
    """

    label: int | None
    box: Boxes | None = None
    mask: Callable[[], Mask] | None = None
    is_ignored: bool = False


@dataclass(frozen=True, eq=False)
class Item:
    """One image with its annotations.

    Attributes:
        image: Anything that `load_image` reads: a path or an image. It is read on access, so it may turn out to be
            broken.
        name: The name of the image in tables; unique within its dataset.
        label: The class, an index into the `classes` of the dataset; None if it is unknown.
        boxes: `(n, 4)` bounding boxes as left, top, right, bottom in pixels of the image; right and bottom are
            exclusive. None if they are unknown.
        mask: Returns the `(h, w)` segmentation mask of the object; None if it is unknown. It is a function, so that a
            million masks need no memory.
        parts: Returns the `(h, w)` mask of each part of the object by name; None if they are unknown.
        split: "train", "val", "test" or "".
        also_correct: Classes besides `label` that also count as correct.
        other_objects_mask: Returns the `(h, w)` mask of the objects of other classes; None if there are none or they
            are unknown.
        render_without: Renders the same image without one of its parts, given by name; None if that is impossible.
        problems: Errors in the annotations, one sentence each; the remaining annotations are valid.
        metadata: Further columns of the data set's table, such as the site or the camera, by name.
        files: The files that masks and parts are read from: the item has changed if one of them has.
        objects: Returns all annotated objects of all classes; None if the classes of the boxes are not known one by
            one. See `annotated_objects`.
    """

    image: Source
    name: str
    label: int | None = None
    boxes: Boxes | None = None
    mask: Callable[[], Mask] | None = None
    parts: Callable[[], Mapping[str, Mask]] | None = None
    split: str = ""
    also_correct: tuple[int, ...] = ()
    other_objects_mask: Callable[[], Mask] | None = None
    render_without: Callable[[str], Source] | None = None
    problems: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Any, ...] = ()
    objects: Callable[[], Sequence[ObjectAnnotation]] | None = None


class Dataset(Protocol):
    """Protocol of a dataset that can be evaluated, trained on and audited."""

    @property
    def name(self) -> str:
        """Return the name of the dataset."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names that the labels index; empty if the dataset has no classes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...


@dataclass(frozen=True, eq=False)
class ListDataset:
    """A dataset whose items are a sequence in memory.

    Attributes:
        name: The name of the dataset.
        items: The items, a list or a `LazyItems`.
        classes: The class names, in the order of the labels.
        exact: Whether the images were rendered, so that the masks are exact rather than annotated by hand.
        problems: Errors in the dataset as a whole, one sentence each.
    """

    name: str
    items: Sequence[Item]
    classes: tuple[str, ...] = ()
    exact: bool = False
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


@dataclass(frozen=True, eq=False)
class LazyItems(Sequence[Item]):
    """A sequence of items whose annotations are read from separate files on access.

    Attributes:
        items: The items as far as the lists of the dataset describe them: image, name, label and split.
        complete: Returns an item with the remaining annotations.
    """

    items: Sequence[Item]
    complete: Callable[[Item], Item]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> LazyItems: ...
    def __getitem__(self, index: int | slice) -> Item | LazyItems:
        if isinstance(index, slice):
            return LazyItems(self.items[index], self.complete)
        return self.complete(self.items[index])


@dataclass(frozen=True, eq=False)
class ToyboxDataset:
    """The toybox as a dataset: rendered on access, with exact masks, boxes and parts of the first object."""

    scenes: toybox.Toybox
    name: str = "toybox"
    classes: tuple[str, ...] = field(default=toybox.CLASSES)
    exact: bool = True

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Item:
        sample = self.scenes[index]
        if sample.label < 0:
            return Item(sample.image, f"scene {index}")
        drawing = sample.drawing
        boxes = np.array([drawing.boxes[0]], dtype=np.float64)
        competing_classes = [i for i, label in enumerate(sample.labels) if label != sample.label]
        return Item(
            sample.image,
            f"scene {index}",
            sample.label,
            boxes,
            lambda: drawing.masks[0],
            lambda: drawing.parts[0],
            also_correct=tuple(sample.labels[i] for i in competing_classes),
            other_objects_mask=(lambda: np.logical_or.reduce(drawing.masks[competing_classes]))
            if competing_classes
            else None,
            render_without=lambda part: sample.scene.without_part(0, part).picture(),
            objects=lambda: [
                ObjectAnnotation(label, np.array(box, dtype=np.float64), partial(drawing.masks.__getitem__, i))
                for i, (label, box) in enumerate(zip(sample.labels, drawing.boxes, strict=True))
                if box[2] > box[0] and box[3] > box[1]  # some of it is visible
            ],
        )


def annotated_objects(item: Item) -> tuple[ObjectAnnotation, ...] | None:
    """Return all annotated objects of an image; None if nothing is annotated.

    Where the data set does not list them, they are the boxes, each with the label of the image, or the mask alone.
    """
    if item.objects is not None:
        return tuple(item.objects())
    if item.boxes is None:
        return None if item.mask is None else (ObjectAnnotation(item.label, None, item.mask),)
    mask = item.mask if len(item.boxes) == 1 else None
    boxes = tuple(ObjectAnnotation(item.label, np.asarray(box, dtype=np.float64), mask) for box in item.boxes)
    return boxes if mask is not None or item.mask is None else (*boxes, ObjectAnnotation(item.label, None, item.mask))


def labelled_objects(
    boxes: Sequence[Sequence[float]], labels: Sequence[int | None], label: int | None
) -> Callable[[], Sequence[ObjectAnnotation]] | None:
    """Return the objects of an image from its boxes; None if all boxes have the label of the image.

    Args:
        boxes: Boxes as left, top, right, bottom.
        labels: The label of each box.
        label: The label of the image.
    """
    if all(own == label for own in labels):
        return None
    objects = [ObjectAnnotation(own, np.array(box, dtype=np.float64)) for own, box in zip(labels, boxes, strict=True)]
    return partial(tuple, objects)


def subset(dataset: Dataset, indices: Iterable[int]) -> ListDataset:
    """Return the items at `indices`, in that order, as a dataset."""
    exact = bool(getattr(dataset, "exact", False))
    return ListDataset(dataset.name, [dataset[i] for i in indices], dataset.classes, exact)


def items_without_files(dataset: Dataset) -> Sequence[Item]:
    """Return the items without opening a file for each of them: only image, name, label and split are set."""
    items = dataset.items if isinstance(dataset, ListDataset) else [dataset[i] for i in range(len(dataset))]
    return items.items if isinstance(items, LazyItems) else items


def label_of(dataset: Dataset, index: int) -> int | None:
    """Return the label of one item without opening a file or rendering a scene."""
    if isinstance(dataset, ToyboxDataset):
        labels = dataset.scenes.scene(index).labels
        return labels[0] if labels else None
    return _item_without_files(dataset, index).label


def metadata_of(dataset: Dataset, index: int) -> Mapping[str, Any]:
    """Return the metadata of one item without opening a file or rendering a scene."""
    return {} if isinstance(dataset, ToyboxDataset) else _item_without_files(dataset, index).metadata


def source_of(dataset: Dataset, index: int) -> Source:
    """Return what the image of one item is read from, without reading its annotations."""
    return _item_without_files(dataset, index).image


def _item_without_files(dataset: Dataset, index: int) -> Item:
    items = dataset.items if isinstance(dataset, ListDataset) else dataset
    return items.items[index] if isinstance(items, LazyItems) else items[index]


def in_split(dataset: Dataset, split: str) -> ListDataset:
    """Return the items of one split as a dataset. Raises `DataError`, which lists the splits that exist."""
    all_items = items_without_files(dataset)
    selected = [item for item in all_items if item.split == split]
    if not selected:
        splits = sorted({item.split for item in all_items} - {""})
        raise DataError(
            f"{dataset.name} has no split {split!r}: "
            + (
                f"it has {', '.join(splits)}."
                if splits
                else "its images have no splits (folders named train, val and test are splits)."
            )
        )
    items: Sequence[Item] = selected
    if isinstance(dataset, ListDataset) and isinstance(dataset.items, LazyItems):
        items = LazyItems(selected, dataset.items.complete)
    return ListDataset(f"{dataset.name}:{split}", items, dataset.classes, bool(getattr(dataset, "exact", False)))


def check_dataset(data: object) -> None:
    """Raise `DataError` unless `data` has a name, classes, a length and items by index."""
    lacking = [name for name in ("name", "classes", "__len__", "__getitem__") if not hasattr(data, name)]
    if lacking or isinstance(data, type):
        raise DataError(
            f"a data set needs a name, classes, a length and items by index, which {shown(data)} lacks. "
            "Open a folder or a table with open_dataset(...)."
        )


def sample_indices(n: int, limit: int | None, seed: int) -> list[int]:
    """Return the indices of all `n` items, or of `limit` items drawn at random without replacement, in ascending order.

    The first `limit` items would not do: those of a sorted folder belong to the first classes only.
    """
    check_seed(seed)
    if limit is None or limit >= n:
        return list(range(n))
    return sorted(np.random.default_rng(seed).choice(n, size=limit, replace=False).tolist())
