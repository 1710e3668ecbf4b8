"""Looking into a layer: what its channels see on a picture, and which pictures excite one channel most."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida.attribution import several_layers, several_targets
from camlucida.data.images import Source, load_image
from camlucida.engine import Layer, resolve, twin_of
from camlucida.errors import CamlucidaError, LayerError, MethodError, TargetError, nearest
from camlucida.explaining import as_model, name_of, of_this, top_predictions
from camlucida.models.model import Model
from camlucida.outputs import placed
from camlucida.render.contact import Tile, contact
from camlucida.render.display import show_picture
from camlucida.render.text import number
from camlucida.runs import Question, Run, run
from camlucida.saving import png, write_picture
from camlucida.targets import parse
from camlucida.tensors import land, scaled
from camlucida.types import Geometry, Prediction

ORDERS = ("contribution", "gradient", "activation", "channel")
SHEET = 24
"""How many tiles a sheet has, unless asked otherwise."""
KEPT = 480
"""The longest side of a picture that is kept to be shown, in pixels."""


@dataclass(frozen=True, eq=False)
class Activations:
    """What the channels of a layer see on one picture, and how much each counts. Shows itself in a notebook.

    maps          (c, h, w) what the layer gave out
    gradients     (c,) the mean gradient of the score: Grad-CAM's weight of the channel
    contributions (c,) mean gradient × mean activation: the channel's part of the mean of the Grad-CAM map
    order         the channels, first those that count most
    by            what they are ordered by: contribution, gradient, activation or channel
    """

    maps: Tensor
    gradients: Tensor
    contributions: Tensor
    order: tuple[int, ...]
    by: str
    picture: Image.Image
    geometry: Geometry
    target: str
    score: float
    layer: str
    model: str
    source: str
    predictions: tuple[Prediction, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.maps)

    def heatmap(self, channel: int) -> Any:
        """(height, width) of the picture: what the channel sees, its maximum 1; NaN where the network did not look."""
        return scaled(land(self.maps[_checked(channel, len(self), self.layer)], self.geometry)).numpy()

    def figure(self, n: int = SHEET, **look: Any) -> Image.Image:
        """The first n channels as a contact sheet. `look` as of `render.contact`."""
        if n < 1:
            raise MethodError(f"{n} channels are no sheet: ask for one or more.")
        small = self._kept
        shown = self.order[:n]
        tiles = [
            Tile(
                small,
                scaled(land(self.maps[c], _shrunk(self.geometry, small))).numpy(),
                f"channel {c}",
                self._caption(c),
            )
            for c in shown
        ]
        first = self.predictions[0]
        return contact(
            tiles,
            title=self.layer,
            subtitle=f"{len(shown)} of {len(self)} channels, {self.maps.shape[1]} × {self.maps.shape[2]}, by "
            f"{_WORDS[self.by]} · predicted {first.name} {first.probability:.0%}",
            aside=self.target,
            original=small,
            footer=f"each channel has its own scale · {self.model} · {self.source} · camlucida {camlucida.__version__}",
            **look,
        )

    def save(self, path: str | Path, n: int = SHEET, **look: Any) -> list[Path]:
        """The sheet as a picture; returns the files written."""
        write_picture(lambda: self.figure(n, **look), Path(path))
        return [Path(path)]

    def _caption(self, channel: int) -> str:
        if self.by == "gradient":
            return f"weight {_signed(float(self.gradients[channel]))}"
        if self.by == "activation":
            return f"mean {number(float(self.maps[channel].mean()))}"
        return f"contributes {_signed(float(self.contributions[channel]))}"

    @cached_property
    def _kept(self) -> Image.Image:
        return _small(self.picture)

    def _repr_png_(self) -> bytes:
        return png(self.figure())


_WORDS = {
    "contribution": "mean gradient × mean activation",
    "gradient": "mean gradient",
    "activation": "mean activation",
    "channel": "number",
}


def activations(
    model: Model | nn.Module | str,
    image: Source,
    *,
    layer: Any = None,
    target: Any = None,
    by: str = "contribution",
    score: str = "logit",
) -> Activations:
    """What the channels of one layer see on a picture, first those that speak most for a class.

    layer    a name or index, as for `explain`; one only
    target   as for `explain`; one only
    by       the order: contribution (mean gradient × mean activation), gradient, activation, or channel
    """
    wrapped = as_model(model)
    with of_this(wrapped, image):
        if by not in ORDERS:
            raise MethodError(f"channels are not ordered by {by!r}.{nearest(by, ORDERS)} Known: {', '.join(ORDERS)}.")
        if several_layers(layer):
            raise LayerError(f"activations are shown of one layer, not of {layer!r}.")
        if several_targets(target):
            raise TargetError(f"activations are weighed for one target, not for {target!r}.")
        picture = load_image(image)
        inputs, geometry = wrapped.preprocessing(picture)
        where, found = _ask(wrapped, inputs, layer, target, score)
        given = found.at_layers[0][0]
        maps, slopes = given.activations[0].float().cpu(), found.gradients[0][0][0].float().cpu().mean((1, 2))
        means = maps.mean((1, 2))
        contributions = slopes * means
        worth = {"contribution": contributions, "gradient": slopes, "activation": means}.get(by)
        order = range(len(maps)) if worth is None else worth.argsort(descending=True, stable=True).tolist()
        return Activations(
            maps=maps,
            gradients=slopes,
            contributions=contributions,
            order=tuple(order),
            by=by,
            picture=picture,
            geometry=geometry,
            target=given.target.label(wrapped.labels),
            score=float(found.scores[0, 0]),
            layer=where.label,
            model=wrapped.name,
            source=name_of(image),
            predictions=top_predictions(found.output[0], wrapped.labels),
        )


@dataclass(frozen=True, eq=False)
class Excited:
    """One picture, and how much a channel is excited by it.

    strength   the channel's highest activation on it
    map        (h, w) the channel
    picture    small, to be shown; `geometry` is about it
    """

    source: str
    strength: float
    map: Tensor
    picture: Image.Image
    geometry: Geometry
    predicted: Prediction


@dataclass(frozen=True, eq=False)
class TopPictures:
    """The pictures that excite one channel most, best first. Shows itself in a notebook.

    seen      how many pictures were looked at; `failed` those that could not be, with the error
    """

    items: tuple[Excited, ...]
    channel: int
    channels: int
    layer: str
    model: str
    seen: int
    failed: tuple[tuple[str, CamlucidaError], ...]

    def figure(self, n: int = SHEET, **look: Any) -> Image.Image:
        """A contact sheet; all maps on one scale, so that they can be compared. `look` as of `render.contact`."""
        items = self.items[: max(1, n)]
        if not items:
            raise MethodError("no picture could be read, so there is none to show.")
        top = max((item.strength for item in items), default=0.0)
        tiles = [
            Tile(
                item.picture,
                (land(item.map, item.geometry) / (top if top > 0 else 1)).clamp(0, 1).numpy(),
                item.source,
                f"{number(item.strength)} · {item.predicted.name} {item.predicted.probability:.0%}",
            )
            for item in items
        ]
        several = "pictures" if self.seen != 1 else "picture"
        return contact(
            tiles,
            title=f"Channel {self.channel} of {self.layer}",
            subtitle=f"{len(items)} of {self.seen} {several}, first those that excite it most: its highest activation",
            footer=f"all maps on one scale · {self.model} · camlucida {camlucida.__version__}",
            scale=(0.0, max(top, 0.0)),
            **look,
        )

    def save(self, path: str | Path, n: int = SHEET, **look: Any) -> list[Path]:
        """The sheet as a picture; returns the files written."""
        write_picture(lambda: self.figure(n, **look), Path(path))
        return [Path(path)]

    def _repr_png_(self) -> bytes:
        return png(self.figure())


def top_pictures(
    model: Model | nn.Module | str,
    images: Iterable[Source],
    *,
    channel: int,
    layer: Any = None,
    n: int = SHEET,
    tick: Callable[[Source, CamlucidaError | None], None] | None = None,
) -> TopPictures:
    """The n pictures that excite a channel most. One that cannot be read is left out, and named in `failed`.

    tick     told after every picture, with the error if there was one
    """
    if n < 1:
        raise MethodError(f"the {n} best pictures are none: ask for one or more.")
    if several_layers(layer):
        raise LayerError(f"a channel belongs to one layer, not to {layer!r}.")
    wrapped = as_model(model)
    best: list[tuple[float, int, Excited]] = []
    failed: list[tuple[str, CamlucidaError]] = []
    count, channels, where = 0, 0, ""
    for seen, (image, found) in enumerate(_looked(wrapped, images, layer, channel)):
        if isinstance(found, CamlucidaError):
            failed.append((name_of(image), found))
        else:
            excited, channels, where = found
            count += 1
            entry = (excited.strength, -seen, excited)  # of equals the first comes first
            if len(best) < n:
                heapq.heappush(best, entry)
            else:
                heapq.heappushpop(best, entry)
        if tick:
            tick(image, found if isinstance(found, CamlucidaError) else None)
    ordered = tuple(entry[2] for entry in sorted(best, key=lambda entry: entry[:2], reverse=True))
    return TopPictures(ordered, channel, channels, where, wrapped.name, count, tuple(failed))


def _looked(
    model: Model, images: Iterable[Source], layer: Any, channel: int
) -> Iterator[tuple[Source, tuple[Excited, int, str] | CamlucidaError]]:
    """A wrong layer or channel stops everything; a wrong picture only itself."""
    for image in images:
        try:
            with of_this(model, image):
                picture = load_image(image)
                inputs, geometry = model.preprocessing(picture)
        except CamlucidaError as error:
            yield image, error
            continue
        with of_this(model, image):
            where, found = _ask(model, inputs, layer, 0, "logit", gradients=False)
            maps = found.at_layers[0][0].activations[0]
            chosen = maps[_checked(channel, len(maps), where.label)].float().cpu()
        small = _small(picture)
        (best,) = top_predictions(found.output[0], model.labels)[:1]
        excited = Excited(name_of(image), float(chosen.max()), chosen, small, _shrunk(geometry, small), best)
        yield image, (excited, len(maps), where.label)


def _ask(
    model: Model, image: Tensor, layer: Any, target: Any, score: str, *, gradients: bool = True
) -> tuple[Layer, Run]:
    """One run with one layer and one target."""
    inputs = placed(model.network, image[None])
    twin = twin_of(model.network)
    with torch.inference_mode(False), torch.no_grad():
        (where,) = resolve(twin, inputs, [model.layer if layer is None else layer])
        needs = frozenset({"gradients"} if gradients else ())
        question = Question(
            twin,
            (where,),
            model.output,
            needs,
            lambda scores: parse(target, scores, model.labels, score=score),
            lambda done, total: None,
        )
        return where, run(question, inputs)


def _checked(channel: int, channels: int, layer: str) -> int:
    if not 0 <= channel < channels:
        raise LayerError(f"no channel {channel} at {layer}: it has {channels}, from 0 to {channels - 1}.")
    return channel


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value).replace("-", "−", 1)


def _small(picture: Image.Image) -> Image.Image:
    """Small enough to keep many, large enough for a tile."""
    factor = min(1.0, KEPT / max(picture.size))
    if factor == 1:
        return picture
    width, height = picture.size
    return show_picture(picture, (max(1, round(width * factor)), max(1, round(height * factor))))


def _shrunk(geometry: Geometry, small: Image.Image) -> Geometry:
    """The same geometry for the picture at another size."""
    x, y = (old / new for old, new in zip(geometry.original, small.size, strict=True))
    return Geometry(small.size, geometry.input, (geometry.scale[0] * x, geometry.scale[1] * y), geometry.offset)
