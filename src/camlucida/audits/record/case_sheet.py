"""The sheet of one case of an audit: image, maps, classes and the verdict of `trust`, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida._files import write_image
from camlucida.attribution.load_input import LoadedInput, load_input
from camlucida.audits.audit_result import Audit
from camlucida.audits.plan import EXPLAINED_CLASSES, ExplainedClass
from camlucida.audits.record.qualification import explained_method
from camlucida.audits.targets.wording import wording_of
from camlucida.data.datasets import Item
from camlucida.errors import DataError
from camlucida.maps import max_scale, to_image_grid
from camlucida.reliability.result import Trust
from camlucida.reliability.trust import trust
from camlucida.render.boxes import draw_boxes
from camlucida.render.canvas import (
    BODY_PT,
    GUTTER_PT,
    MARGIN_PT,
    MUTED_COLOUR,
    SMALL_PT,
    TEXT_COLOUR,
    Sheet,
    draw_footer,
    draw_heading,
    line_height,
)
from camlucida.render.overlay import overlay
from camlucida.render.resize import display_size, resize_heatmap, resize_image

COLUMN_WIDTH, MAX_HEIGHT = 300.0, 340.0
"""Largest size of an image, in points."""

LABEL_WIDTH = 200.0


def case_sheet(
    audit: Audit, row: int, *, with_verdict: bool = True, seed: int = 0, density: float = 2.0
) -> Image.Image:
    """Draw one case: the image with its boxes, the maps of the predicted and the competing class, and the numbers.

    Args:
        audit: The audit, with its model and data.
        row: Position of the image in the audit's rows.
        with_verdict: Whether `trust` tests the map of the predicted class, which takes about 125 forward passes.
        seed: Seed of these tests.
        density: Pixels per point.

    Returns:
        The page, RGB.

    Raises:
        DataError: If there is no such row, its image has an error, or the model or the data are not available.
    """
    model, data = audit.require_model_and_data("A case sheet")
    if not 0 <= row < audit.table.num_rows:
        raise DataError(f"{audit.path} has {audit.table.num_rows} rows, and none with the index {row}.")
    values: dict[str, Any] = audit.table.slice(row, 1).to_pylist()[0]
    if values["error"]:
        raise DataError(f"{values['image']} has no case sheet: {values['error']}")
    if audit.has_targets and values["target"] is None:
        raise DataError(f"{values['image']} has no case sheet: this row has no target, and so no map.")
    item = data[values["index"]]
    loaded = load_input(model.preprocessing, item.image)
    tested = _tested(audit, item, values, seed) if with_verdict else None
    sheet = Sheet(3 * COLUMN_WIDTH + 2 * GUTTER_PT + 2 * MARGIN_PT, density)
    title, subtitle = _title(audit, values)
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, sheet.width - 2 * MARGIN_PT, (title, subtitle)) + 16
    y = _draw_images(sheet, audit, row, values, item, loaded, y) + 22
    for name, text in _lines(audit, values, tested):
        sheet.rule(MARGIN_PT, y, sheet.width - 2 * MARGIN_PT)
        sheet.text(MARGIN_PT, y + 6, name, BODY_PT, MUTED_COLOUR)
        available = sheet.width - 2 * MARGIN_PT - LABEL_WIDTH
        sheet.text(MARGIN_PT + LABEL_WIDTH, y + 6, sheet.fit_text(text, BODY_PT, available), BODY_PT, TEXT_COLOUR)
        y += line_height(BODY_PT) + 10
    footer = f"{audit.plan['model']} · weights {audit.plan['weights']} · {audit.path.name}, row {row}"
    return sheet.trimmed(draw_footer(sheet, y, footer))


def save_case_sheet(audit: Audit, row: int, file: str | Path, *, with_verdict: bool = True, seed: int = 0) -> Path:
    """Draw one case and save it as .png, .jpg or .webp; see `case_sheet`."""
    path = Path(file)
    write_image(lambda: case_sheet(audit, row, with_verdict=with_verdict, seed=seed), path)
    return path


def _title(audit: Audit, values: dict[str, Any]) -> tuple[str, str]:
    """Return the prediction with whether it is correct, and the image with its label."""
    subtitle = f"{values['image']} · label: {values['label'] or 'none'}"
    if not audit.has_targets:
        correct = {None: "no label", True: "correct", False: "wrong"}[values["correct"]]
        return f"{values['predicted']} ({values['confidence']:.1%}), {correct}", subtitle
    if values["outcome"] == "missed":
        probability = "" if values["label_confidence"] is None else f" ({values['label_confidence']:.1%})"
        return f"{values['label']}{probability}, missed", f"{subtitle} · {values['target'] or 'no map'}"
    iou = "" if values["iou"] is None else f" · intersection over union {values['iou']:.2f}"
    outcome = values["outcome"] or "not judged"
    return f"{values['predicted']} ({values['confidence']:.1%}), {outcome}", f"{subtitle} · {values['target']}{iou}"


def _tested(audit: Audit, item: Item, values: dict[str, Any], seed: int) -> Trust:
    model, _ = audit.require_model_and_data("A case sheet")
    method, layer = explained_method(audit)
    return trust(
        model,
        item.image,
        method=method,
        layer=layer,
        target=values["target"] if audit.has_targets else values["predicted_index"],
        region=None if item.mask is None or audit.has_targets else item.mask(),
        seed=seed,
    )


def _draw_images(
    sheet: Sheet, audit: Audit, row: int, values: dict[str, Any], item: Item, loaded: LoadedInput, y: float
) -> float:
    """Draw the image and the two maps; return the y at which they end."""
    size = display_size(loaded.image.size, (sheet.pixels(COLUMN_WIDTH), sheet.pixels(MAX_HEIGHT)))
    own = _own_boxes(audit, values, item)
    plain = resize_image(loaded.image, size)
    scale = np.array([*plain.size, *plain.size]) / np.array([*loaded.image.size, *loaded.image.size])
    annotated = draw_boxes(plain, own[0] * scale, own[1] * scale) if len(own[0]) or len(own[1]) else plain
    named = ["the annotated boxes"] if len(own[0]) else []
    if audit.has_targets:
        named = [name for boxes, name in zip(own, ("the annotated", "the predicted"), strict=True) if len(boxes)]
        named = [f"{' and '.join(named)} box"] if named else []
    columns = [(annotated, f"Image with {named[0]}" if named else "Image")]
    is_missed = audit.has_targets and values["outcome"] == "missed"
    explained: tuple[tuple[ExplainedClass, str], ...] = (("predicted", "Map of"), ("competing", "Competing class:"))
    for of, caption in explained:
        saliency = max_scale(to_image_grid(_stored_map(audit, row, of), loaded.geometry)).numpy()
        overlaid = overlay(plain, resize_heatmap(saliency, plain.size))
        if audit.has_targets:
            overlaid = draw_boxes(overlaid, own[0] * scale, own[1] * scale)
        name = values["label"] if is_missed and of == "predicted" else values[of]
        columns.append((overlaid, f"{caption} {name}"))
    end = y
    for i, (image, caption) in enumerate(columns):
        x = MARGIN_PT + i * (COLUMN_WIDTH + GUTTER_PT)
        below = y + sheet.draw_image(x, y, image, edge=True) + 6
        sheet.text(x, below, sheet.fit_name(caption, SMALL_PT, COLUMN_WIDTH), SMALL_PT, MUTED_COLOUR)
        end = max(end, below + line_height(SMALL_PT))
    return end


def _own_boxes(audit: Audit, values: dict[str, Any], item: Item) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the annotated and the predicted boxes `(n, 4)`: where rows are targets, those of the row."""
    none = np.zeros((0, 4))
    if not audit.has_targets:
        return (none if item.boxes is None else np.asarray(item.boxes, dtype=np.float64).reshape(-1, 4)), none
    found = []
    for prefix in ("true_", ""):
        sides = [values[f"{prefix}{side}"] for side in ("left", "top", "right", "bottom")]
        found.append(none if None in sides else np.array([sides], dtype=np.float64))
    is_predicted = values["outcome"] != "missed" and not np.array_equal(found[0], found[1])  # of a word: its object
    return found[0], found[1] if is_predicted else none


