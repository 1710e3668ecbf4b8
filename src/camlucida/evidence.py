"""What metrics may ask for by naming it, computed when it is asked for. The table is in `metrics/registry.py`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from camlucida.attribution import attributions
from camlucida.data.datasets import Item
from camlucida.data.images import load_image
from camlucida.engine import LayerSpec, Pictures, twin_of
from camlucida.models.model import Model
from camlucida.outputs import class_scores, placed
from camlucida.request import AttributionRequest, MethodRequest
from camlucida.tensors import land, upsample
from camlucida.types import Geometry, Progress


@dataclass(frozen=True, eq=False)
class Sight:
    """One picture as a model sees it: everything that all maps of it share.

    inputs    (1, c, H, W) on the network's device
    logits    (k,) what the model says
    target    the class that is explained
    label     the class it truly shows, as an output of the model; None where it is not known
    others    classes that it shows besides
    """

    model: Model
    item: Item
    inputs: Tensor
    geometry: Geometry
    logits: Tensor
    target: int
    label: int | None
    seed: int = 0
    seen: dict[str, float] = field(default_factory=dict)
    others: tuple[int, ...] = ()

    def predict(self, variants: Callable[[Tensor], Tensor], count: int, tick: Progress | None = None) -> Tensor:
        """Class scores (count, k) of other pictures: numbers (n,) in, pictures (n, c, H, W) out; in chunks."""
        return torch.cat(list(self.predict_each(variants, count, tick)))

    def predict_each(
        self, variants: Callable[[Tensor], Tensor], count: int, tick: Progress | None = None
    ) -> Iterator[Tensor]:
        """The same, chunk by chunk (n, k), as they are computed."""
        network = Pictures(twin_of(self.model.network), self.inputs, self._read, tick or (lambda done, total: None))
        for scores in network.each_output(lambda which: variants(which)[:, None], count):
            yield scores[:, 0]

    @cached_property
    def boxes(self) -> Tensor | None:
        return None if self.item.boxes is None else torch.as_tensor(self.item.boxes).double()

    @cached_property
    def boxes_seen(self) -> Tensor | None:
        """On the network's input, cut to what it sees."""
        if self.boxes is None:
            return None
        geometry = self.geometry
        on_input = self.boxes * torch.tensor(geometry.scale * 2) + torch.tensor(geometry.offset * 2)
        return on_input.clamp_min(0).minimum(torch.tensor(geometry.input * 2))

    @cached_property
    def mask(self) -> Tensor | None:
        return None if self.item.mask is None else torch.as_tensor(self.item.mask())

    @cached_property
    def region(self) -> Tensor | None:
        """(height, width) of the picture: the mask, or the boxes where no mask is known."""
        if self.mask is not None:
            return self.mask
        return None if self.boxes is None else filled(self.boxes, self.geometry.original)

    @cached_property
    def region_seen(self) -> Tensor | None:
        """(H, W) of the network's input."""
        return None if self.region is None else seen(self.region, self.geometry)

    @cached_property
    def rival(self) -> Tensor | None:
        return None if self.item.rival is None else torch.as_tensor(self.item.rival())

    @cached_property
    def parts(self) -> dict[str, Tensor] | None:
        """Those of which anything is to be seen."""
        if self.item.parts is None:
            return None
        return {name: torch.as_tensor(mask) for name, mask in self.item.parts().items() if mask.any()}

    @cached_property
    def effects(self) -> Tensor | None:
        """(parts,) how far the score of what is explained falls when each part is not there, in the order of `parts`.

        The picture is drawn again without it, so nothing is filled in.
        """
        if self.item.without is None or self.parts is None:
            return None
        pictures = [self.model.preprocessing(load_image(self.item.without(part)))[0] for part in self.parts]
        if not pictures:
            return torch.zeros(0)
        without = torch.stack(pictures).to(self.inputs)
        left = self.predict(lambda which: without[which.to(without.device)], len(without))
        return (self.logits[self.target] - left[:, self.target]).cpu()

    @cached_property
    def pixel(self) -> Tensor:
        """(c, 1, 1) how much of the network's input one step from black to white is."""
        return 1 / torch.tensor(self.model.preprocessing.std).to(self.inputs)[:, None, None]

    @cached_property
    def black(self) -> Tensor:
        """(c, 1, 1) a black pixel in units of the network's input."""
        return -torch.tensor(self.model.preprocessing.mean).to(self.inputs)[:, None, None] * self.pixel

    def random(self, purpose: str) -> torch.Generator:
        """Chance that depends on the picture, the seed and what it is for, and on nothing else."""
        key = f"{self.seed}/{self.item.name}/{purpose}"
        return torch.Generator().manual_seed(zlib.crc32(key.encode()))

    def _read(self, output: Any) -> Tensor:
        return class_scores(output, self.model.output)


