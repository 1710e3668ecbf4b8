"""Rules that detect problems in a dataset: one function per rule, one sentence per finding."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from camlucida.data.duplicates import exact_duplicates, near_duplicates
from camlucida.data.inspect_image import ImageInfo

BOX_TOLERANCE_PX = 1.0
"""Number of pixels by which a box may exceed the image, since some datasets count pixels from 1 and others from 0."""
SMALL_SIDE_PX = 24
"""Images with a side below this number of pixels are reported as small."""
MAX_IMBALANCE = 10
"""Ratio of the largest to the smallest class above which the classes are reported as unbalanced."""
MAX_NAMES = 4
"""Largest number of names listed in one sentence."""


@dataclass(frozen=True, eq=False)
class CheckedItem:
    """One inspected image with its annotations.

    Attributes:
        name: The name of the item.
        label: Its class, an index; None if it is unknown.
        split: "train", "val", "test" or "".
        info: How the image is stored, or why it cannot be read.
        problems: Errors in its annotations, one sentence each.
        boxes_outside: A description of each box that is empty or exceeds the image.
    """

    name: str
    label: int | None
    split: str
    info: ImageInfo
    problems: tuple[str, ...] = ()
    boxes_outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One result of a rule.

    Attributes:
        kind: The kind of the finding, such as "broken" or "leak".
        wrong: Whether it should be fixed; otherwise it is informative.
        sentence: The description.
        images: The names of the images concerned.
    """

    kind: str
    wrong: bool
    sentence: str
    images: tuple[str, ...] = ()


FindingRule: TypeAlias = Callable[[Sequence[CheckedItem], Sequence[str]], Iterator[Finding]]


