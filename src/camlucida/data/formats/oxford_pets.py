"""Oxford-IIIT Pet (Parkhi et al., 2012): 37 breeds of cats and dogs with trimaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from camlucida.data.dataset import Item, LazyItems, ListDataset, Mask
from camlucida.data.index_masks import read_index_mask
from camlucida.data.location import Location, first_existing, locate_pieces, read_lines
from camlucida.data.voc_xml import read_voc_xml
from camlucida.errors import DataError

LAYOUT = "images/<Abyssinian_1.jpg>, annotations/trainval.txt, test.txt, trimaps/<Abyssinian_1.png>, xmls/."
PIECES = {
    "images": ("images",),
    "trainval": ("annotations/trainval.txt",),
    "test": ("annotations/test.txt",),
}
ANIMAL, BACKGROUND, UNCERTAIN = 1, 2, 3
"""Values of a trimap."""


def oxford_pets(root: Location) -> ListDataset:
    """Open the official splits trainval (as train) and test, with labels 0 to 36 and masks from the trimaps.

    The mask contains the pixels that are certainly animal, without the uncertain border (3). The box encloses the whole
    animal, border included. The published boxes, which are of heads only, are the part "head" where they exist.

    Args:
        root: The folder of the dataset, or the folder that torchvision creates around it.
    """
    root = first_existing(root, ("oxford-iiit-pet",)) or root
    pieces = locate_pieces("Oxford-IIIT Pet", root, PIECES, LAYOUT)
    items, names, problems = [], dict[int, str](), list[str]()
    for split, piece in (("train", "trainval"), ("test", "test")):
        for number, line in enumerate(read_lines(pieces[piece]), start=1):
            fields = line.split()
            if len(fields) < 2 or not fields[1].isdigit() or fields[1] == "0":
                problems.append(f"{piece}.txt, line {number}: expected a name and a class number, not {line[:40]!r}.")
                continue
            label = int(fields[1]) - 1
            names.setdefault(label, fields[0].rpartition("_")[0])
            items.append(Item(pieces["images"] / f"{fields[0]}.jpg", fields[0], label, split=split))
    classes = tuple(class_name(names.get(i, f"class {i + 1}")) for i in range(max(names, default=-1) + 1))
    annotations = root / "annotations"
    if not (annotations / "trimaps").is_dir():
        problems.append(f"annotations/trimaps is missing in {root}, so there are no masks and no boxes.")
        return ListDataset("Oxford-IIIT Pet", items, classes, problems=tuple(problems))
    return ListDataset(
        "Oxford-IIIT Pet", LazyItems(items, partial(_with_masks, annotations)), classes, problems=tuple(problems)
    )


def _with_masks(annotations: Location, item: Item) -> Item:
    trimap, head = annotations / "trimaps" / f"{item.name}.png", annotations / "xmls" / f"{item.name}.xml"
    try:
        y, x = np.nonzero(read_index_mask(trimap) != BACKGROUND)
    except DataError as error:
        return replace(item, problems=(f"no mask: {error}",))
    boxes = np.array([[x.min(), y.min(), x.max() + 1, y.max() + 1]], dtype=np.float64) if len(x) else None
    parts = partial(_read_head_mask, head, trimap) if head.is_file() else None
    files = (trimap, head) if parts is not None else (trimap,)
    return replace(item, boxes=boxes, mask=partial(_read_animal_mask, trimap), parts=parts, files=files)


def _read_animal_mask(trimap: Location) -> Mask:
    return np.asarray(read_index_mask(trimap) == ANIMAL)


def _read_head_mask(file: Location, trimap: Location) -> Mapping[str, Mask]:
    mask = np.zeros(read_index_mask(trimap).shape, dtype=bool)
    for annotated in read_voc_xml(file):  # VOC's convention: counted from 1, both ends inclusive
        x0, y0, x1, y1 = (round(edge) for edge in annotated.box)
        mask[max(y0 - 1, 0) : y1, max(x0 - 1, 0) : x1] = True
    return {"head": mask}


def class_name(name: str) -> str:
    """Return the display name of a class: american_pit_bull_terrier becomes American Pit Bull Terrier."""
    return " ".join(word.title() for word in name.split("_"))
