"""One image as a model processes it: the network input, its class scores, and the ground truth on the input's grid."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from camlucida.attribution.load_input import load_input
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_activation, output_reader, predict
from camlucida.attribution.outputs import to_network
from camlucida.data.datasets import Item
from camlucida.engine import InputVariants, copy_of
from camlucida.engine.named_inputs import NamedInputs
from camlucida.models.model import Model
from camlucida.tasks import OutputActivation
from camlucida.types import Geometry, ProgressCallback


@dataclass(frozen=True, eq=False)
class KnownMap:
    """A map that was computed together with those of other images.

    Attributes:
        map: The raw map `(h, w)`.
        forwards: Its part of the cost, in forward passes.
        seconds: Its part of the time.
    """

    map: Tensor
    forwards: float
    seconds: float


@dataclass(frozen=True, eq=False)
class KnownOutputs:
    """What was computed of an image together with other images.

    Attributes:
        logits: `(k,)` the class scores.
        target: The explained class.
        maps: By the name of the explainer, the maps of that class.
    """

    logits: Tensor
    target: int
    maps: Mapping[str, KnownMap]


@dataclass(frozen=True, eq=False)
class ModelInput:
    """One image as a model processes it, with everything that all its maps share.

    Attributes:
        model: The model.
        item: The item of the data set.
        inputs: `(1, c, H, W)` the network input, on the network's device.
        geometry: Position of the network input on the original image.
        logits: `(k,)` the class scores.
        target: The explained class.
        label: The true class as an output of the model; None if it is unknown.
        seed: Seed of all random numbers.
        also_correct: Further classes that the image shows.
        known_maps: By the name of the explainer, maps of `target` that were computed already.
    """

    model: Model
    item: Item
    inputs: Tensor
    geometry: Geometry
    logits: Tensor
    target: int
    label: int | None
    seed: int = 0
    also_correct: tuple[int, ...] = ()
    known_maps: Mapping[str, KnownMap] = field(default_factory=dict, repr=False)

    def predict(self, variants: Callable[[Tensor], Tensor], n: int, progress: ProgressCallback | None = None) -> Tensor:
        """Compute class scores `(n, k)` of modified inputs, in chunks.

        Args:
            variants: Maps indices `(n,)` to inputs `(n, c, H, W)`.
            n: Number of variants.
            progress: Called with the number of finished variants and the total.
        """
        return torch.cat(list(self.predict_each(variants, n, progress)))

    def predict_each(
        self, variants: Callable[[Tensor], Tensor], n: int, progress: ProgressCallback | None = None
    ) -> Iterator[Tensor]:
        """Yield the scores of `predict` chunk by chunk, `(n, k)` each."""
        copy = copy_of(self.model.network)
        inputs = model_inputs(self.model, self.inputs)
        network = InputVariants(
            copy,
            self.inputs,
            output_reader(self.model, copy, inputs),
            progress or (lambda done, total: None),
            held=inputs if isinstance(inputs, NamedInputs) else None,
        )
        for scores in network.iter_outputs(lambda which: variants(which)[:, None], n):
            yield scores[:, 0]

    @cached_property
    def activation(self) -> OutputActivation:
        """How the class scores become probabilities."""
        return output_activation(self.model)

    @cached_property
    def boxes(self) -> Tensor | None:
        """The true boxes `(n, 4)` on the original image."""
        return None if self.item.boxes is None else torch.as_tensor(self.item.boxes).double()

    @cached_property
    def input_boxes(self) -> Tensor | None:
        """The true boxes `(n, 4)` on the network input, clipped to it."""
        if self.boxes is None:
            return None
        geometry = self.geometry
        scale, offset = (torch.tensor(pair * 2, dtype=torch.float32) for pair in (geometry.scale, geometry.offset))
        on_input = self.boxes * scale + offset
        return on_input.clamp_min(0).minimum(torch.tensor(geometry.input * 2))

    @cached_property
    def mask(self) -> Tensor | None:
        """The object's mask `(height, width)` on the original image."""
        return None if self.item.mask is None else torch.as_tensor(self.item.mask())

    @cached_property
    def region(self) -> Tensor | None:
        """The mask `(height, width)` on the original image, or the area of the boxes if there is no mask."""
        if self.mask is not None:
            return self.mask
        return None if self.boxes is None else fill_in(self.boxes, self.geometry.original)

    @cached_property
    def input_region(self) -> Tensor | None:
        """The region `(H, W)` on the network input."""
        return None if self.region is None else valid_region(self.region, self.geometry)

    @property
    def present_classes(self) -> tuple[int, ...]:
        """All classes that the image shows, the labelled one first."""
        return (*(() if self.label is None else (self.label,)), *self.also_correct)

    @cached_property
    def other_objects_mask(self) -> Tensor | None:
        """The mask `(height, width)` of objects of other classes."""
        return None if self.item.other_objects_mask is None else torch.as_tensor(self.item.other_objects_mask())

    @cached_property
    def parts(self) -> dict[str, Tensor] | None:
        """The masks of the object's visible parts."""
        if self.item.parts is None:
            return None
        return {name: torch.as_tensor(mask) for name, mask in self.item.parts().items() if mask.any()}

    @cached_property
    def part_score_drops(self) -> Tensor | None:
        """The drop of the target's score when each part is missing, `(parts,)`, in the order of `parts`.

        The image is rendered again without the part, so that no infill is needed.
        """
        if self.item.render_without is None or self.parts is None:
            return None
        images = [load_input(self.model.preprocessing, self.item.render_without(part)).inputs for part in self.parts]
        if not images:
            return torch.zeros(0, dtype=torch.float32)
        inputs_without = torch.stack(images).to(self.inputs)
        scores = self.predict(lambda which: inputs_without[which.to(inputs_without.device)], len(inputs_without))
        return (self.logits[self.target] - scores[:, self.target]).cpu()

    @cached_property
    def pixel_scale(self) -> Tensor:
        """The range from black to white in units of the network input, `(c, 1, 1)`."""
        return 1 / torch.tensor(self.model.preprocessing.std).to(self.inputs)[:, None, None]

    @cached_property
    def black_level(self) -> Tensor:
        """A black pixel in units of the network input, `(c, 1, 1)`."""
        return -torch.tensor(self.model.preprocessing.mean).to(self.inputs)[:, None, None] * self.pixel_scale

    def random(self, purpose: str) -> torch.Generator:
        """Return a generator seeded by the image, the seed and the purpose alone."""
        key = f"{self.seed}/{self.item.name}/{purpose}"
        return torch.Generator().manual_seed(zlib.crc32(key.encode()))


