"""The classes of ImageNet-1k: their WordNet ids and words, bundled so that nothing has to be downloaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SYNSETS_FILE = "imagenet_synsets.tsv"
"""The bundled table, whose first lines state its origin and licence."""

MIN_MATCHING_NAMES = 0.9
"""Fraction of the names that must be words of the ImageNet class at the same index.

Torchvision's names match at 998 of 1000 indices (two were made unique: "crane bird", "maillot tank suit"); names in
another order match at hardly any.
"""


@dataclass(frozen=True)
class Synset:
    """A class of ImageNet.

    Attributes:
        wnid: WordNet id, such as "n02123045".
        words: Its words in WordNet, such as ("tabby", "tabby cat").
    """

    wnid: str
    words: tuple[str, ...]


@cache
def synsets() -> tuple[Synset, ...]:
    """Return the 1000 classes of ImageNet-1k in the order of a network's outputs."""
    text = (files("camlucida") / SYNSETS_FILE).read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple(Synset(wnid, tuple(word.strip() for word in words.split(","))) for wnid, words in rows)


@cache
def synset_of() -> dict[str, Synset]:
    """Return the classes by WordNet id."""
    return {synset.wnid: synset for synset in synsets()}


def wordnet_id(name: str) -> str | None:
    """Return the WordNet id of an ImageNet class in a name: "n02123045", or a folder's name that begins with it.

    Args:
        name: A name such as "n02123045" or "n02085620-Chihuahua".

    Returns:
        The id, or None if the name has none or the id is not a class of ImageNet-1k.
    """
    match = re.match(r"n[0-9]{8}(?=$|[-_ .])", name.strip())
    return match[0] if match is not None and match[0] in synset_of() else None


@cache
def synsets_of_names(names: tuple[str, ...]) -> tuple[Synset | None, ...]:
    """Return the ImageNet class that each of a model's class names denotes, or None where that is not known.

    A name that is a WordNet id denotes its class. Beside that, the names denote classes only if there are 1000 and
    their order was verified to be that of ImageNet-1k: name i must be a word of class i for 90 % of the classes.

    Args:
        names: Names of the classes, in the order of the outputs.
    """
    known: tuple[Synset | None, ...] = tuple(synset_of().get(wordnet_id(name) or "") for name in names)
    if len(names) != len(synsets()) or all(known):
        return known
    n_matching = sum(
        bool({normalize(word) for word in name.split(",")} & {normalize(word) for word in synset.words})
        for name, synset in zip(names, synsets(), strict=True)
    )
    return synsets() if n_matching >= MIN_MATCHING_NAMES * len(names) else known


def unique_words(synset: Synset) -> frozenset[str]:
    """Return the normalised words that denote this class and no other of the 1000 ("crane" is a bird and a machine)."""
    return frozenset(word for word in map(normalize, synset.words) if _n_classes_with()[word] == 1)


@cache
def _n_classes_with() -> dict[str, int]:
    """Return in how many classes each normalised word occurs."""
    counts: dict[str, int] = {}
    for synset in synsets():
        for word in {normalize(word) for word in synset.words}:
            counts[word] = counts.get(word, 0) + 1
    return counts


def normalize(name: str) -> str:
    """Return a name in lower case with single spaces, hyphens and underscores being spaces too."""
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def numbered(matches: Sequence[int], names: Sequence[str], limit: int = 8) -> str:
    """Return classes as text for an error message: "'crane' (134), 'crane' (517)"."""
    return ", ".join(f"{names[i]!r} ({i})" for i in matches[:limit]) + (" …" if len(matches) > limit else "")
