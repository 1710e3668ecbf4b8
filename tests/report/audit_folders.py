"""Folders of audits with invented rows, maps and findings, for the tests of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camlucida.audits.audit_result import Audit
from camlucida.audits.chunks import Chunk
from camlucida.audits.rows import columns_of
from camlucida.audits.run import summary
from camlucida.audits.store import AuditStore
from camlucida.data.datasets import Item, ListDataset, dataset_hash
from camlucida.models.preprocessing import Preprocessing

CLASSES = ("boat", "car", "cat", "dog", "tree")
METHODS = ("grad_cam", "layer_cam")
CHUNK = 1000
NASTY = "</script><img src=x onerror=alert(1)>\u202e"
"""A name that ends a script element, starts one of its own, and reverses the direction of the text."""


def picture(i: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A plain image with the colour of its number, so that a test can tell which one is drawn."""
    return Image.new("RGB", size, ((37 * i) % 256, (91 * i) % 256, (i // 7) % 256))


def invented_row(i: int, rng: np.random.Generator, name: str) -> dict[str, Any]:
    label = i % len(CLASSES)
    wrong = bool(rng.random() < (0.35 if label == 0 else 0.15))
    predicted = (label + 1 + int(rng.integers(4))) % len(CLASSES) if wrong else label
    confidence = float(rng.beta(4, 2 if not wrong else 4))
    row: dict[str, Any] = dict.fromkeys(columns_of(METHODS))
    row |= {
        "index": i, "image": name, "split": "val" if i % 3 else "test", "label": CLASSES[label], "label_index": label,
        "predicted": CLASSES[predicted], "predicted_index": predicted, "correct": not wrong, "confidence": confidence,
        "competing": CLASSES[(predicted + 2) % 5], "competing_index": (predicted + 2) % 5,
        "competing_confidence": (1 - confidence) / 2, "label_confidence": confidence if not wrong else 0.1,
        "label_rank": 1 + wrong, "prediction_entropy": 1 - confidence, "width": 96, "height": 72,
        "brightness": float(rng.random()), "n_boxes": 1, "box_area": 0.25,
        "metadata": f'{{"site": "{"north" if i % 2 else "south"}", "age": {20 + i % 60}}}',
    }  # fmt: skip
    for prefix in ("", "competing_", "true_", *(f"layer_cam.{p}" for p in ("", "competing_", "true_"))):
        row |= {
            f"{prefix}energy_in_box": float(rng.beta(5, 3 if not wrong else 6)),
            f"{prefix}energy_at_border": float(rng.random() * 0.4), f"{prefix}center_x": float(rng.random()),
            f"{prefix}center_y": float(rng.random()), f"{prefix}entropy": float(rng.random()), f"{prefix}scale": 1.0,
        }  # fmt: skip
    return row


def invented_audit(
    folder: Path,
    n: int,
    *,
    seed: int = 0,
    broken: tuple[int, ...] = (),
    nasty: bool = False,
    findings: bool = True,
    labelled: bool = True,
) -> Audit:
    """Write a complete audit of n images that are drawn on access.

    Args:
        folder: The folder.
        n: Number of images.
        seed: Seed of all numbers.
        broken: Images that could not be read.
        nasty: Whether names and classes try to inject markup.
        findings: Whether to write findings.
        labelled: Whether the images have labels.
    """
    rng = np.random.default_rng(seed)
    data = ListDataset("photos", _Pictures(n, nasty), CLASSES)  # type: ignore[arg-type]
    store = AuditStore(folder, METHODS, (*METHODS, "channels", "features"))
    plan = {
        "audit": 1, "model": "resnet18", "weights": "0123456789abcdef", "preprocessing": Preprocessing().record(),
        "labels": list(CLASSES), "data": "photos", "n_images": n,
        "data_hash": dataset_hash(data, range(n)),
        "methods": [{"name": name, "options": {}} for name in METHODS], "arrays": list(store.array_names),
        "layer": None, "classes": ["predicted", "competing", "true"], "batch_size": 16, "chunk_images": CHUNK,
        "seed": seed, "versions": {"torch": "2.9", "camlucida": "1"},
    }  # fmt: skip
    store.begin(plan)
    for number, start in enumerate(range(0, n, CHUNK)):
        rows, count = [], min(CHUNK, n - start)
        for i in range(start, start + count):
            row = invented_row(i, rng, _name(i, nasty))
            if i in broken:
                row = {"index": i, "image": row["image"], "error": f"cannot read {row['image']}: it is empty"}
            if nasty and i == 1:
                row["predicted"] = NASTY
            if not labelled:
                row |= dict.fromkeys(("label", "label_index", "label_confidence", "label_rank", "correct"))
            rows.append(row)
        maps = rng.random((count, 3, 7, 7)).astype(np.float16) ** 3
        features = (rng.normal(size=(count, 16)) + 2 * np.arange(start, start + count)[:, None] % 5).astype(np.float16)
        arrays = dict.fromkeys(METHODS, maps)
        arrays |= {"channels": rng.random((count, 3, 16)).astype(np.float16), "features": features}
        store.write(number, Chunk(rows, arrays))
    store.finish(summary(store) | {"seconds": 12.5, "images_per_second": n / 12.5})
    audit = Audit(folder, None, data)
    if findings:
        write_findings(audit, n, broken)
    return audit


def write_findings(audit: Audit, n: int, broken: tuple[int, ...] = ()) -> None:
    """Write one finding of each kind, in the form of the contracts of the audit."""
    members = [i for i in range(0, n, 5) if i not in broken][:41]
    images = audit.path / "findings" / "images"
    images.mkdir(parents=True, exist_ok=True)
    picture(3, (320, 160)).save(images / "hypothesis-1-a.jpg")
    common = {"class": "boat", "class_index": 0, "n_class": n // 5, "medoid": members[0], "images": []}
    audit.write_finding("hypotheses", {
        "schema_version": 1, "settings": {}, "sentences": ["1 of 2 suspected cues was verified."],
        "hypotheses": [
            {**common, "rank": 1, "kind": "fixed position", "n_members": len(members), "members": members,
             "region": [0.0, 0.7, 0.3, 1.0], "description": "cluster of the maps", "suspicion": 3.2,
             "effect": {"name": "change in log-probability", "value": -1.4, "low": -1.8, "high": -1.0, "n": 41,
                        "control": "the same region elsewhere"},
             "cover_effect": {"name": "drop of the log-odds", "value": 2.0, "low": 1.5, "high": 2.5, "n": 41},
             "p": 0.0001, "p_corrected": 0.0003, "verified": True, "images": ["hypothesis-1-a.jpg", "../../plan.json"],
             "sentence": f"37 of {len(members)} boat images lose the class when the lower left is covered."},
            {**common, "rank": 2, "kind": "border", "n_members": 6, "members": members[5:11], "region": None,
             "description": "evidence at the border", "suspicion": 1.1,
             "effect": {"name": "change in log-probability", "value": -0.1, "low": -0.4, "high": 0.2, "n": 6,
                        "control": "the same region elsewhere"},
             "cover_effect": None, "p": None, "p_corrected": None, "verified": False,
              "sentence": "The border has no measurable effect."},
        ],
    })  # fmt: skip
    audit.write_finding("slices", {
        "schema_version": 1, "settings": {}, "sentences": ["1 of 20 slices is significantly less accurate."],
        "accuracy": 0.81, "slices": [
            {"name": "class boat", "column": "label", "n": n // 5, "accuracy": 0.64, "low": 0.55, "high": 0.72,
             "rest_accuracy": 0.85, "p": 0.0001, "p_corrected": 0.001, "differs": True, "statistics": {},
             "rows": members},
            {"name": "brightness in (0.61, 0.92]", "column": "brightness", "n": n // 3, "accuracy": 0.8, "low": 0.75,
             "high": 0.84, "rest_accuracy": 0.81, "p": 0.5, "p_corrected": 0.9, "differs": False, "statistics": {},
             "rows": members[3:20]},
        ],
    })  # fmt: skip
    audit.write_finding("differences", {
        "schema_version": 1, "settings": {}, "sentences": ["The maps of wrong predictions lie less on the object."],
        "differences": [
            {"name": "energy_in_box", "correct": {"value": 0.62, "low": 0.6, "high": 0.64},
             "wrong": {"value": 0.45, "low": 0.4, "high": 0.5},
             "difference": {"value": 0.17, "low": 0.12, "high": 0.22},
             "p": 0.0001, "p_corrected": 0.0005, "differs": True},
            {"name": "entropy", "correct": {"value": 0.5, "low": 0.49, "high": 0.51},
             "wrong": {"value": 0.5, "low": 0.47, "high": 0.53},
             "difference": {"value": 0.0, "low": -0.03, "high": 0.03},
             "p": 0.9, "p_corrected": 0.9, "differs": False},
        ],
        "guess_detector": {
            "confidence": {"auc": 0.71, "low": 0.66, "high": 0.76, "roc": [[0, 0], [0.2, 0.55], [0.5, 0.8], [1, 1]]},
            "energy_in_box": {"auc": 0.64, "low": 0.6, "high": 0.69, "roc": [[0, 0], [0.3, 0.5], [1, 1]]},
        },
    })  # fmt: skip
    audit.write_finding("label_errors", {
        "schema_version": 1, "settings": {}, "sentences": ["3 labels are likely wrong."],
        "errors": [
            {"row": i, "image": f"{i}.jpg", "score": 0.9, "reasons": ["its neighbours are dogs"]} for i in members[:3]
        ],
    })  # fmt: skip
    audit.write_finding("duplicates", {
        "schema_version": 1, "settings": {}, "sentences": ["1 pair of near duplicates."],
        "leaked": {"test": 0.1},
        "groups": [{"rows": members[3:5], "images": ["a", "b"], "identical": False, "crosses_splits": True}],
    })  # fmt: skip


def _name(i: int, nasty: bool) -> str:
    return NASTY if nasty and i == 0 else f"val/{CLASSES[i % 5]}/image_{i:05d}.jpg"


class _Pictures:
    """Items that are drawn on access."""

    def __init__(self, n: int, nasty: bool) -> None:
        self.n, self.nasty = n, nasty

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Item:
        if not 0 <= i < self.n:
            raise IndexError(i)
        boxes = np.array([[24.0, 18.0, 72.0, 54.0]])
        return Item(picture(i), _name(i, self.nasty), i % len(CLASSES), boxes, split="val" if i % 3 else "test")
