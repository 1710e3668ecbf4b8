"""Preprocessing from an image to the network input, as data, so that maps can be projected back onto the image."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida.errors import ImageError, ModelError, nearest
from camlucida.models.transforms import preprocessing_fields
from camlucida.options import shown
from camlucida.types import Geometry

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "nearest", "lanczos", "box"]
ChannelOrder: TypeAlias = Literal["rgb", "bgr"]
Fit: TypeAlias = Literal["crop", "squash", "letterbox"]
"""How an image is fitted to the input size: resize and centre crop, resize without keeping the aspect ratio, or pad."""
CropRounding: TypeAlias = Literal["nearest", "down"]
"""How half a pixel in the margin before the centre crop is rounded: as torchvision and timm do, or as transformers."""

MAX_PIXELS = 89_478_485
"""Largest number of pixels of the resized image, as for reading an image."""

MAX_RECORDED_SIDE = 4096
"""Largest side in pixels of a network input or resized image that a file may request."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of an image: resize, crop or pad, scale to [0, 1], normalise.

    Attributes:
        size: `(height, width)` of the network input.
        resize: With fit="crop", the length in pixels that the shorter side is resized to first, or `(height, width)` to
            which the image is resized without keeping its aspect ratio; None for the shorter side of `size`.
        fit: "crop" resizes the shorter side and crops the centre (torchvision, timm); "squash" resizes both sides
            without keeping the aspect ratio; "letterbox" resizes the longer side and pads.
        mean: Mean of each channel in [0, 1]. With one channel, the network input is grey; with three, RGB; with any
            other number, images are arrays with as many bands (multispectral images), see `bands`.
        std: Standard deviation of each channel in [0, 1].
        interpolation: Interpolation of the resize, which is antialiased.
        fill: Grey level of the letterbox padding in [0, 1].
        crop_rounding: Rounding of the margin before the centre crop, "nearest" (torchvision, timm) or "down"
            (transformers), which differ by one pixel for a quarter of all image sizes.
        channel_order: "bgr" for networks that take blue first, as some of Keras do; `mean` and `std` are in this order.
        display_bands: Which bands of a multispectral image are displayed as red, green and blue, numbered from 1, each
            stretched from its 2nd to its 98th percentile; None for the first three bands as they are. The network input
            does not depend on it.
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] | None = 256
    fit: Fit = "crop"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    fill: float = 0.5
    crop_rounding: CropRounding = "nearest"
    channel_order: ChannelOrder = "rgb"
    display_bands: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        """Raise `ModelError` for invalid values."""
        sides: Any = self.size
        if not isinstance(sides, tuple) or len(sides) != 2 or not all(_is_count(side) for side in sides):
            raise ModelError(f"size must be (height, width) in pixels, integers of 1 or more, not {shown(sides)}.")
        if sides[0] * sides[1] > MAX_PIXELS:
            raise ModelError(f"an input of {sides[0]:,} × {sides[1]:,} pixels is too large: at most {MAX_PIXELS:,}.")
        resize: Any = self.resize
        is_pair = isinstance(resize, tuple) and len(resize) == 2 and all(_is_count(side) for side in resize)
        if resize is not None and not is_pair and not _is_count(resize):
            raise ModelError(f"resize must be an integer of 1 or more, or (height, width), not {shown(resize)}.")
        _check_choice("fit", self.fit, get_args(Fit))
        _check_choice("interpolation", self.interpolation, get_args(Interpolation))
        _check_choice("crop_rounding", self.crop_rounding, get_args(CropRounding))
        _check_choice("channel_order", self.channel_order, get_args(ChannelOrder))
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not isinstance(values, tuple) or not all(_is_number(value) for value in values):
                raise ModelError(f"{name} must have one finite number per channel, not {values!r}.")
        if not all(value > 0 for value in self.std):
            raise ModelError(f"std must be greater than 0 for every channel, not {self.std!r}.")
        if not _is_number(self.fill) or not 0 <= self.fill <= 1:
            raise ModelError(f"fill must be between 0 and 1, not {self.fill!r}.")
        bands: Any = self.display_bands
        if bands is not None:
            bands = tuple(bands) if isinstance(bands, list) else bands
            known = isinstance(bands, tuple) and all(_is_count(band) and band <= len(self.mean) for band in bands)
            if not known or len(bands) != 3:
                raise ModelError(
                    f"display_bands must be three bands from 1 to {len(self.mean)}, for red, green and blue, not "
                    f"{shown(bands)}."
                )
            object.__setattr__(self, "display_bands", bands)

    def __call__(self, image: Image.Image) -> tuple[Tensor, Geometry]:
        """Return the network input `(c, height, width)` of an RGB image, and its geometry relative to the image.

        Raises:
            ImageError: The network input has other channels than grey or RGB; `from_bands` takes arrays for it.
        """
        if not self.is_photographic:
            raise ImageError(
                f"the network input has {len(self.mean)} channels, so an RGB image does not fill it: pass an array "
                f"(height, width, {len(self.mean)}) with one band per channel."
            )
        resized, geometry = self.resize_and_place(image)
        mode = "L" if len(self.mean) == 1 else "RGB"
        array = np.array(resized if resized.mode == mode else resized.convert(mode), dtype=np.uint8)
        pixels = torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1).contiguous().float().div_(255)
        pixels = self.reorder_channels(pixels)
        mean, std = torch.tensor(self.mean)[:, None, None], torch.tensor(self.std)[:, None, None]
        return pixels.sub_(mean).div_(std).contiguous(), geometry

    def record(self) -> dict[str, Any]:
        """Return all fields with the types that JSON can represent."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def is_photographic(self) -> bool:
        """Whether the network input is grey or RGB, so that it is made of images; else it is made of arrays."""
        return len(self.mean) in (1, 3)

    def from_bands(self, bands: NDArray[np.float32]) -> tuple[Tensor, Geometry]:
        """Return the network input `(c, height, width)` of a multispectral image, and its geometry relative to it.

        Every band is resized as a photograph is, but in float32, without rounding to 8 bits.

        Args:
            bands: `(h, w, c)` in [0, 1], one band per channel of the network input.
        """
        placed = [
            self.resize_and_place(Image.fromarray(np.ascontiguousarray(band * 255)))
            for band in np.moveaxis(bands, 2, 0)
        ]
        pixels = torch.stack([torch.from_numpy(np.array(view)) for view, _ in placed]) / 255
        mean, std = torch.tensor(self.mean)[:, None, None], torch.tensor(self.std)[:, None, None]
        return ((pixels - mean) / std).contiguous(), placed[0][1]

    def resize_and_place(self, image: Image.Image) -> tuple[Image.Image, Geometry]:
        """Return the resized and cropped or padded image before normalisation, and its geometry on the original."""
        geometry = self.geometry(image.size)
        new_width, new_height = self._resized_size(image.size)
        if new_width * new_height > MAX_PIXELS:  # an image of 2 × 40,000 pixels would become 256 × 5,120,000
            raise ImageError(
                f"an image of {image.width} × {image.height} is too elongated: with its shorter side at "
                f"{min(new_width, new_height)} pixels it has {new_width * new_height / 1e6:,.0f} megapixels. Crop it."
            )
        resized = image.resize((new_width, new_height), getattr(Image.Resampling, self.interpolation.upper()))
        pad_level = round(255 * self.fill) if self.fit == "letterbox" else 0
        network_view = Image.new(
            image.mode, geometry.input, (pad_level, pad_level, pad_level) if image.mode == "RGB" else pad_level
        )
        network_view.paste(resized, (int(geometry.offset[0]), int(geometry.offset[1])))
        return network_view, geometry

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """Return the position of the network input on an image of a size (width, height), in pixels."""
        height, width = self.size
        new_width, new_height = self._resized_size(size)
        left, top = (
            _crop_margin(side, target, self.crop_rounding)
            for side, target in ((new_width, width), (new_height, height))
        )
        scale = new_width / size[0], new_height / size[1]
        return Geometry(size, (width, height), scale, (float(-left), float(-top)))

    def _resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) after resizing an image of `size`, which is also (width, height)."""
        (width, height), (h, w) = size, self.size
        if self.fit == "squash":
            return w, h
        if self.fit == "letterbox":
            scale = min(w / width, h / height)
            return max(1, round(width * scale)), max(1, round(height * scale))
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        short = self.resize or min(h, w)
        if width <= height:  # torchvision rounds the longer side down
            return short, max(int(short * height / width), 1)
        return max(int(short * width / height), 1), short

    def denormalise(self, inputs: Tensor) -> Tensor:
        """Return network inputs `(b, c, h, w)` scaled back to [0, 1], to display them as images."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return self.reorder_channels((inputs.cpu().float() * std[:, None, None] + mean[:, None, None]).clamp(0, 1))

    def reorder_channels(self, pixels: Tensor) -> Tensor:
        """Return RGB `(..., 3, h, w)` in the channel order of the network, or the reverse, which is the same."""
        return pixels.flip(-3) if self.channel_order == "bgr" and len(self.mean) == 3 else pixels


def _crop_margin(size: int, target_size: int, rounding: CropRounding) -> int:
    """Return the margin cropped before the centre, negative for padding; "nearest" rounds as torchvision does."""
    if rounding == "down" and size >= target_size:
        return (size - target_size) // 2
    return round((size - target_size) / 2.0) if size >= target_size else -((target_size - size) // 2)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ModelError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {value!r}.")


def check_recorded_size(preprocess: Preprocessing) -> Preprocessing:
    """Return preprocessing read from a file, after checking that it does not request more memory than a file may."""
    resize = preprocess.resize if isinstance(preprocess.resize, tuple) else (preprocess.resize or 0,)
    largest = max(*preprocess.size, *resize)
    if largest > MAX_RECORDED_SIDE:
        raise ModelError(
            f"a side of {largest:,} pixels exceeds the limit for values from files ({MAX_RECORDED_SIDE:,}). If it is "
            "intended, pass size=… in Python."
        )
    return preprocess


PARAMETERS = tuple(field.name for field in fields(Preprocessing))
"""What `make_preprocessing` can replace, by name."""


def make_preprocessing(
    preprocess: Any = None,
    *,
    size: int | tuple[int, int] | None = None,
    resize: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **rest: Any,
) -> Preprocessing:
    """Return the preprocessing for a `Preprocessing`, torchvision or timm transforms, or plain numbers.

    Args:
        preprocess: `weights.transforms()`, `Compose([Resize, CenterCrop, ToTensor, Normalize])`, a `Preprocessing`, or
            None.
        size: `(height, width)` of the network input, or one number for a square. The `resize` of `preprocess` is scaled
            with it, so that the network sees the same part of the image: 256 to 224 becomes 512 to 448.
        resize: The length that the shorter side is resized to before the crop, or `(height, width)` to resize to
            without keeping the aspect ratio.
        mean: Mean of each channel in [0, 1]; any number of channels, see `Preprocessing`.
        std: Standard deviation of each channel in [0, 1].
        **rest: Further fields of `Preprocessing`: fit, interpolation, fill and crop_rounding.

    Raises:
        ModelError: If a value is invalid, or the transforms contain steps through which maps cannot be projected back.
    """
    if isinstance(preprocess, Preprocessing):
        base = preprocess
    else:
        base = Preprocessing() if preprocess is None else Preprocessing(**preprocessing_fields(preprocess))
    if preprocess is None and size is not None:
        base = replace(base, resize=None)  # 256 belongs to 224 only
    unknown = [name for name in rest if name not in PARAMETERS]
    if unknown:
        raise ModelError(
            f"no parameter {unknown[0]!r}.{nearest(unknown[0], PARAMETERS)} The preprocessing has "
            f"{', '.join(PARAMETERS)}; names of classes are given with labels=, target layers with layer=."
        )
    changes: dict[str, Any] = dict(rest)
    if size is not None:
        changes["size"] = (size, size) if _is_count(size) else _as_tuple(size)
    if resize is not None:
        changes["resize"] = _as_tuple(resize)
    for name, values in (("mean", mean), ("std", std)):
        if values is not None:
            changes[name] = tuple(float(v) if _is_number(v) else v for v in _listed(name, values))
    result = replace(base, **changes)
    if len(result.mean) != len(result.std) or not result.mean:
        raise ModelError(
            "mean and std need one number per channel of the network input each, but have "
            f"{len(result.mean)} and {len(result.std)}."
        )
    return result if resize is not None or size is None else _with_scaled_resize(result, base)


def _with_scaled_resize(preprocess: Preprocessing, base: Preprocessing) -> Preprocessing:
    """Return preprocessing whose resized image is larger than its input by the same factor as that of `base`."""
    if isinstance(base.resize, tuple):
        (height, width), (base_height, base_width) = preprocess.size, base.size
        sides = (round(base.resize[0] * height / base_height), round(base.resize[1] * width / base_width))
        return replace(preprocess, resize=sides)
    if base.resize is None:
        return preprocess
    return replace(preprocess, resize=round(base.resize * min(preprocess.size) / min(base.size)))


def _as_tuple(value: Any) -> Any:
    """Return a list or array of sides as a tuple of integers; other values, which are rejected later, as they are."""
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) != 1:
        return value
    return tuple(map(_as_integer, value))


def _as_integer(side: Any) -> Any:
    """Return an integer of Python, NumPy or PyTorch as an `int`; other values, and booleans, as they are."""
    try:
        return side if isinstance(side, bool) else operator.index(side)
    except TypeError:
        return side


def _listed(name: str, values: Any) -> list[Any]:
    """Return the numbers of a sequence, array or tensor. Raises `ModelError` for other values."""
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__") or getattr(values, "ndim", 1) != 1:
        raise ModelError(f"{name} must be a list with one number per channel, not {shown(values)}.")
    return list(values.tolist() if hasattr(values, "tolist") else values)