def broken(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report files that are missing, empty, truncated or not images."""
    for item in items:
        if item.info.error:
            yield Finding("broken", True, f"{item.name}: {item.info.error}", (item.name,))


def annotation_problems(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report errors in the lists and annotations of single images."""
    for item in items:
        yield from (Finding("annotation", True, f"{item.name}: {problem}", (item.name,)) for problem in item.problems)


def boxes_outside_image(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report boxes that exceed their image or are empty."""
    for item in items:
        yield from (Finding("box", True, f"{item.name}: {outside}", (item.name,)) for outside in item.boxes_outside)


def unlabelled(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report images without a label; a split that has no labels at all is assumed to be intended."""
    labelled_splits = {item.split for item in items if item.label is not None}
    for wrong in (True, False):
        names = tuple(item.name for item in items if item.label is None and (item.split in labelled_splits) is wrong)
        if names and labelled_splits:
            sentence = f"{_count(names, 'image has', 'images have')} no label: {_join_some(names)}."
            yield Finding("label", wrong, sentence if wrong else f"a split has no labels at all: {sentence}", names)


def similar_class_names(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report class names that differ only by case, spaces, hyphens, underscores or dots."""
    by_spelling: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        by_spelling["".join(letter for letter in name.casefold() if letter not in " _-\t.")].append(name)
    for group in by_spelling.values():
        if len(group) > 1:
            yield Finding(
                "class", True, f"{_join_all(map(repr, group))} are {len(group)} classes. Are they the same class?"
            )


def class_sizes(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report classes with no image or only one, and unbalanced classes; unreadable images do not count."""
    counts = Counter(item.label for item in items if item.label is not None and not item.info.error)
    single = [classes[label] for label in sorted(counts) if counts[label] == 1]
    for name in single:
        yield Finding(
            "class", True, f"the class {name!r} has only one image, which cannot be used for both training and testing."
        )
    empty = [name for label, name in enumerate(classes) if not counts[label]]
    if empty:
        sentence = f"{_count(empty, 'class has', 'classes have')} no readable images: {_join_some(empty)}."
        yield Finding("class", any(item.label is not None and classes[item.label] in empty for item in items), sentence)
    if counts and max(counts.values()) > MAX_IMBALANCE * min(counts.values()):
        (largest, largest_count), (smallest, smallest_count) = (
            counts.most_common(1)[0],
            min(counts.items(), key=lambda pair: pair[1]),
        )
        imbalance = (
            f"the classes are unbalanced: {largest_count} images of {classes[largest]!r}, {smallest_count} of "
            f"{classes[smallest]!r}."
        )
        yield Finding("class", False, imbalance)


def classes_missing_in_train(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report classes that occur in another split but not in the training split."""
    labels_by_split: dict[str, set[int]] = defaultdict(set)
    for item in items:
        if item.label is not None and not item.info.error:
            labels_by_split[item.split].add(item.label)
    for split in sorted(labels_by_split.keys() - {"train", ""}) if "train" in labels_by_split else ():
        missing = [classes[label] for label in sorted(labels_by_split[split] - labels_by_split["train"])]
        if missing:
            count = _count(missing, "class is", "classes are")
            yield Finding("split", True, f"{count} in {split}, but not in train: {_join_some(missing)}.")


def duplicates(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report identical files: in two splits (a leak), with two labels (a conflict), or repeated."""
    for group in exact_duplicates([item.info for item in items]):
        yield _duplicate_finding([items[i] for i in group], classes, "are the same file", True)


def similar_images(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report near duplicates: a problem if they are in different splits, otherwise informative."""
    for group in near_duplicates([item.info for item in items]):
        yield _duplicate_finding([items[i] for i in group], classes, "look the same", False)


def _duplicate_finding(group: Sequence[CheckedItem], classes: Sequence[str], relation: str, wrong: bool) -> Finding:
    images = tuple(item.name for item in group)
    sentence = f"{_join_some(images)} {relation}"
    splits_ = sorted({item.split for item in group})
    labels = sorted({item.label for item in group if item.label is not None})
    if len(splits_) > 1:
        return Finding("leak", True, f"{sentence}, in {_join_all(split or 'no split' for split in splits_)}.", images)
    if len(labels) > 1:
        return Finding(
            "conflict", wrong, f"{sentence}, labelled {_join_all(repr(classes[k]) for k in labels)}.", images
        )
    return Finding("duplicate" if wrong else "near duplicate", wrong, f"{sentence}.", images)


def storage_formats(items: Sequence[CheckedItem], classes: Sequence[str]) -> Iterator[Finding]:
    """Report small images and storage formats that tools read differently: grey, CMYK, transparent, rotated by EXIF."""
    kinds: tuple[tuple[str, Callable[[ImageInfo], bool]], ...] = (
        ("grey", lambda info: info.mode in ("1", "L", "LA", "I", "F") or info.mode.startswith("I;16")),
        ("CMYK, whose colours depend on the conversion", lambda info: info.mode == "CMYK"),
        ("transparent and composited on white", lambda info: info.alpha),
        ("rotated or mirrored by an EXIF tag, which some tools ignore", lambda info: info.orientation != 1),
        (f"less than {SMALL_SIDE_PX} pixels wide or high", lambda info: min(info.size) < SMALL_SIDE_PX),
    )
    readable = [item for item in items if not item.info.error]
    for description, applies in kinds:
        names = tuple(item.name for item in readable if applies(item.info))
        if names:
            yield Finding(
                "form",
                False,
                f"{_count(names, 'image is', 'images are')} {description}: {_join_some(names)}.",
                names,
            )


RULES: tuple[FindingRule, ...] = (
    broken,
    annotation_problems,
    unlabelled,
    similar_class_names,
    class_sizes,
    classes_missing_in_train,
    boxes_outside_image,
    duplicates,
    similar_images,
    storage_formats,
)
"""All rules, in the order in which their findings are reported."""


def _count(elements: Sequence[str], singular: str, plural: str) -> str:
    return f"{len(elements):,} {singular if len(elements) == 1 else plural}"


def _join_some(names: Sequence[str]) -> str:
    """Join all names of a short list, or the first names of a long one."""
    if len(names) <= MAX_NAMES + 1:
        return _join_all(names)
    return f"{', '.join(names[:MAX_NAMES])} and {len(names) - MAX_NAMES:,} more"


def _join_all(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
