"""ImageNet's validation pictures (ILSVRC2012) with their boxes, in the three ways they are kept.

    val/n01440764/ILSVRC2012_val_00000293.JPEG             a folder a class
    val/…JPEG + LOC_val_solution.csv                       Kaggle's archive
    val/…JPEG + ILSVRC2012_validation_ground_truth.txt     the challenge's own, with meta.mat of its kit

and the boxes in Annotations/CLS-LOC/val/, bbox/val/ or val/ as XML.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from camlucida.data.annotations import read_xml
from camlucida.data.items import Item, Lazily, Listed
from camlucida.data.matlab import read_mat
from camlucida.data.places import Place, first, inside, lines_of, pictures_in
from camlucida.errors import DataError

PICTURES = ("val", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val", "")
BOXES = ("Annotations/CLS-LOC/val", "ILSVRC/Annotations/CLS-LOC/val", "bbox/val", "bbox_val", "val", "bbox")
SOLUTION = ("LOC_val_solution.csv",)
NAMES = ("LOC_synset_mapping.txt", "synset_words.txt")
TRUTH = tuple(
    f"{folder}ILSVRC2012_validation_ground_truth.txt" for folder in ("ILSVRC2012_devkit_t12/data/", "data/", "")
)
META = tuple(f"{folder}meta.mat" for folder in ("ILSVRC2012_devkit_t12/data/", "data/", ""))
CLASSES = 1000
"""What of meta.mat is a class; the rest are groups of them."""


def imagenet(root: Place) -> Listed:
    """Labels in the order that networks are trained in: synsets sorted by their number.

    Boxes are ImageNet's numbers, taken as edges of the picture's pixels. Raises `DataError` that names what is missing.
    """
    folder = first(root, PICTURES) or root
    files = [(name, file) for name, file in pictures_in(folder)]
    words = _names(root)
    by_file = _labels(root, files)
    synsets = sorted(words if len(words) >= CLASSES else {*words, *by_file.values()})
    numbers = {synset: number for number, synset in enumerate(synsets)}
    items, problems = [], list[str]()
    for name, file in files:
        label = numbers.get(by_file.get(file.stem, ""))
        wrong = () if label is not None else (f"no label: no list names {file.stem}.",)
        items.append(Item(file, name, label, split="val", problems=wrong))
    classes = tuple(words.get(synset) or _known(synsets).get(synset, synset) for synset in synsets)
    boxes = next((p for p in (root / name for name in BOXES) if p.is_dir() and _has_xml(p)), None)
    if boxes is None:
        problems.append(f"{BOXES[0]}/…xml is missing in {root}: there are no boxes.")
        return Listed("ImageNet val", items, classes, problems=tuple(problems))
    flat = (boxes / f"{items[0].name.rpartition('/')[2].rpartition('.')[0]}.xml").is_file() or "/" not in items[0].name
    return Listed("ImageNet val", Lazily(items, partial(_boxed, boxes, flat)), classes, problems=tuple(problems))


def _has_xml(folder: Place) -> bool:
    entries = inside(folder)
    inner = next((entry for entry in entries if entry.is_dir()), None)
    return any(entry.suffix == ".xml" for entry in [*entries, *(inside(inner) if inner is not None else ())])


def _labels(root: Place, files: list[tuple[str, Place]]) -> Mapping[str, str]:
    """Name of a picture without its suffix -> its synset."""
    if all("/" in name for name, _ in files):
        return {file.stem: name.partition("/")[0] for name, file in files}
    if (solution := first(root, SOLUTION)) is not None:
        rows = csv.DictReader(lines_of(solution))
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows if row["PredictionString"]}
    truth, meta = first(root, TRUTH), first(root, META)
    if truth is None or meta is None:
        missing = [name for name, place in ((TRUTH[0], truth), (META[0], meta)) if place is None]
        raise DataError(
            f"ImageNet: {'; '.join(f'{name} is missing in {root}' for name in missing)}. The pictures lie in one "
            "folder, so their classes have to be listed there, or in LOC_val_solution.csv, or be the names of "
            "sub-folders (n01440764/)."
        )
    synsets = _synsets(meta)
    answers = lines_of(truth)
    return {
        file.stem: synsets.get(answers[number - 1], "")
        for _, file in files
        if (end := file.stem.rpartition("_")[2]).isdigit() and 0 < (number := int(end)) <= len(answers)
    }


def _synsets(meta: Place) -> dict[str, str]:
    """The challenge's own number of a class -> its synset."""
    (rows,) = read_mat(meta, "synsets")
    return {str(int(row[0])): str(row[1]) for row in rows if int(row[0]) <= CLASSES}


def _names(root: Place) -> dict[str, str]:
    """Synset -> the first of its words, from a list of them or from the kit."""
    if (listed := first(root, NAMES)) is not None:
        pairs = (line.partition(" ")[::2] for line in lines_of(listed))
        return {synset: words.partition(",")[0].strip() for synset, words in pairs}
    if (meta := first(root, META)) is not None:
        (rows,) = read_mat(meta, "synsets")
        return {str(row[1]): str(row[2]).partition(",")[0] for row in rows if int(row[0]) <= CLASSES}
    return {}


def _known(synsets: list[str]) -> Mapping[str, str]:
    """torchvision knows the words of all thousand, in their order."""
    if len(synsets) != CLASSES:
        return {}
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return dict(zip(synsets, _IMAGENET_CATEGORIES, strict=True))


def _boxed(folder: Place, flat: bool, item: Item) -> Item:
    name = item.name.rpartition(".")[0]
    try:
        marked = read_xml(folder / f"{name.rpartition('/')[2] if flat else name}.xml")
    except DataError as error:
        return replace(item, problems=(*item.problems, f"no boxes: {error}."))
    return replace(item, boxes=np.array([one.box for one in marked], dtype=np.float64).reshape(-1, 4))
