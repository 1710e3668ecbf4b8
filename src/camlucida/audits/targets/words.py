"""The content words of a caption, compared with the classes that an image is known to have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from camlucida.data.datasets import Item
from camlucida.models.image_targets import BoundTarget
from camlucida.types import Region

_WORDS = """
a an the and or but nor of on in at to by for from with without into onto over under near beside next behind
between through across up down out off is are was were be been being am has have had do does did can could will
would may might must shall should it its he she they them his her their there this that these those some any no
not as than then so very one two three four five six seven eight nine ten which who what where while
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
"""English words without a content of their own: articles, conjunctions, prepositions, auxiliaries, pronouns, numerals.
All other words of a caption are explained."""


@dataclass(frozen=True, eq=False)
class WordRow:
    """One word of a caption, or a class that the caption does not name.

    Attributes:
        outcome: "correct" if the word is a class of the image, "false" if it is another class of the data set,
            "missed" for a class that is not named; None for a word that is no class.
        bound: The word as a target; None for "missed", which has no position in the caption.
        label: The class of the image.
        region: The objects of this class on the image; None if they are unknown.
    """

    outcome: Literal["correct", "false", "missed"] | None
    bound: BoundTarget | None
    label: str | None = None
    region: Region | None = None


def bind_words(classes: Sequence[str], item: Item, bound: Sequence[BoundTarget]) -> list[WordRow]:
    """Return the content words of a caption, and the classes of the image that it does not name.

    Args:
        classes: Class names of the data set.
        item: The image.
        bound: The words of the caption as targets.
    """
    names = {name.strip().lower(): i for i, name in enumerate(classes)}
    present = _classes_of(item)
    is_complete = item.objects is not None or item.label is not None
    rows, named = [], set()
    for each in bound:
        text = word_of(each)
        if text.lower() in FUNCTION_WORDS or not any(map(str.isalpha, text)):
            continue
        index = next((names[form] for form in _forms(text.lower()) if form in names), None)
        if index is None or not is_complete:
            rows.append(WordRow(None, each))
        elif index in present:
            named.add(index)
            rows.append(WordRow("correct", each, classes[index], _region_of(item, index)))
        else:
            rows.append(WordRow("false", each))
    rows += [WordRow("missed", None, classes[i], _region_of(item, i)) for i in sorted(present - named)]
    return rows


def word_of(bound: BoundTarget) -> str:
    """Return the word of a target, whose label is "dog (word 5)"."""
    return bound.label.rpartition(" (")[0]


def _forms(word: str) -> tuple[str, ...]:
    """Return a word and its singular, if it may be a plural."""
    return (word, word.removesuffix("s"), word.removesuffix("es"))


def _classes_of(item: Item) -> set[int]:
    if item.objects is not None:
        return {each.label for each in item.objects() if each.label is not None and not each.is_ignored}
    return set() if item.label is None else {item.label, *item.also_correct}


def _region_of(item: Item, label: int) -> Region | None:
    """Return the objects of a class on the image, as one mask, or the box of the only one."""
    objects = [each for each in (item.objects() if item.objects else ()) if each.label == label]
    masks = [each.mask() for each in objects if each.mask is not None]
    if objects and len(masks) == len(objects):
        return Region(mask=torch.from_numpy(np.logical_or.reduce(masks)))
    if len(objects) == 1 and objects[0].box is not None:
        left, top, right, bottom = (float(side) for side in objects[0].box)
        return Region((left, top, right, bottom))
    if label == item.label and item.mask is not None:
        return Region(mask=torch.as_tensor(item.mask()))
    if label == item.label and item.boxes is not None and len(item.boxes) == 1:
        left, top, right, bottom = (float(side) for side in item.boxes[0])
        return Region((left, top, right, bottom))
    return None
