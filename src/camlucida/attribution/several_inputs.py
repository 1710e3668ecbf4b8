"""Inputs of a network that takes several, as a user passes them by name: images to preprocess, and tensors to hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camlucida.attribution.load_volume_input import Loaded, is_batch, load_any
from camlucida.data.video import Video
from camlucida.data.volumes import Volume
from camlucida.engine import nested
from camlucida.errors import ImageError, ModelError, nearest
from camlucida.models.image_names import forward_parameters
from camlucida.models.model import Model


@dataclass(frozen=True, eq=False)
class LoadedInputs:
    """All inputs of a network for one prediction.

    Attributes:
        model: The model, with the names of the images that are explained.
        images: What was loaded of every image, by name; those that the model explains come first.
        sources: What was given for every image.
        others: All other inputs by name, unmodified.
    """

    model: Model
    images: Mapping[str, Loaded]
    sources: Mapping[str, Any]
    others: Mapping[str, Any]

    @property
    def first(self) -> Loaded:
        """What was loaded of the first image that the model explains."""
        return self.images[self.model.image[0]]

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the network by name, with a batch axis of 1."""
        return {**{name: loaded.inputs[None] for name, loaded in self.images.items()}, **self.others}

    def with_others_held(self) -> tuple[Model, Any]:
        """Return the model with all inputs but its image held, and the image as it was given.

        Raises:
            ModelError: The model explains several images.
        """
        names = self.model.image
        if len(names) > 1:
            raise ModelError(
                f"{self.model.name} takes several images, {', '.join(names)}, and here one is explained: choose it "
                f"with model.of_image({names[0]!r})."
            )
        held = {name: value for name, value in self.arguments.items() if name != names[0]}
        return self.model.hold(**held), self.sources[names[0]]


def load_inputs(model: Model, given: Mapping[str, Any]) -> LoadedInputs:
    """Load the images of a network with several inputs, and check the others.

    Args:
        model: The model. Without names of images, the only input that is an image is the image.
        given: The inputs by name. Images are what `load_any` takes, or tensors with a batch axis of 1, as all other
            tensors; other values, such as None and flags, are passed as they are.

    Raises:
        ModelError: It is not known which input is the image.
        ImageError: An image is missing or cannot be read, or an input has no batch axis.
    """
    names = model.image or _only_image(model, given)
    named = model if model.image else model.of_image(names[0])
    known = forward_parameters(model.network)
    if known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        for name in given:
            if name not in known:
                raise ImageError(
                    f"{model.name} has no input {name!r}: it takes {', '.join(known)}.{nearest(name, known)}"
                )
    sources = {}
    for name in (*names, *(name for name in named.preprocessings if name not in names)):
        if name in given:
            sources[name] = _without_batch_axis(model, name, given[name])
        elif name in names:
            raise ImageError(
                f"the image {name!r} is missing: the inputs are {', '.join(given) or 'empty'}.{nearest(name, given)}"
            )
    others = {name: _checked(name, value) for name, value in given.items() if name not in sources}
    others = {**model.held, **others}
    return LoadedInputs(named, _load_images(named, sources, others), sources, others)


def _load_images(model: Model, sources: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Loaded]:
    """Load every image; tensors and videos last, since the network runs to measure their axes and needs all inputs."""
    held = {**others, **{name: source[None] for name, source in sources.items() if isinstance(source, Tensor)}}
    images: dict[str, Loaded] = {}
    for name in sorted(sources, key=lambda name: isinstance(sources[name], Tensor | Video)):
        of_image = model.of_image(name)
        others_of_image = {other: value for other, value in held.items() if other != name}
        images[name] = load_any(of_image.hold(**others_of_image) if others_of_image else of_image, sources[name])
        held[name] = images[name].inputs[None]
    return {name: images[name] for name in sources}


def with_others(model: Model, image: Any, others: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image with further inputs by name: it is the first image, or else input, that is not among them.

    Raises:
        ModelError: All inputs are among them.
    """
    known = forward_parameters(model.network)
    names = [name for name in model.image or known if name not in others]
    if not names:
        raise ModelError(f"{model.name} takes {', '.join(model.image or known)}, all of which are given by name.")
    return {names[0]: image, **others}


def of_first_image(model: Model) -> Model:
    """Return a model of several images as one of the first, with the others held at zero."""
    if len(model.image) < 2:
        return model
    first = model.of_image(model.image[0])
    blanks = {name: first.preprocessings[name] for name in model.image[1:] if name not in model.held}
    return first.hold(**{name: torch.zeros(1, len(how.mean), *how.size) for name, how in blanks.items()})


def _only_image(model: Model, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the name of the only input that is an image. Raises `ModelError` if there are several, or none."""
    candidates = [name for name, value in given.items() if _may_be_image(value)]
    if len(candidates) != 1:
        found = f"{', '.join(candidates)} may be" if candidates else "none of them is a file, array or Pillow image"
        raise ModelError(
            f"{model.name} takes several inputs, and it is not known which one is the image: {found}. Name it with "
            'wrap(network, image="x"), two images with image=("left", "right").'
        )
    return (candidates[0],)


def _may_be_image(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() and value.ndim in (3, 4, 5)
    is_file = isinstance(value, str | os.PathLike | bytes | bytearray) or hasattr(value, "read")
    return is_file or isinstance(value, Image.Image | np.ndarray | Volume | Video)


def _without_batch_axis(model: Model, name: str, value: Any) -> Any:
    """Return an image without its batch axis of 1."""
    if not is_batch(model, value):
        return value
    if len(value) != 1:
        raise ImageError(
            f"the image {name!r} is a batch of {len(value)}: explain takes one image of each, attribute takes batches."
        )
    return value[0]


def _kind(value: Any) -> str:
    if isinstance(value, Image.Image | np.ndarray):
        return "an image" if isinstance(value, Image.Image) else "an array"
    return "a file"


def _checked(name: str, value: Any) -> Any:
    """Return an input that is no image. Raises `ImageError` for a tensor without a batch axis of 1, or an image."""
    if isinstance(value, os.PathLike | bytes | bytearray | Image.Image | np.ndarray | Volume | Video):
        raise ImageError(
            f"the input {name!r} is {_kind(value)}, and is not named as an image: name it too, as in "
            f"wrap(network, image=(…, {name!r})), or pass a tensor."
        )
    for _, tensor in nested.tensors(value):
        if tensor.ndim and tensor.shape[0] != 1:
            raise ImageError(
                f"the input {name!r} is a tensor {tuple(tensor.shape)} without a batch axis of 1: every input belongs "
                f"to one image, so pass it as {name}[None]."
            )
    with torch.no_grad():
        return nested.transform(value, lambda _, tensor: tensor.detach())