class Explainer(Protocol):
    """What makes maps: a method at a layer, or a control that only looks like one.

    name   in tables
    relu   whether what is below zero is cut off before it is shown
    """

    @property
    def name(self) -> str: ...

    @property
    def relu(self) -> bool: ...

    def maps(self, sight: Sight, pictures: Tensor, classes: Tensor) -> Tensor:
        """Raw maps (n, h, w) of pictures (n, c, H, W), each for its class (n,)."""


@dataclass(frozen=True)
class OfMethod:
    """A method at one layer, as an explainer.

    named   its name in tables, if it is not the method's: the same method may be there at another layer, too
    tick    is told about the progress of methods that run the network many times
    """

    request: MethodRequest
    layer: LayerSpec | Sequence[LayerSpec] = None
    named: str = ""
    tick: Progress | None = None

    @property
    def name(self) -> str:
        return self.named or self.request[0].name

    @property
    def relu(self) -> bool:
        return self.request[0].relu

    @property
    def layers(self) -> Sequence[LayerSpec]:
        """The layer, or those that the method fuses."""
        if self.layer is None or isinstance(self.layer, str | int):
            return [self.layer]
        return self.layer

    def maps(self, sight: Sight, pictures: Tensor, classes: Tensor) -> Tensor:
        model = sight.model
        found = attributions(
            model,
            pictures,
            AttributionRequest(targets=[classes], layers=self.layers, methods=[self.request], progress=self.tick),
        )
        return found.maps[0][0][0]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One map of one picture, and whatever a metric may want to know. Each property is what a parameter gets."""

    sight: Sight
    explainer: Explainer
    raw: Tensor
    purpose: str = ""

    def given(self, needs: Sequence[str]) -> list[Any]:
        """What is asked for, in order."""
        return [getattr(self, need) for need in needs]

    def lacks(self, needs: Sequence[str]) -> str:
        """Which of `needs` is not known of this picture, or nothing."""
        known: dict[str, Any] = {
            "boxes": self.sight.item.boxes,
            "mask": self.sight.item.mask,
            "region": self.sight.item.boxes if self.sight.item.mask is None else self.sight.item.mask,
            "label": self.sight.label,
        }
        known |= {"rival": self.sight.item.rival, "parts": self.sight.item.parts, "effects": self.sight.item.without}
        known |= {"region_seen": known["region"], "boxes_seen": known["boxes"], "present": known["label"]}
        return next((need for need in needs if need in known and known[need] is None), "")

    @cached_property
    def _as_shown(self) -> Tensor:
        return self.raw.relu() if self.explainer.relu else self.raw

    @cached_property
    def shown(self) -> Tensor:
        return land(self._as_shown.cpu(), self.sight.geometry).nan_to_num(nan=0.0).clamp_min(0)

    @cached_property
    def relevance(self) -> Tensor:
        return self._on_input(self._as_shown[None])[0]

    @cached_property
    def signed(self) -> Tensor:
        return self._on_input(self.raw[None])[0]

    def explain(self, pictures: Tensor) -> Tensor:
        classes = torch.full((len(pictures),), self.sight.target)
        return self._mapped(pictures, classes)

    def explain_class(self, classes: Sequence[int]) -> Tensor:
        return self._mapped(self.sight.inputs.expand(len(classes), -1, -1, -1), torch.as_tensor(classes))

    def _mapped(self, pictures: Tensor, classes: Tensor) -> Tensor:
        found = self.explainer.maps(self.sight, pictures, classes)
        return self._on_input(found.relu() if self.explainer.relu else found)

    def _on_input(self, maps: Tensor) -> Tensor:
        height, width = (int(n) for n in self.sight.inputs.shape[-2:])
        return upsample(maps, (height, width))

    @property
    def inputs(self) -> Tensor:
        return self.sight.inputs[0]

    @property
    def predict(self) -> Callable[..., Tensor]:
        return self.sight.predict

    @property
    def random(self) -> torch.Generator:
        return self.sight.random(self.purpose)

    @property
    def boxes(self) -> Tensor | None:
        return self.sight.boxes

    @property
    def boxes_seen(self) -> Tensor | None:
        return self.sight.boxes_seen

    @property
    def mask(self) -> Tensor | None:
        return self.sight.mask

    @property
    def region(self) -> Tensor | None:
        return self.sight.region

    @property
    def region_seen(self) -> Tensor | None:
        return self.sight.region_seen

    @property
    def rival(self) -> Tensor | None:
        return self.sight.rival

    @property
    def parts(self) -> dict[str, Tensor] | None:
        return self.sight.parts

    @property
    def effects(self) -> Tensor | None:
        return self.sight.effects

    @property
    def label(self) -> int | None:
        return self.sight.label

    @property
    def present(self) -> tuple[int, ...]:
        return (*(() if self.label is None else (self.label,)), *self.sight.others)

    @property
    def logits(self) -> Tensor:
        return self.sight.logits

    @property
    def target(self) -> int:
        return self.sight.target

    @property
    def pixel(self) -> Tensor:
        return self.sight.pixel

    @property
    def black(self) -> Tensor:
        return self.sight.black


def filled(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels (height, width) of a picture of `size` (width, height) whose centre lies in one of the boxes (n, 4)."""
    x, y = (torch.arange(n, dtype=boxes.dtype) + 0.5 for n in size)
    across = (x >= boxes[:, 0:1]) & (x < boxes[:, 2:3])
    down = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:4])
    return (down[:, :, None] & across[:, None]).any(0)


