"""A contact sheet of images of an audit with their stored maps: the network does not run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from camlucida.attribution.load_input import LoadedInput, load_input
from camlucida.audits.audit_result import Audit
from camlucida.audits.plan import ExplainedClass
from camlucida.audits.rows import target_box
from camlucida.data.datasets import Dataset
from camlucida.errors import CamlucidaError, DataError, ModelError
from camlucida.maps import display_map, saturation_value, to_image_grid
from camlucida.methods import find
from camlucida.models.preprocessing import Preprocessing, check_recorded_size
from camlucida.render.boxes import draw_boxes
from camlucida.render.contact_sheet import Tile, contact_sheet
from camlucida.render.text import format_percent
from camlucida.types import Display

MAX_TILES = 200
"""Largest number of images of a sheet."""

BRIGHTNESS_TOLERANCE = 1e-3
"""Largest difference of the mean brightness of an image that is still the audited one."""


def draw_panel(
    audit: Audit,
    rows: Sequence[int],
    *,
    title: str,
    method: str | None = None,
    explained: ExplainedClass = "predicted",
    **style: Any,
) -> Image.Image:
    """Draw images with their stored maps.

    Args:
        audit: The audit, with its data.
        rows: Positions of the images in `audit.rows`.
        title: Title of the sheet: the query; empty for all rows.
        method: Name of a method of the audit; None for the first one.
        explained: Whether the maps are those of the predicted, the competing or the true class.
        **style: Opacity, colour map and blend, as of `contact_sheet`.

    Raises:
        DataError: If no image can be drawn, or an image is not the audited one.

    A row without a target, such as a class that a caption does not name, is drawn without a map; a row with an error is
    left out, and counted in the footer.
    """
    if audit.data is None:
        raise DataError(f"drawing images needs the data of {audit.path}, which are not available.")
    if not len(rows):
        raise DataError("no image fulfils the query, so there is nothing to draw.")
    if len(rows) > MAX_TILES:
        raise DataError(f"a sheet has at most {MAX_TILES} images, not {len(rows):,}. Use --top.")
    shown = _Shown(audit.store.method_names[0] if method is None else audit.store.method_name(method), explained)
    preprocessing = recorded_preprocessing(audit.plan)
    relu, display = _display_of(audit, shown.method)
    tiles, left_out = [], []
    for row in rows:
        values: dict[str, Any] = audit.table.slice(int(row), 1).to_pylist()[0]
        name = values["image"] or f"image {values['index']}"
        if values["error"]:
            left_out.append(f"{name}: {values['error']}")
            continue
        loaded = _loaded(audit.data, preprocessing, values, name)
        map_ = torch.from_numpy(audit.map_of(int(row), shown.method, explained).astype("float32"))
        on_image = to_image_grid(map_.relu() if relu else map_, loaded.geometry)
        maximum = saturation_value(on_image, display)
        has_map = not (audit.has_targets and values["target"] is None)
        tiles.append(
            Tile(
                _with_box(audit, values, loaded.image),
                display_map(on_image, maximum, signed=False).numpy() if has_map else None,
                name,
                _caption(audit, values, shown),
            )
        )
    if not tiles:
        more = f", and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
        raise DataError(f"none of these rows can be drawn. {left_out[0]}{more}")
    of = "each target" if audit.has_targets and explained == "predicted" else f"the {explained} class"
    notes = [f"{len(left_out):,} of {len(rows):,} rows are left out, because of an error."] if left_out else []
    return contact_sheet(
        tiles,
        title=title or f"all {'targets' if audit.has_targets else 'images'}",
        subtitle=f"{audit.plan['model']} · {audit.plan['data']} · {shown.method} of {of}",
        footer=" ".join(["Each map has its own scale; only positive evidence is displayed.", *notes]),
        **style,
    )


@dataclass(frozen=True)
class _Shown:
    """Which map of each image is drawn: its method, and the predicted, competing or true class."""

    method: str
    explained: ExplainedClass


def _display_of(audit: Audit, method: str) -> tuple[bool, Display]:
    """Return whether the paper clips the method's map at zero, and how its positive part is displayed."""
    entry = audit.plan["methods"][audit.store.method_names.index(method)]
    try:
        found = find(entry["method"])
    except (CamlucidaError, KeyError, TypeError):  # a method of the user's own, which is not registered here
        return False, Display()
    return found.relu, Display(percentile=found.display.percentile)


def recorded_preprocessing(plan: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that plan.json records.

    Raises:
        DataError: If it is damaged.
    """
    try:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plan["preprocessing"].items()}
        return check_recorded_size(Preprocessing(**fields))
    except (KeyError, TypeError, AttributeError, ModelError) as error:
        raise DataError(f"the plan does not record the preprocessing in a readable form ({error}).") from None


def _loaded(data: Dataset, preprocessing: Preprocessing, values: Mapping[str, Any], name: str) -> LoadedInput:
    """Return an image of the data set after checking that it is the one that was audited.

    Raises:
        DataError: If it cannot be read, or differs in name, size or brightness.
    """
    changed = DataError(
        f"{name} is not the image that was audited: the data have changed. Run `camlucida audit` in another folder."
    )
    if values["index"] >= len(data):
        raise changed
    try:
        item = data[values["index"]]
        loaded = load_input(preprocessing, item.image)
    except CamlucidaError as error:
        raise DataError(f"{name} cannot be drawn: {error}") from None
    same_size = loaded.geometry.original == (values["width"], values["height"])
    brightness = float(preprocessing.denormalise(loaded.inputs[None]).mean())
    known = values["brightness"] if values["brightness"] is not None else math.nan
    if item.name != values["image"] or not same_size or not abs(brightness - known) <= BRIGHTNESS_TOLERANCE:
        raise changed
    return loaded


def _with_box(audit: Audit, values: Mapping[str, Any], image: Image.Image) -> Image.Image:
    """Return an image with the annotated and the predicted box of its row, where rows are targets."""
    if not audit.has_targets:
        return image
    true = [values[f"true_{side}"] for side in ("left", "top", "right", "bottom")]
    predicted = None if values["outcome"] == "missed" else target_box(dict(values))
    if predicted == true:  # of a word: its object, which is not predicted
        predicted = None
    return draw_boxes(image, [] if None in true else [true], [] if predicted is None else [predicted])


def _caption(audit: Audit, values: Mapping[str, Any], shown: _Shown) -> str:
    """Return the explained class with its probability, and the energy of its map in the box."""
    columns = {"predicted": ("predicted", ""), "competing": ("competing", "competing_"), "true": ("label", "label_")}
    name, prefix = columns[shown.explained]
    caption = f"{values[name] or 'no label'}"
    if audit.has_targets and shown.explained == "predicted" and values["outcome"] in ("missed", "nothing"):
        caption = f"missed {values['label']}" if values["outcome"] == "missed" else "nothing found"
    if values[f"{prefix}confidence"] is not None:
        caption += f" {format_percent(values[f'{prefix}confidence'])}"
    if audit.has_targets:
        caption += ", false" if values["outcome"] == "false" and shown.explained == "predicted" else ""
        caption = f"{values['target'] or 'no map'}: {caption}"
    elif shown.explained == "predicted" and values["correct"] is False:
        caption += f", is {values['label']}"
    of_method = "" if shown.method == audit.store.method_names[0] else f"{shown.method}."
    of_class = "" if shown.explained == "predicted" else f"{shown.explained}_"
    energy = values[f"{of_method}{of_class}energy_in_box"]
    return caption if energy is None else f"{caption}\nenergy {format_percent(energy)}"
