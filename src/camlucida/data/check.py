"""Check of a dataset: open every image once, count classes and splits, and report problems."""

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
from camlucida.data.dataset import Boxes, Dataset
from camlucida.data.inspect_image import ImageInfo, inspect_image
from camlucida.data.rules import BOX_TOLERANCE_PX, RULES, CheckedItem, Finding
from camlucida.errors import CamlucidaError
from camlucida.types import ProgressCallback

SPLIT_ORDER = ("train", "val", "test")
"""Order in which splits are displayed."""
MAX_PENDING = 64
"""Largest number of images that are inspected at the same time."""


@dataclass(frozen=True, eq=False)
class DatasetCheck:
    """Result of checking a dataset.

    Attributes:
        name: The name of the dataset.
        classes: The class names.
        items: The inspected images, in the order of the dataset.
        findings: The findings of the rules, problems first; see `wrong`.
    """

    name: str
    classes: tuple[str, ...]
    items: tuple[CheckedItem, ...]
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> list[Finding]:
        """Return the findings that should be fixed."""
        return [finding for finding in self.findings if finding.wrong]

    @cached_property
    def counts(self) -> list[Counter[str]]:
        """Return the number of images of each class by split, including unreadable images."""
        counts = [Counter[str]() for _ in self.classes]
        for item in self.items:
            if item.label is not None:
                counts[item.label][item.split] += 1
        return counts

    @property
    def splits(self) -> list[str]:
        """Return the splits that occur, train first."""
        names = {item.split for item in self.items} - {""}
        return sorted(
            names, key=lambda name: (SPLIT_ORDER.index(name) if name in SPLIT_ORDER else len(SPLIT_ORDER), name)
        )

    def summary(self) -> dict[str, Any]:
        """Return the whole result as the content of data.json."""
        infos = [item.info for item in self.items if not item.info.error]
        return {
            "data": self.name,
            "n_images": len(self.items),
            "readable": len(infos),
            "splits": dict(Counter(item.split for item in self.items)),
            "classes": [
                {"name": name, "n_images": count.total(), "splits": dict(count)}
                for name, count in zip(self.classes, self.counts, strict=True)
            ],
            "sizes": _size_quantiles(infos),
            "formats": dict(Counter(info.format or "rendered" for info in infos).most_common()),
            "modes": dict(Counter(info.mode for info in infos).most_common()),
            "wrong": len(self.wrong),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def save(self, path: Path) -> None:
        """Write `summary` as JSON, atomically. Raises `OutputError` if the file cannot be written."""
        atomic_write(path, json.dumps(self.summary(), indent=1, ensure_ascii=False))


def check_dataset(
    dataset: Dataset, *, progress: ProgressCallback | None = None, workers: int | None = None
) -> DatasetCheck:
    """Open every image of a dataset and apply every rule of `camlucida.data.rules`.

    Args:
        dataset: The dataset to check.
        progress: Called with the number of inspected images and the total.
        workers: Number of threads; the number of processors by default.

    Returns:
        The inspected images and the findings.
    """
    items = []
    for item in _inspect_all(dataset, workers or os.cpu_count() or 1):
        items.append(item)
        if progress:
            progress(len(items), len(dataset))
    dataset_findings = [Finding("data set", True, problem) for problem in getattr(dataset, "problems", ())]
    rule_findings = [finding for rule in RULES for finding in rule(items, dataset.classes)]
    findings = sorted([*dataset_findings, *rule_findings], key=lambda finding: not finding.wrong)
    return DatasetCheck(dataset.name, tuple(dataset.classes), tuple(items), tuple(findings))


def _inspect_all(dataset: Dataset, workers: int) -> Iterator[CheckedItem]:
    """Yield the inspected items in order. Few are pending at a time, so that cancelling takes effect at once."""
    indices = iter(range(len(dataset)))
    with ThreadPoolExecutor(workers) as pool:
        pending = [pool.submit(check_item, dataset, index) for index in islice(indices, MAX_PENDING)]
        try:
            while pending:
                yield pending.pop(0).result()
                pending += [pool.submit(check_item, dataset, number) for number in islice(indices, 1)]
        finally:
            pool.shutdown(cancel_futures=True)


def check_item(dataset: Dataset, index: int) -> CheckedItem:
    """Inspect one image; errors become part of the result."""
    try:
        item = dataset[index]
    except CamlucidaError as error:
        return CheckedItem(f"item {index}", None, "", ImageInfo(error=str(error)))
    info = inspect_image(item.image)
    boxes_outside = () if info.error or item.boxes is None else tuple(_describe_outside(item.boxes, info.size))
    return CheckedItem(item.name, item.label, item.split, info, item.problems, boxes_outside)


def _describe_outside(boxes: Boxes, size: tuple[int, int]) -> Iterator[str]:
    width, height = size
    for x0, y0, x1, y1 in boxes.tolist():
        description = f"the box {x0:g} {y0:g} {x1:g} {y1:g}"
        if not (x0 < x1 and y0 < y1):
            yield f"{description} is empty."
        elif min(x0, y0) < -BOX_TOLERANCE_PX or x1 > width + BOX_TOLERANCE_PX or y1 > height + BOX_TOLERANCE_PX:
            yield f"{description} exceeds the image, which is {width} x {height}."


def _size_quantiles(infos: Sequence[ImageInfo]) -> dict[str, list[float]]:
    """Return the minimum, median and maximum of width, height and megapixels."""
    if not infos:
        return {}
    sides = np.array([info.size for info in infos], dtype=np.float64)
    values = {"width": sides[:, 0], "height": sides[:, 1], "megapixels": sides.prod(axis=1) / 1e6}
    return {key: [float(np.quantile(column, q)) for q in (0, 0.5, 1)] for key, column in values.items()}