def seen(region: Tensor, geometry: Geometry) -> Tensor:
    """A region (height, width) of the picture on the network's input: (H, W); what was padded on is outside."""
    width, height = geometry.input
    x = ((torch.arange(width) + 0.5 - geometry.offset[0]) / geometry.scale[0]).floor().long()
    y = ((torch.arange(height) + 0.5 - geometry.offset[1]) / geometry.scale[1]).floor().long()
    inside = ((y >= 0) & (y < region.shape[0]))[:, None] & ((x >= 0) & (x < region.shape[1]))
    return region[y.clamp(0, region.shape[0] - 1)][:, x.clamp(0, region.shape[1] - 1)] & inside


def look(
    model: Model,
    item: Item,
    label: int | None,
    *,
    others: Sequence[int] = (),
    target: str = "predicted",
    seed: int = 0,
) -> Sight:
    """Read a picture and ask the model about it. Raises `ImageError` where it cannot be read.

    others   classes that it shows besides `label`
    target   what shall be explained: "predicted", or "label" for the true class (the predicted one where it is unknown)
    """
    inputs, geometry = model.preprocessing(load_image(item.image))
    batch = placed(model.network, inputs[None])
    with torch.inference_mode(False), torch.no_grad():
        logits = class_scores(twin_of(model.network).module(batch.clone()), model.output)[0]
    chosen = label if target == "label" and label is not None else int(logits.argmax())
    return Sight(model, item, batch, geometry, logits, chosen, label, seed, others=tuple(others))