def fill_in(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the mask `(height, width)` of pixels whose centre lies in one of the boxes.

    Args:
        boxes: `(n, 4)` the boxes.
        size: Width and height of the image.
    """
    x, y = (torch.arange(n, dtype=boxes.dtype) + 0.5 for n in size)
    across = (x >= boxes[:, 0:1]) & (x < boxes[:, 2:3])
    down = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:4])
    return (down[:, :, None] & across[:, None]).any(0)


def valid_region(region: Tensor, geometry: Geometry) -> Tensor:
    """Map a region `(height, width)` of the original image to the network input `(H, W)`; padding is outside."""
    width, height = geometry.input
    x = ((torch.arange(width, dtype=torch.float32) + 0.5 - geometry.offset[0]) / geometry.scale[0]).floor().long()
    y = ((torch.arange(height, dtype=torch.float32) + 0.5 - geometry.offset[1]) / geometry.scale[1]).floor().long()
    inside = ((y >= 0) & (y < region.shape[0]))[:, None] & ((x >= 0) & (x < region.shape[1]))
    return region[y.clamp(0, region.shape[0] - 1)][:, x.clamp(0, region.shape[1] - 1)] & inside


def prepare_input(
    model: Model,
    item: Item,
    label: int | None,
    *,
    also_correct: Sequence[int] = (),
    target: str = "predicted",
    seed: int = 0,
) -> ModelInput:
    """Load an image and compute the model's scores.

    Args:
        model: The model.
        item: The item of the data set.
        label: The true class as an output of the model.
        also_correct: Further classes that the image shows.
        target: The class to explain: "predicted", or "true" for the true class (the predicted one if it is unknown).
        seed: Seed of all random numbers.

    Raises:
        ImageError: If the image cannot be read.
    """
    loaded = load_input(model.preprocessing, item.image)
    return predicted_input(
        model, item, loaded.inputs, loaded.geometry, label, also_correct=also_correct, target=target, seed=seed
    )


def predicted_input(
    model: Model,
    item: Item,
    inputs: Tensor,
    geometry: Geometry,
    label: int | None,
    *,
    also_correct: Sequence[int] = (),
    target: str = "predicted",
    seed: int = 0,
    outputs: KnownOutputs | None = None,
) -> ModelInput:
    """Compute the model's scores of an image that was loaded already.

    Args:
        model: As of `prepare_input`.
        item: As of `prepare_input`.
        inputs: Network input `(c, H, W)`.
        geometry: Position of the network input on the image.
        label: As of `prepare_input`.
        also_correct: As of `prepare_input`.
        target: As of `prepare_input`.
        seed: As of `prepare_input`.
        outputs: What was computed of the image already; None to compute the scores.
    """
    network_input, model = to_network(model.network, inputs[None]), model.on_image(geometry)
    logits = predict(model, network_input.clone())[0][0] if outputs is None else outputs.logits
    target_class = explained_class(logits, label, target)
    return ModelInput(
        model,
        item,
        network_input,
        geometry,
        logits,
        target_class,
        label,
        seed,
        also_correct=tuple(also_correct),
        known_maps=outputs.maps if outputs is not None and outputs.target == target_class else {},
    )


def explained_class(logits: Tensor, label: int | None, target: str) -> int:
    """Return the class to explain: the true one for "true" where it is known, and the predicted one otherwise."""
    return label if target == "true" and label is not None else int(logits.argmax())
