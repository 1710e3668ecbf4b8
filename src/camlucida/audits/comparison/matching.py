"""Two audits of the same images by two models: which rows are of the same image, and their values in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.comparison.target_pairs import paired_keys, target_keys
from camlucida.audits.plan import EXPLAINED_CLASSES
from camlucida.audits.rows import MAP_COLUMNS
from camlucida.errors import DataError
from camlucida.evaluation.clustered import Images, image_means
from camlucida.evaluation.statistics import Floats, paired_differences

OUTPUT_COLUMNS = ("confidence", "competing_confidence", "label_confidence", "label_rank", "prediction_entropy")
"""Columns of the model's output that can be compared."""
ACCURACY = "accuracy"
"""Name under which the column `correct` is compared."""
BRIGHTNESS_TOLERANCE = 1e-5
"""Largest difference of the mean brightness of the network input of the same image, whatever machine prepared it."""
MAX_NAMES = 20


@dataclass(frozen=True, eq=False)
class PairedValues:
    """The values of one column for images that both audits have.

    Attributes:
        old: `(n,)`, no NaN.
        new: `(n,)`, no NaN.
        groups: Class of each image `(n,)`: its label, or without one the class that both models predict; None without.
        rows: Position of each among the matched images `(n,)`.
        images: The image of each value `(n,)`, where several targets share one; else None.
    """

    old: Floats
    new: Floats
    groups: NDArray[Any]
    rows: NDArray[np.int64]
    images: Images | None = None

    @property
    def differences(self) -> Floats:
        """New minus old `(n,)`; differences within rounding are 0."""
        return paired_differences(self.new, self.old)

    @property
    def independent_differences(self) -> Floats:
        """The differences of images, which tests compare with 0: of targets, their means within each image."""
        return self.differences if self.images is None else image_means(self.differences, self.images)

    def of(self, group: str) -> PairedValues:
        """Return the values of one class."""
        chosen = self.groups == group
        images = None if self.images is None else self.images[chosen]
        return PairedValues(self.old[chosen], self.new[chosen], self.groups[chosen], self.rows[chosen], images)

    def group_names(self) -> list[str]:
        """Return the names of the classes, sorted."""
        return sorted({group for group in self.groups if group is not None})


