"""Look up a class of a model by its name, a synonym or a WordNet id."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from camlucida.errors import TargetError, nearest
from camlucida.imagenet import normalize, numbered, synset_of, synsets_of_names, unique_words, wordnet_id
from camlucida.target_forms import form_hint


def index_of(text: str, names: Sequence[str], n_classes: int) -> int:
    """Return the class that a text means: the index that it is the digits of, or else the class of that name.

    "1" is the class 1 whatever the classes are called. "class 1" is the class of that name; only where classes have no
    names it means the index, since `class_label` calls it so.

    Args:
        text: A name or an index.
        names: Names of the classes, in the order of the outputs; may be empty.
        n_classes: Number of outputs.

    Raises:
        TargetError: There is no such class; the message suggests similar names.
    """
    unnamed = None if names else re.fullmatch(r"\s*class ([0-9]{1,18})\s*", text)
    digits = text if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", text) else unnamed and unnamed[1]
    if not digits:
        return class_index(text, names)
    index = int(digits)
    if not 0 <= index < n_classes:
        raise out_of_range(index, n_classes)
    return index


def out_of_range(index: int, n_classes: int) -> TargetError:
    """Return the error for a class index that a model with `n_classes` outputs does not have."""
    reason = "is not a class" if index < 0 else f"needs at least {index + 1} outputs"
    return TargetError(f"target {index} {reason}; the model returns {n_classes}: 0 to {n_classes - 1}.")


def class_index(name: str, names: Sequence[str]) -> int:
    """Return the index of the class called `name`.

    These rules are tried in order, and the first that matches any class decides:

    1. the whole name, then one of its comma-separated synonyms, with upper and lower case as given ("Cardigan" is a
       dog of ImageNet and "cardigan" a garment);
    2. the same without regard to case, hyphens and underscores;
    3. a WordNet id ("n02123045", "n02123045-tabby") and WordNet's synonyms ("tabby cat" for "tabby"), where the model's
       names are known to be classes of ImageNet; see `imagenet.synsets_of_names`;
    4. a word of the name, then any part of it.

    Args:
        name: The name to look up.
        names: Names of the model's classes, in the order of its outputs.

    Raises:
        TargetError: No class matches (the message suggests similar names), or several do.
    """
    if not name.strip():
        example = f"{names[0]!r}, or its index" if names else "'cat', or an index"
        raise TargetError(f"the name of a class is missing. Give a class, such as {example}.")
    if not names:
        raise TargetError(
            f"no class {name!r}: this model has no class names. Give an index, such as '1'.{form_hint(name)}"
        )
    names = tuple(names)
    matches = next((found for found in _matches(name, names) if found), [])
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise TargetError(
            f"{len(matches)} classes match {name!r}: {numbered(matches, names)}. Give the whole name or the index."
            f"{form_hint(name, names)}"
        )
    form = form_hint(name, names)
    known = [] if form else [word for words in _synonyms(names)[1] for word in words]
    hint = nearest(normalize(name), known) or f" It has {len(names)} classes, from {names[0]!r} to {names[-1]!r}."
    raise TargetError(f"no class {name!r} in this model.{hint}{form}")


def _matches(name: str, names: tuple[str, ...]) -> Iterator[list[int]]:
    """Yield the indices that each rule of `class_index` matches, in its order."""
    stripped, query = name.strip(), normalize(name)
    exact, words = _synonyms(names)
    yield [i for i, full in enumerate(names) if full.strip() == stripped]
    yield _where(exact, lambda synonyms: stripped in synonyms)
    yield [i for i, full in enumerate(_normalized(names)) if full == query]
    yield _where(words, lambda synonyms: query in synonyms)
    synsets = synsets_of_names(names)
    if (wnid := wordnet_id(name)) is not None:
        yield [i for i, synset in enumerate(synsets) if synset is not None and synset.wnid == wnid]
        synonyms_of_id = unique_words(synset_of()[wnid])
        yield _where(words, lambda synonyms: not synonyms_of_id.isdisjoint(synonyms))
        return  # an id is never part of a name
    yield [i for i, synset in enumerate(synsets) if synset is not None and stripped in synset.words]
    yield [i for i, synset in enumerate(synsets) if synset is not None and query in map(normalize, synset.words)]
    yield _where(words, lambda synonyms: any(query in synonym.split() for synonym in synonyms))
    yield _where(words, lambda synonyms: any(query in synonym for synonym in synonyms))


def _where(synonyms: Sequence[tuple[str, ...]], matches: Callable[[tuple[str, ...]], bool]) -> list[int]:
    return [i for i, words in enumerate(synonyms) if matches(words)]


@cache
def _normalized(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(normalize, names))


@cache
def _synonyms(names: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Return the comma-separated synonyms in each name: as given, and normalised."""
    split = tuple(tuple(word.strip() for word in full.split(",")) for full in names)
    return split, tuple(tuple(map(normalize, words)) for words in split)


def class_label(index: int, names: Sequence[str]) -> str:
    """Return the name of a class, or "class 7" where it has none."""
    return names[index] if 0 <= index < len(names) else f"class {index}"
