"""What is in a data set, and what is wrong with it: every picture is opened once."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from camlucida._files import atomic_write
from camlucida.data.findings import RULES, TOLERANCE, Finding, Seen
from camlucida.data.inspecting import Look, inspect
from camlucida.data.items import Boxes, DataSet
from camlucida.errors import CamlucidaError
from camlucida.types import ProgressCallback

ORDER = ("train", "val", "test")
"""Of splits, where they are shown."""
AHEAD = 64
"""Pictures that are in work at one time."""


@dataclass(frozen=True, eq=False)
class Check:
    """A data set, looked through.

    seen      its pictures, in order
    findings  what was found, the most serious first; `wrong` says which should be mended
    """

    name: str
    classes: tuple[str, ...]
    seen: tuple[Seen, ...]
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.wrong]

    @cached_property
    def counts(self) -> list[Counter[str]]:
        """For each class, the pictures in each split; broken ones, too."""
        counts = [Counter[str]() for _ in self.classes]
        for one in self.seen:
            if one.label is not None:
                counts[one.label][one.split] += 1
        return counts

    @property
    def splits(self) -> list[str]:
        """The splits there are, train first."""
        have = {one.split for one in self.seen} - {""}
        return sorted(have, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def summary(self) -> dict[str, Any]:
        """All of it, as it is written to data.json."""
        looks = [one.look for one in self.seen if not one.look.error]
        return {
            "data": self.name,
            "pictures": len(self.seen),
            "readable": len(looks),
            "splits": dict(Counter(one.split for one in self.seen)),
            "classes": [
                {"name": name, "pictures": count.total(), "splits": dict(count)}
                for name, count in zip(self.classes, self.counts, strict=True)
            ],
            "sizes": _sizes(looks),
            "formats": dict(Counter(look.format or "drawn" for look in looks).most_common()),
            "modes": dict(Counter(look.mode for look in looks).most_common()),
            "wrong": len(self.wrong),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def save(self, path: Path) -> None:
        """Write `summary` as JSON, at once or not at all. Raises `OutputError` where the disk refuses."""
        atomic_write(path, json.dumps(self.summary(), indent=1, ensure_ascii=False))


def check(dataset: DataSet, *, progress: ProgressCallback | None = None, workers: int | None = None) -> Check:
    """Open every picture of a data set, and apply every rule of `findings`.

    workers   threads; as many as there are processors if not given
    """
    seen = []
    for one in _looked(dataset, workers or os.cpu_count() or 1):
        seen.append(one)
        if progress:
            progress(len(seen), len(dataset))
    whole = [Finding("data set", True, problem) for problem in getattr(dataset, "problems", ())]
    found = [finding for rule in RULES for finding in rule(seen, dataset.classes)]
    findings = sorted([*whole, *found], key=lambda finding: not finding.wrong)
    return Check(dataset.name, tuple(dataset.classes), tuple(seen), tuple(findings))


def _looked(dataset: DataSet, workers: int) -> Iterator[Seen]:
    """In order; never more than a few in work, so that stopping does not mean waiting."""
    numbers = iter(range(len(dataset)))
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(look_at, dataset, number) for number in islice(numbers, AHEAD)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(look_at, dataset, number) for number in islice(numbers, 1)]
        finally:
            pool.shutdown(cancel_futures=True)


def look_at(dataset: DataSet, number: int) -> Seen:
    """One picture; whatever is wrong with it is part of what was seen."""
    try:
        item = dataset[number]
    except CamlucidaError as error:
        return Seen(f"number {number}", None, "", Look(error=str(error)))
    look = inspect(item.image)
    outside = () if look.error or item.boxes is None else tuple(_outside(item.boxes, look.size))
    return Seen(item.name, item.label, item.split, look, item.problems, outside)


def _outside(boxes: Boxes, size: tuple[int, int]) -> Iterator[str]:
    width, height = size
    for x0, y0, x1, y1 in boxes.tolist():
        where = f"the box {x0:g} {y0:g} {x1:g} {y1:g}"
        if not (x0 < x1 and y0 < y1):
            yield f"{where} holds nothing."
        elif min(x0, y0) < -TOLERANCE or x1 > width + TOLERANCE or y1 > height + TOLERANCE:
            yield f"{where} reaches out of the picture, which is {width} x {height}."


def _sizes(looks: Sequence[Look]) -> dict[str, list[float]]:
    """The least, the median and the most of width, height and megapixels."""
    if not looks:
        return {}
    sides = np.array([look.size for look in looks], dtype=np.float64)
    values = {"width": sides[:, 0], "height": sides[:, 1], "megapixels": sides.prod(axis=1) / 1e6}
    return {key: [float(np.quantile(of, q)) for q in (0, 0.5, 1)] for key, of in values.items()}