@dataclass(frozen=True, eq=False)
class MatchedAudits:
    """The images that two audits have in common.

    Attributes:
        old: The earlier audit.
        new: The later one.
        old_rows: Indices of the rows of the n common images in the earlier audit `(n,)`.
        new_rows: The same in the later one.
        only_old: Names of images that only the earlier audit has.
        only_new: Names of images that only the later one has.
        changed: Names of images whose size, label or pixels have changed. They are not compared.
        failed: Names of images that one of the audits could not read or explain.
        content_compared: Whether pixels were compared, by the mean of the network input; this needs equal
            preprocessing.
    """

    old: Audit
    new: Audit
    old_rows: NDArray[np.int64]
    new_rows: NDArray[np.int64]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    changed: tuple[str, ...]
    failed: tuple[str, ...]
    content_compared: bool

    def __len__(self) -> int:
        return len(self.old_rows)

    def record(self) -> dict[str, Any]:
        """Return how many images match, and the first names of those that do not."""
        groups = {name: getattr(self, name) for name in ("only_old", "only_new", "changed", "failed")}
        numbers = {f"n_{name}": len(names) for name, names in groups.items()}
        first = {name: list(names[:MAX_NAMES]) for name, names in groups.items()}
        return {"n": len(self), "content_compared": self.content_compared, **numbers, **first}

    def sentences(self) -> list[str]:
        """Return what does not match, in sentences."""
        reasons = {
            "only_old": "in the earlier audit only",
            "only_new": "in the new audit only",
            "changed": "with another size, label or content",
            "failed": "that could not be read or explained",
        }
        left_out = [f"{len(getattr(self, name)):,} {text}" for name, text in reasons.items() if getattr(self, name)]
        sentences = [f"Not compared: images {', '.join(left_out)}."] if left_out else []
        if not self.content_compared:
            sentences.append("The preprocessing differs, so that images were matched by name and size, not by content.")
        return sentences

    def columns(self) -> list[str]:
        """Return the names of what can be compared, in the order of the table."""
        return comparable_columns(self.old, self.new)

    def paired(self, column: str) -> PairedValues:
        """Return the values of a column for the images on which they are comparable.

        Columns of the maps of the predicted and the competing class are comparable where both models explain the same
        class; those of the true class and of the output always are.

        Raises:
            DataError: If the column cannot be compared.
        """
        if column not in self.columns():
            raise DataError(f"{column!r} cannot be compared. These columns can: {', '.join(self.columns())}.")
        name = "correct" if column == ACCURACY else column
        old, new = (
            _as_numbers(audit.column(name)[rows])
            for audit, rows in ((self.old, self.old_rows), (self.new, self.new_rows))
        )
        explained = _map_columns(self.new).get(column)
        usable = ~np.isnan(old) & ~np.isnan(new)
        if explained in ("predicted", "competing"):
            usable &= self.same(explained)
        rows = np.flatnonzero(usable)
        images = self.new.images()
        of_rows = None if images is None else images[self.new_rows[rows]]
        return PairedValues(old[rows], new[rows], self.groups[rows], rows, of_rows)

    def same(self, column: str) -> NDArray[np.bool_]:
        """Return for which images both audits have the same value `(n,)`: of "predicted", for example."""
        old, new = self.values(column)
        return np.array([a == b for a, b in zip(old, new, strict=True)], dtype=np.bool_)

    def values(self, column: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a column of both audits, `(n,)` each."""
        return self.old.column(column)[self.old_rows], self.new.column(column)[self.new_rows]

    @cached_property
    def groups(self) -> NDArray[Any]:
        """Class of each image `(n,)`: its label, or without one the class that both predict; None without either."""
        label = self.new.column("label")[self.new_rows]
        predicted, agree = self.values("predicted")[1], self.same("predicted")
        groups = np.empty(len(self), dtype=object)
        groups[:] = [
            name if name is not None else guess if same else None
            for name, guess, same in zip(label, predicted, agree, strict=True)
        ]
        return groups


def comparable_columns(old: Audit, new: Audit) -> list[str]:
    """Return the names of what can be compared between two audits, in the order of the table."""
    both = set(old.table.column_names) & set(new.table.column_names)
    return [ACCURACY, *(name for name in (*OUTPUT_COLUMNS, *_map_columns(new)) if name in both)]


def _map_columns(audit: Audit) -> Mapping[str, str]:
    """Return the explained class of each column of a map."""
    columns: dict[str, str] = {}
    for m, method in enumerate(audit.store.method_names):
        prefix = "" if m == 0 else f"{method}."
        for explained in EXPLAINED_CLASSES:
            of_class = "" if explained == "predicted" else f"{explained}_"
            columns |= {f"{prefix}{of_class}{name}": explained for name in MAP_COLUMNS}
    return columns


def match_audits(old: Audit, new: Audit) -> MatchedAudits:
    """Match the rows of two audits by the names of the images, and check that the images are the same.

    Raises:
        DataError: If an audit is not complete, the audits explain with different methods first, they have no image in
            common, or the rows of only one are the targets of images.
    """
    for audit in (old, new):
        _ = audit.summary  # raises for an audit that is not complete
    if old.has_targets != new.has_targets:
        raise DataError(
            f"the rows of one of {new.path} and {old.path} are images, and those of the other the targets of images "
            "(--target all). Audit both in the same way."
        )
    methods = [audit.store.method_names for audit in (old, new)]
    if methods[0][0] != methods[1][0]:
        raise DataError(
            f"{new.path} explains with {methods[1][0]} first and {old.path} with {methods[0][0]}. Maps of different "
            "methods cannot be compared: audit with the same first method."
        )
    keys = [target_keys(audit) if audit.has_targets else audit.column("image") for audit in (old, new)]
    if old.has_targets:
        keys[1] = paired_keys(old, keys[0], new, keys[1])
    position = {name: row for row, name in reversed(list(enumerate(keys[0]))) if name is not None}
    names = keys[1]
    pairs = {row: position[name] for row, name in enumerate(names) if name in position}
    new_rows, old_rows = (np.array(list(side), dtype=np.int64) for side in (pairs.keys(), pairs.values()))
    comparable = old.plan["preprocessing"] == new.plan["preprocessing"]
    changed = _changed(old, old_rows, new, new_rows, comparable)
    failed = np.array(
        [
            a is not None or b is not None
            for a, b in zip(old.column("error")[old_rows], new.column("error")[new_rows], strict=True)
        ],
        dtype=np.bool_,
    )
    used = ~changed & ~failed
    if not used.any():
        raise DataError(
            f"{new.path} and {old.path} have no image in common that both could explain: {len(position):,} and "
            f"{len(names):,} images, {len(pairs):,} with the same name, {int((changed & ~failed).sum()):,} of them "
            "with another size, label or content. Audit the same images."
        )
    common = {names[row] for row in new_rows}
    return MatchedAudits(
        old,
        new,
        old_rows[used],
        new_rows[used],
        tuple(_text(name) for name in position if name not in common),
        tuple(_text(name) for name in names if name not in common),
        tuple(_text(names[row]) for row in new_rows[changed & ~failed]),
        tuple(_text(names[row]) for row in new_rows[failed]),
        comparable,
    )


def _text(key: Any) -> str:
    """Return the name of an image, or that of a target with its image."""
    return " ".join(str(part) for part in key[:3]) if isinstance(key, tuple) else str(key)


def _changed(
    old: Audit, old_rows: NDArray[np.int64], new: Audit, new_rows: NDArray[np.int64], pixels: bool
) -> NDArray[np.bool_]:
    """Return which images have another label or size, or other pixels in the network input."""
    different = np.zeros(len(old_rows), dtype=np.bool_)
    for column in ("label", "width", "height"):
        first, second = old.column(column)[old_rows], new.column(column)[new_rows]
        different |= np.array(
            [a != b and not (a != a and b != b) for a, b in zip(first, second, strict=True)], dtype=bool
        )
    if pixels:
        gap = np.abs(old.column("brightness")[old_rows] - new.column("brightness")[new_rows])
        different |= np.nan_to_num(gap) > BRIGHTNESS_TOLERANCE
    return different


def _as_numbers(values: NDArray[Any]) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
