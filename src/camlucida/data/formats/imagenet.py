"""ImageNet's validation images (ILSVRC2012) with their boxes, in the three common layouts.

    val/n01440764/ILSVRC2012_val_00000293.JPEG             one folder per class
    val/…JPEG + LOC_val_solution.csv                       Kaggle's archive
    val/…JPEG + ILSVRC2012_validation_ground_truth.txt     the original archive, with meta.mat of its development kit

The boxes are XML files in Annotations/CLS-LOC/val/, bbox/val/ or val/.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from camlucida.data.dataset import Item, LazyItems, ListDataset
from camlucida.data.location import Location, first_existing, images_in, list_folder, read_lines
from camlucida.data.matlab import read_mat
from camlucida.data.voc_xml import read_voc_xml
from camlucida.errors import DataError

IMAGE_FOLDERS = ("val", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val", "")
BOX_FOLDERS = ("Annotations/CLS-LOC/val", "ILSVRC/Annotations/CLS-LOC/val", "bbox/val", "bbox_val", "val", "bbox")
SOLUTION_FILES = ("LOC_val_solution.csv",)
NAME_FILES = ("LOC_synset_mapping.txt", "synset_words.txt")
GROUND_TRUTH_FILES = tuple(
    f"{folder}ILSVRC2012_validation_ground_truth.txt" for folder in ("ILSVRC2012_devkit_t12/data/", "data/", "")
)
META_FILES = tuple(f"{folder}meta.mat" for folder in ("ILSVRC2012_devkit_t12/data/", "data/", ""))
N_CLASSES = 1000
"""Number of classes. Entries of meta.mat with larger numbers are groups of classes."""


def imagenet(root: Location) -> ListDataset:
    """Open ImageNet's validation set; labels follow the usual order of networks: synsets sorted by their number.

    Boxes are the stored numbers, used as edges of pixels. Raises `DataError`, which names missing files.
    """
    folder = first_existing(root, IMAGE_FOLDERS) or root
    files = [(name, file) for name, file in images_in(folder)]
    names = _read_names(root)
    by_file = _read_labels(root, files)
    synsets = sorted(names if len(names) >= N_CLASSES else {*names, *by_file.values()})
    label_of = {synset: number for number, synset in enumerate(synsets)}
    items, problems = [], list[str]()
    for name, file in files:
        label = label_of.get(by_file.get(file.stem, ""))
        item_problems = () if label is not None else (f"no label: {file.stem} is in none of the lists.",)
        items.append(Item(file, name, label, split="val", problems=item_problems))
    classes = tuple(names.get(synset) or _torchvision_names(synsets).get(synset, synset) for synset in synsets)
    boxes = next((p for p in (root / name for name in BOX_FOLDERS) if p.is_dir() and _has_xml(p)), None)
    if boxes is None:
        problems.append(f"{BOX_FOLDERS[0]}/…xml is missing in {root}, so there are no boxes.")
        return ListDataset("ImageNet val", items, classes, problems=tuple(problems))
    flat = (boxes / f"{items[0].name.rpartition('/')[2].rpartition('.')[0]}.xml").is_file() or "/" not in items[0].name
    return ListDataset(
        "ImageNet val", LazyItems(items, partial(_with_boxes, boxes, flat)), classes, problems=tuple(problems)
    )


def _has_xml(folder: Location) -> bool:
    entries = list_folder(folder)
    inner = next((entry for entry in entries if entry.is_dir()), None)
    return any(entry.suffix == ".xml" for entry in [*entries, *(list_folder(inner) if inner is not None else ())])


def _read_labels(root: Location, files: list[tuple[str, Location]]) -> Mapping[str, str]:
    """Return the synset of each image by its file name without suffix."""
    if all("/" in name for name, _ in files):
        return {file.stem: name.partition("/")[0] for name, file in files}
    if (solution := first_existing(root, SOLUTION_FILES)) is not None:
        rows = csv.DictReader(read_lines(solution))
        return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows if row["PredictionString"]}
    ground_truth, meta = first_existing(root, GROUND_TRUTH_FILES), first_existing(root, META_FILES)
    if ground_truth is None or meta is None:
        missing = [
            name
            for name, location in ((GROUND_TRUTH_FILES[0], ground_truth), (META_FILES[0], meta))
            if location is None
        ]
        raise DataError(
            f"ImageNet: {'; '.join(f'{name} is missing in {root}' for name in missing)}. The images are in one "
            "folder, so their classes must be listed there or in LOC_val_solution.csv, or be the names of "
            "sub-folders (n01440764/)."
        )
    synsets = _read_synsets(meta)
    answers = read_lines(ground_truth)
    return {
        file.stem: synsets.get(answers[number - 1], "")
        for _, file in files
        if (end := file.stem.rpartition("_")[2]).isdigit() and 0 < (number := int(end)) <= len(answers)
    }


def _read_synsets(meta: Location) -> dict[str, str]:
    """Return the synset of each class number of the challenge."""
    (rows,) = read_mat(meta, "synsets")
    return {str(int(row[0])): str(row[1]) for row in rows if int(row[0]) <= N_CLASSES}


def _read_names(root: Location) -> dict[str, str]:
    """Return the first name of each synset, from a list of names or from the development kit."""
    if (name_file := first_existing(root, NAME_FILES)) is not None:
        pairs = (line.partition(" ")[::2] for line in read_lines(name_file))
        return {synset: synonyms.partition(",")[0].strip() for synset, synonyms in pairs}
    if (meta := first_existing(root, META_FILES)) is not None:
        (rows,) = read_mat(meta, "synsets")
        return {str(row[1]): str(row[2]).partition(",")[0] for row in rows if int(row[0]) <= N_CLASSES}
    return {}


def _torchvision_names(synsets: list[str]) -> Mapping[str, str]:
    """Return torchvision's names of all 1000 classes by synset; empty if there are not 1000 synsets."""
    if len(synsets) != N_CLASSES:
        return {}
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return dict(zip(synsets, _IMAGENET_CATEGORIES, strict=True))


def _with_boxes(folder: Location, flat: bool, item: Item) -> Item:
    name = item.name.rpartition(".")[0]
    try:
        objects = read_voc_xml(folder / f"{name.rpartition('/')[2] if flat else name}.xml")
    except DataError as error:
        return replace(item, problems=(*item.problems, f"no boxes: {error}."))
    return replace(item, boxes=np.array([annotated.box for annotated in objects], dtype=np.float64).reshape(-1, 4))
