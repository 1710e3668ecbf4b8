"""Load what a user passes as an image: a photograph, an array of bands, or the tensor that the network receives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida.data.bands import load_bands
from camlucida.data.convert import bands_from_array
from camlucida.data.images import Source, load_image
from camlucida.data.video import Video
from camlucida.data.volumes import Volume, is_volume_path
from camlucida.errors import ImageError
from camlucida.maps import rgb_channels, stretched_bands
from camlucida.models.preprocessing import Preprocessing
from camlucida.options import shown
from camlucida.types import Geometry

ImageInput: TypeAlias = Source | Tensor | Volume | Video
"""Anything that `load_image` reads, an array of bands, a network input `(c, H, W)`, a volume or a video."""
Decoded: TypeAlias = Image.Image | NDArray[np.float32] | Tensor
"""An image after reading: RGB; bands `(h, w, c)` in [0, 1]; or a network input `(c, H, W)`."""


@dataclass(frozen=True, eq=False)
class LoadedInput:
    """An image with the network input made of it.

    Attributes:
        image: The image to draw maps on, RGB.
        inputs: Network input `(c, H, W)`.
        geometry: Position of the network input on the image.
        array: What was given, where it was not an RGB image: bands `(height, width, c)` in [0, 1], or the network
            input; else None.
    """

    image: Image.Image
    inputs: Tensor
    geometry: Geometry
    array: NDArray[np.float32] | Tensor | None = None

    @property
    def source(self) -> Decoded:
        """What was given, after reading: `load_input` returns the same network input for it."""
        return self.image if self.array is None else self.array


def load_input(preprocessing: Preprocessing, source: ImageInput) -> LoadedInput:
    """Return the network input of an image.

    Args:
        preprocessing: The preprocessing of the model.
        source: One of the following.

            - Anything that `load_image` reads: it is preprocessed.
            - An array `(h, w, c)` for a network input of c channels that is neither grey nor RGB (multispectral: 2, 4,
              8, 12 bands): uint8, uint16, bool, or float in [0, 1]. It is resized and normalised like a photograph, and
              displayed as RGB of its first three bands, or of `display_bands`. A Pillow image with c bands is such an
              array, too, and so are the .npy or TIFF files that `load_bands` reads.
            - A tensor `(c, H, W)`: a network input, normalised as the network requires. It goes to the network
              unmodified, and is displayed with the normalisation of `preprocessing` reversed.

    Raises:
        ImageError: The image cannot be read, or has other channels than the network input.
    """
    decoded, bands = decode(preprocessing, source), preprocessing.display_bands
    if isinstance(decoded, Tensor):
        height, width = (int(side) for side in decoded.shape[-2:])
        geometry = Geometry((width, height), (width, height), (1.0, 1.0), (0.0, 0.0))
        return LoadedInput(_drawn(preprocessing.denormalise(decoded[None])[0], bands), decoded, geometry, decoded)
    if isinstance(decoded, Image.Image):
        return LoadedInput(decoded, *preprocessing(decoded))
    drawn = _drawn(torch.from_numpy(decoded).permute(2, 0, 1), bands)
    return LoadedInput(drawn, *preprocessing.from_bands(decoded), decoded)


def decode(preprocessing: Preprocessing, source: Any) -> Decoded:
    """Return an image after reading, before preprocessing. Raises as `load_input` does."""
    channels = len(preprocessing.mean)
    if isinstance(source, Mapping):
        raise ImageError(
            f"a dict of inputs ({', '.join(map(str, source))}) is no image: explain, attribute and trust take several "
            "inputs of one image; elsewhere, hold the inputs that all images share, as in model.hold(table=tensor)."
        )
    if isinstance(source, Tensor):
        return _check_tensor(source.detach(), channels)
    if isinstance(source, Volume | Video) or is_volume_path(source):
        raise ImageError(
            "this is a volume or a video, and here an image is needed: `explain` and `attribute` take volumes and "
            "videos; trust, evaluate and the page take images."
        )
    if preprocessing.is_photographic:
        return load_image(source)
    if isinstance(source, str | os.PathLike):
        return load_bands(source, channels)
    if isinstance(source, Image.Image) and len(source.getbands()) == channels:
        source = np.asarray(source)
    if isinstance(source, np.ndarray) and source.ndim == 3 and source.shape[2] == channels:
        return bands_from_array(source)
    given = f"an array of shape {source.shape}" if isinstance(source, np.ndarray) else f"a {type(source).__name__}"
    raise ImageError(
        f"the network input has {channels} channels, and {given} does not hold as many bands: pass an array "
        f"(height, width, {channels}) of uint8, uint16 or floats in [0, 1]."
    )


def _drawn(pixels: Tensor, bands: tuple[int, int, int] | None = None) -> Image.Image:
    """Return an image `(c, h, w)` in [0, 1] as RGB, to draw maps on."""
    valid = pixels.nan_to_num(nan=0.0)
    rgb = (rgb_channels(valid) if bands is None else stretched_bands(valid, bands)).permute(1, 2, 0)
    return Image.fromarray((rgb * 255).round().byte().numpy())


def _check_tensor(image: Tensor, channels: int) -> Tensor:
    """Return a tensor `(c, H, W)`. Raises `ImageError` for another shape or number of channels."""
    shape = "×".join(map(str, image.shape)) or "of one number"
    if image.ndim != 3:
        raise ImageError(
            f"a tensor {shape} is not one image: pass (channels, height, width), normalised as the network requires."
        )
    if image.shape[0] != channels:
        hint = " Its channels seem to come last: tensor.permute(2, 0, 1)." if image.shape[2] == channels else ""
        raise ImageError(
            f"a tensor {shape} has {image.shape[0]} channels, and the model's mean= and std= are for {channels}.{hint}"
        )
    if not image.is_floating_point():
        raise ImageError(
            f"a tensor {shape} of {image.dtype} is no network input: pass floats, normalised as the network requires; "
            "or an image as a file, an array or a Pillow image, which is preprocessed."
        )
    return image


def iterated(images: Any) -> Iterator[ImageInput]:
    """Return an iterator over several images.

    Raises:
        ImageError: A single image was given, or no iterable.
    """
    single = isinstance(images, str | bytes | bytearray | Image.Image | Mapping) or getattr(images, "ndim", 4) < 4
    if single or isinstance(images, type) or not isinstance(images, Iterable):
        raise ImageError(
            f"images is a list or another iterable of images, not {shown(images)}. Put one image in a list."
        )
    return iter(images)
