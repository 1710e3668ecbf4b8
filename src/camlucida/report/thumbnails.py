"""Small overlays for the page, made by explaining some of the pictures again."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from PIL import Image

from camlucida.data.datasets import DataSet, spread
from camlucida.data.images import load_image
from camlucida.errors import CamlucidaError
from camlucida.evaluation.belonging import unlike
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.run import outputs_of
from camlucida.explaining import explain
from camlucida.models.model import Model
from camlucida.render.boxes import boxed
from camlucida.render.display import show_picture, shown_size
from camlucida.request import INPUT

SIDE = 176
QUALITY = 78
ROOM = 3_600_000
"""Bytes that all pictures of a page may take: what is over it is left out, and the page says so."""
DEAR = 700.0
"""Forwards: a method that takes more for one map is not run again for a thumbnail."""


@dataclass
class Studio:
    """Explains pictures of a run again, as the run did.

    left_out   of which maps there is no picture, and why
    layers     where methods were found to look that were not told where
    """

    found: Evaluation
    model: Model
    data: DataSet
    room: int = ROOM
    left_out: dict[str, str] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    _made: dict[tuple[int, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._labels = outputs_of(self.data.classes, self.model)
        entries = self.found.plan["methods"]
        self._requests = {e["name"]: e for e in entries if "method" in e}
        self._costs = self.found.costs()

    def unlike(self) -> str:
        """What is not as it was when the run was made, or nothing."""
        return unlike(self.found.plan, self.model, self.data)

    def plain(self, index: int) -> str:
        """The picture itself, with its true boxes."""
        return self._kept((index, ""), lambda: self._boxed(index, self._photo(index)))

    def overlay(self, index: int, method: str) -> str:
        """A method's map on the picture, as a data URI; empty where it is left out."""
        forwards = self._costs.get((method, "explaining"), (0.0, 0.0))[0]
        if forwards > DEAR:
            self.left_out[method] = f"a map takes {forwards:,.0f} forwards"
            return ""
        return self._kept((index, method), lambda: self._explained(index, method))

    def _explained(self, index: int, method: str) -> Image.Image:
        item, request = self.data[index], self._requests[method]
        target = None
        if self.found.plan["target"] == "label" and item.label is not None:
            target = self._labels[item.label]
        made = explain(self.model, item.image, target=target, method=request["method"], layer=request["layer"])
        if "@" not in method and made.layer != INPUT:
            self.layers[method] = made.layer
        return self._boxed(index, made.overlay())

    def _photo(self, index: int) -> Image.Image:
        return load_image(self.data[index].image)

    def _boxed(self, index: int, image: Image.Image) -> Image.Image:
        boxes = self.data[index].boxes
        size = shown_size(image.size, (SIDE, SIDE))
        small = show_picture(image, size)
        if boxes is None:
            return small
        scale = [size[0] / image.width, size[1] / image.height] * 2
        return boxed(small, boxes * scale)

    def _kept(self, key: tuple[int, str], make: Callable[[], Image.Image]) -> str:
        if key not in self._made:
            try:
                uri = as_uri(make())
            except CamlucidaError as error:
                self.left_out[key[1]] = str(error)
                uri = ""
            if len(uri) > self.room:
                self.left_out[key[1]] = "the page would become too large"
                uri = ""
            self.room -= len(uri)
            self._made[key] = uri
        return self._made[key]


def as_uri(image: Image.Image) -> str:
    """A JPEG inside an address."""
    sink = io.BytesIO()
    image.convert("RGB").save(sink, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()


def chosen(found: Evaluation, count: int, correct: bool) -> list[int]:
    """Pictures that the model gets right, or wrong, drawn by the run's seed: not those that look best."""
    known = [p.index for p in found.pictures.values() if p.correct is correct]
    return [known[i] for i in spread(len(known), min(count, len(known)), found.plan["seed"])]


def extremes(values: Iterable[tuple[int, float]], better: str, count: int) -> tuple[list[int], list[int]]:
    """The best and the worst of (picture, value); no picture is both."""
    order = [index for index, _ in sorted(values, key=lambda pair: pair[1], reverse=better == "high")]
    count = min(count, len(order) // 2)
    return order[:count], order[len(order) - count :][::-1]
