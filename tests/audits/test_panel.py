"""The panel of a query draws the stored maps on the audited images, as `explain` draws them, or says why not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image

import camlucida as cl
from camlucida.audits import panel
from camlucida.audits.panel import MAX_TILES, draw_panel, recorded_preprocessing
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError
from camlucida.render.contact_sheet import Tile, contact_sheet


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> cl.Audit:
    methods = ["grad_cam", "gradient"]
    return cl.audit("toybox", scenes(), tmp_path_factory.mktemp("audit"), methods=methods, chunk_images=4)


def scenes(n: int = 6) -> ListDataset:
    toys = ToyboxDataset(Toybox(n))
    elongated = toys[1].image.resize((60, 130))  # type: ignore[union-attr]
    items = [dataclasses.replace(toys[i], boxes=None, mask=None) for i in range(n)]
    return ListDataset("toys", [items[0], dataclasses.replace(items[1], image=elongated), *items[2:]], toys.classes)


def tiles(audit: cl.Audit, monkeypatch: pytest.MonkeyPatch, rows: list[int], **options: Any) -> list[Any]:
    drawn: list[Any] = []
    original = panel.contact_sheet

    def record(tiles: Any, **rest: Any) -> Any:
        drawn.extend(tiles)
        return original(tiles, **rest)

    monkeypatch.setattr(panel, "contact_sheet", record)
    draw_panel(audit, rows, title="a query", density=1.0, **options)
    return drawn


@pytest.mark.parametrize("explained", ["predicted", "competing"])
def test_maps_equal_those_of_explain(audited: cl.Audit, monkeypatch: pytest.MonkeyPatch, explained: Any) -> None:
    data = scenes()
    for row, tile in zip((5, 1), tiles(audited, monkeypatch, [5, 1], explained=explained), strict=True):
        column = "predicted_index" if explained == "predicted" else "competing_index"
        result = cl.explain("toybox", data[row].image, target=audited.rows[row][column])
        assert tile.image.size == data[row].image.size  # type: ignore[union-attr]
        assert np.isnan(tile.heatmap).tolist() == np.isnan(result.heatmap).tolist()
        assert np.nanmax(np.abs(tile.heatmap - result.heatmap)) < 5e-3
        assert np.nanmax(tile.heatmap) == 1


def test_pixel_maps_are_scaled_by_their_percentile(audited: cl.Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    (tile,) = tiles(audited, monkeypatch, [0], method="gradient")
    assert 0.005 < (tile.heatmap == 1).mean() < 0.02


def test_captions(audited: cl.Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    row = audited.rows[0]
    for explained, name in (("predicted", row["predicted"]), ("competing", row["competing"]), ("true", row["label"])):
        (tile,) = tiles(audited, monkeypatch, [0], explained=explained)
        assert tile.caption.startswith(name)
        assert tile.label == row["image"]


def test_other_images_are_not_drawn(audited: cl.Audit) -> None:
    items = [scenes()[i] for i in range(6)]
    changed = [
        [*items[:2], dataclasses.replace(items[2], image=items[3].image)],  # other pixels
        [*items[:2], dataclasses.replace(items[2], name="another")],
        [*items[:2], dataclasses.replace(items[2], image=items[2].image.resize((95, 96)))],  # type: ignore[union-attr]
        items[:2],
    ]
    for listed in changed:
        other = cl.Audit(audited.path, None, ListDataset("toys", listed, scenes().classes))
        with pytest.raises(DataError, match="is not the image that was audited"):
            draw_panel(other, [2], title="")
    missing = [*items[:2], dataclasses.replace(items[2], image=Path("missing.png"))]
    with pytest.raises(DataError, match=r"cannot be drawn: .*missing"):
        draw_panel(cl.Audit(audited.path, None, ListDataset("toys", missing)), [2], title="")


def test_what_cannot_be_drawn(audited: cl.Audit, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs the data"):
        draw_panel(cl.Audit(audited.path), [0], title="")
    with pytest.raises(DataError, match="nothing to draw"):
        draw_panel(audited, [], title="")
    with pytest.raises(DataError, match="at most"):
        draw_panel(audited, [0] * (MAX_TILES + 1), title="")
    with pytest.raises(DataError, match=r"no method 'grad_cams'\. Did you mean 'grad_cam'"):
        draw_panel(audited, [0], title="", method="grad_cams")
    broken = cl.audit("toybox", ListDataset("one", [Item(Path("missing.png"), "missing.png")]), tmp_path)
    with pytest.raises(DataError, match=r"none of these rows can be drawn. missing.png: no file"):
        draw_panel(broken, [0], title="")


def test_the_recorded_preprocessing(audited: cl.Audit) -> None:
    plan = json.loads(json.dumps(audited.plan))
    assert recorded_preprocessing(plan) == cl.load("toybox").preprocessing
    for damage in ({"size": [10**6, 10**6]}, {"size": [9000, 9000]}, {"fit": "stretch"}, {"what": 1}):
        with pytest.raises(DataError, match="readable form"):
            recorded_preprocessing({"preprocessing": plan["preprocessing"] | damage})
    for damaged in ({}, {"preprocessing": None}, {"preprocessing": [1]}):
        with pytest.raises(DataError, match="readable form"):
            recorded_preprocessing(damaged)


def test_rows_with_errors_are_left_out_and_counted(audited: cl.Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    table = audited.table.to_pylist()
    table[1]["error"] = "it is broken."
    broken = cl.Audit(audited.path, None, audited.data)
    monkeypatch.setitem(vars(broken), "table", pyarrow.Table.from_pylist(table, audited.table.schema))
    assert [tile.label for tile in tiles(broken, monkeypatch, [0, 1, 2])] == [table[0]["image"], table[2]["image"]]
    with pytest.raises(DataError, match=r"none of these rows can be drawn. .*it is broken"):
        draw_panel(broken, [1], title="")


def test_a_caption_is_drawn_whole() -> None:
    """Two lines of caption take one line more than one, so that the energy is not cut off."""
    image = Image.new("RGB", (40, 40))
    heights = [
        contact_sheet([Tile(image, np.zeros((40, 40)), "a.png", caption)], title="t", density=1.0).height
        for caption in (
            "box 3: boat 100 %",
            "box 3: boat 100 %\nenergy 100 %",
            "box 3: a very long name " * 4 + "\n100 %",
        )
    ]
    assert heights[0] < heights[1] < heights[2]
