"""Stanford Dogs (Khosla et al., 2011): 20,580 images of 120 breeds with boxes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from camlucida.data.dataset import Item, LazyItems, ListDataset
from camlucida.data.location import Location, first_existing, locate_pieces
from camlucida.data.matlab import read_mat
from camlucida.data.voc_xml import read_voc_xml
from camlucida.errors import DataError

LAYOUT = (
    "Images/<n02085620-Chihuahua>/<n02085620_7.jpg>, Annotation/<n02085620-Chihuahua>/<n02085620_7>, "
    "lists/train_list.mat, lists/test_list.mat (http://vision.stanford.edu/aditya86/ImageNetDogs)."
)
PIECES = {
    "images": ("Images",),
    "train": ("lists/train_list.mat", "train_list.mat"),
    "test": ("lists/test_list.mat", "test_list.mat"),
}
"""Possible paths of each piece. The archive of the lists has no top-level folder, so both paths occur."""


def stanford_dogs(root: Location) -> ListDataset:
    """Open Stanford Dogs with the official splits, labels and order; boxes are the stored numbers, as edges of pixels.

    Raises `DataError`, which names missing files. Without Annotation/ there are no boxes, which is listed in
    `problems`.
    """
    pieces = locate_pieces("Stanford Dogs", root, PIECES, LAYOUT)
    boxes = first_existing(root, ("Annotation", "Annotations"))
    items, folders, problems = [], dict[int, str](), list[str]()
    for split in ("train", "test"):
        files, labels = read_mat(pieces[split], "file_list", "labels")
        if len(files) != len(labels):
            raise DataError(f"{pieces[split]} has {len(files)} files and {len(labels)} labels.")
        for file, label in zip(files, labels, strict=True):
            file, label = str(file), int(label) - 1  # MATLAB counts from 1
            folder = file.partition("/")[0]
            if label < 0:
                raise DataError(f"{pieces[split]}: the label of {file} is {label + 1}; labels start at 1.")
            if folders.setdefault(label, folder) != folder:
                problems.append(f"{file} has the label {label + 1} ({folders[label]}) in the lists.")
            items.append(Item(pieces["images"] / file, file, label, split=split))
    classes = tuple(class_name(folders.get(i, f"class {i + 1}")) for i in range(max(folders, default=-1) + 1))
    if boxes is None:
        problems.append(f"Annotation is missing in {root}, so there are no boxes.")
        return ListDataset("Stanford Dogs", items, classes, problems=tuple(problems))
    return ListDataset(
        "Stanford Dogs", LazyItems(items, partial(_with_boxes, boxes)), classes, problems=tuple(problems)
    )


def _with_boxes(folder: Location, item: Item) -> Item:
    try:
        objects = read_voc_xml(folder / item.name.rpartition(".")[0])
    except DataError as error:
        return replace(item, problems=(f"no boxes: {error}.",))
    return replace(item, boxes=np.array([annotated.box for annotated in objects], dtype=np.float64).reshape(-1, 4))


def class_name(folder: str) -> str:
    """Return the display name of a class: n02085936-Maltese_dog becomes Maltese dog."""
    return (folder.partition("-")[2] or folder).replace("_", " ")
