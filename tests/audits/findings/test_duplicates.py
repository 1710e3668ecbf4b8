"""Near duplicates: planted copies across splits and labels are found, also through features only."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camlucida.audits.audit_result import Audit
from camlucida.audits.findings.duplicates import Duplicates, find_duplicates
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError
from camlucida.models.load import load

N = 16


def textured(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    return small.resize((96, 96), Image.Resampling.BICUBIC)


def recompressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.resize((80, 80)).save(stream, "JPEG", quality=70)
    return Image.open(io.BytesIO(stream.getvalue()))


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Row 16 is image 2 in another split, row 17 a recompressed image 5 with another label, row 18 a recompressed 7."""
    items = [Item(textured(i), f"{i}.png", i % 3, split="train" if i < 8 else "test") for i in range(N)]
    items += [
        replace(items[2], name="again.png", split="test"),
        replace(items[5], name="other label.png", image=recompressed(items[5].image), label=0),  # type: ignore[arg-type]
        replace(items[7], name="same.png", image=recompressed(items[7].image)),  # type: ignore[arg-type]
    ]
    classes = ToyboxDataset(Toybox(1)).classes
    return audit(load("toybox"), ListDataset("copies", items, classes), tmp_path_factory.mktemp("copies"))


@pytest.mark.parametrize("by_features", [False, True])
def test_planted_copies_are_found(copies: Audit, monkeypatch: pytest.MonkeyPatch, by_features: bool) -> None:
    if by_features:
        monkeypatch.setattr("camlucida.audits.findings.duplicates.MAX_READ_ALL", 3)
        monkeypatch.setattr("camlucida.audits.findings.duplicates.N_CANDIDATES", 2)
    result = find_duplicates(copies)
    assert result.settings["candidates"] == ("features" if by_features else "all")
    assert result.n_read < N + 3 if by_features else result.n_read == N + 3
    found = {group.rows: group for group in result.groups}
    assert set(found) == {(2, 16), (5, 17), (7, 18)}
    assert (found[2, 16].identical, found[2, 16].crosses_splits, found[2, 16].labels_differ) == (True, True, False)
    assert (found[5, 17].identical, found[5, 17].crosses_splits, found[5, 17].labels_differ) == (False, False, True)
    assert result.groups[-1].rows == (7, 18)
    assert result.leaked["n"] == 1
    stored = json.loads(json.dumps(result.record(), allow_nan=False))
    assert Duplicates.from_record(stored).record() == stored


def test_without_the_images_there_is_an_error(copies: Audit) -> None:
    with pytest.raises(DataError, match="needs the images"):
        find_duplicates(Audit(copies.path))


def test_changed_images_are_an_error(copies: Audit) -> None:
    assert copies.data is not None
    items = [copies.data[i] for i in range(len(copies.data))]
    items[0] = replace(items[0], image=textured(99))
    with pytest.raises(DataError, match="other data"):
        find_duplicates(Audit(copies.path, None, ListDataset("copies", items, copies.data.classes)))


def test_no_duplicates(tmp_path: Path) -> None:
    items = [Item(textured(i), f"{i}.png") for i in range(4)]
    result = find_duplicates(audit(load("toybox"), ListDataset("none", items), tmp_path))
    assert result.sentences() == ["There are no near duplicates."]