def _stored_map(audit: Audit, row: int, explained: ExplainedClass) -> Tensor:
    """Return the first method's map `(h, w)` of one image, without reading those of the others."""
    number, position = audit.part_of(row)
    file = audit.store.array_file(number, audit.store.method_names[0])
    maps = np.load(file, mmap_mode="r", allow_pickle=False)
    return torch.from_numpy(maps[position, EXPLAINED_CLASSES.index(explained)].astype(np.float32))


def _lines(audit: Audit, values: dict[str, Any], tested: Trust | None) -> list[tuple[str, str]]:
    """Return name and text of each line below the images."""
    competing = f"{values['competing']} ({values['competing_confidence']:.1%})"
    lines = [("Competing class", competing)]
    if values["label_confidence"] is not None:
        rank = f"rank {values['label_rank']}"
        lines.append(("Label", f"{values['label']} ({values['label_confidence']:.1%}, {rank})"))
    if values["energy_in_box"] is not None:
        words = wording_of(audit)
        area = f"{'it' if audit.has_targets else 'the box'} covers {values['box_area']:.0%} of the image"
        lines.append((f"Map in {words.own}", f"{values['energy_in_box']:.0%} ({area})"))
    if values["energy_at_border"] is not None:
        lines.append(("Map at the border", f"{values['energy_at_border']:.0%}"))
    if tested is None:
        return [*lines, ("Map", "not tested")]
    lines.append(("Map", str(tested.verdict)))
    return [*lines, *((name[:1].upper() + name[1:], f"{result} ({details})") for name, result, details in tested.rows)]
