"""Preprocessing of an image processor of transformers, measured on images.

There are dozens of image processors, each with fields and code of its own. So the values are measured on uniform
images, and the geometry is the candidate that gives the same network input as the processor on structured images.
A processor that none reproduces is refused, since maps could not be aligned with the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camlucida.errors import ModelError
from camlucida.models.preprocessing import MAX_RECORDED_SIDE, Interpolation, Preprocessing

TOLERANCE_LEVELS = 3.0
"""Largest difference in grey levels (of 255) between a processor and a candidate: both round to 8 bits, and sum the
weights of the antialiased resize in another order."""

ASPECTS = ((1.83, 1.31), (1.17, 1.69))
"""(width, height) of the structured images as multiples of the input's longer side, both landscape and portrait."""

INTERPOLATIONS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}
"""Interpolation of each code of Pillow."""

WRAP_ADVICE = "Load the network in Python, and pass wrap(network, size=…, mean=…, std=…, labels=…)."


@dataclass(frozen=True)
class MeasuredPreprocessing:
    """What an image processor does.

    Attributes:
        preprocessing: The preprocessing that gives the same network input.
        difference_levels: Largest difference of the two network inputs in grey levels (of 255).
    """

    preprocessing: Preprocessing
    difference_levels: float


def measure_preprocessing(processor: Any, name: str) -> MeasuredPreprocessing:
    """Return the preprocessing that gives the same network input as an image processor.

    Args:
        processor: An image processor of transformers.
        name: The specification of the model, for messages.

    Raises:
        ModelError: If the processor does something that `Preprocessing` cannot represent.
    """
    check_sides(processor, name)
    base = measured_values(processor, name)
    images = [structured_image(round(max(base.size) * w), round(max(base.size) * h)) for w, h in ASPECTS]
    wanted = [pixel_values(processor, image, name) for image in images]
    if any(tensor.shape[-2:] != torch.Size(base.size) for tensor in wanted):
        shapes = " and ".join("×".join(map(str, tensor.shape[-2:])) for tensor in wanted)
        raise ModelError(
            f"{name}: its image processor ({described(processor)}) gives inputs of varying size ({shapes} pixels for "
            f"two images), but a map needs one size. {WRAP_ADVICE}"
        )
    best: MeasuredPreprocessing | None = None
    for candidate in _candidates(base, processor):
        levels = max(difference_levels(candidate, image, tensor) for image, tensor in zip(images, wanted, strict=True))
        if best is None or levels < best.difference_levels:
            best = MeasuredPreprocessing(candidate, levels)
        if levels <= TOLERANCE_LEVELS:
            return MeasuredPreprocessing(candidate, levels)
    assert best is not None
    raise ModelError(
        f"{name}: its image processor ({described(processor)}) prepares images in a way that was not reproduced: the "
        f"closest attempt differs by up to {best.difference_levels:.0f} of 255 grey levels. {WRAP_ADVICE}"
    )


def check_sides(processor: Any, name: str) -> None:
    """Refuse sizes that would take more memory than a file may request, before anything is processed."""
    keys = ("height", "width", "shortest_edge", "longest_edge", "max_height", "max_width")
    sizes = [getattr(processor, field, None) for field in ("size", "crop_size", "pad_size")]
    largest = max((side for size in sizes for key in keys if (side := side_px(size, key))), default=0)
    if largest > MAX_RECORDED_SIDE:
        raise ModelError(
            f"{name}: a side of {largest:,} pixels in its image processor exceeds the limit for values from files "
            f"({MAX_RECORDED_SIDE:,}). {WRAP_ADVICE}"
        )


def structured_image(width: int, height: int) -> Image.Image:
    """Return an RGB image of uniform blocks with random colours on a gradient, always the same for a size.

    Its values keep a distance from 0 and 255, where bicubic resizing would clip, and implementations differ by when.
    """
    random = np.random.default_rng(0)
    blocks = random.integers(64, 160, (max(2, height // 9), max(2, width // 9), 3), dtype=np.uint8)
    array = np.asarray(Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST), dtype=np.float64)
    y, x = np.mgrid[0:height, 0:width]
    gradient = 32 * np.stack([x / width, y / height, 1 - x / width], axis=2)
    return Image.fromarray((array + gradient).astype(np.uint8))


def measured_values(processor: Any, name: str) -> Preprocessing:
    """Return the input size, mean, standard deviation and channel order."""
    colours = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0))
    inputs = (pixel_values(processor, Image.new("RGB", (96, 96), colour), name) for colour in colours)
    centres = [(tensor.shape, tensor[:, tensor.shape[1] // 2, tensor.shape[2] // 2].double()) for tensor in inputs]
    n_channels, height, width = centres[0][0]
    black, white, grey, red = (centre for _, centre in centres)
    spread = white - black
    is_linear = bool(torch.allclose(black + spread * 128 / 255, grey, atol=1e-3, rtol=1e-3))
    if n_channels != 3 or not is_linear or not bool((spread > 0).all()):
        raise ModelError(
            f"{name}: its image processor ({described(processor)}) does not scale and normalise RGB values linearly. "
            f"{WRAP_ADVICE}"
        )
    is_red = ((red - black) / spread).round().tolist()
    if is_red not in ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]):
        raise ModelError(f"{name}: its image processor ({described(processor)}) mixes the channels. {WRAP_ADVICE}")
    mean = _as_configured(processor, "image_mean", (-black / spread).tolist())
    std = _as_configured(processor, "image_std", (1 / spread).tolist())
    code = getattr(processor, "resample", None)
    interpolation = INTERPOLATIONS.get(int(code), "bilinear") if isinstance(code, int) else "bilinear"
    return Preprocessing(
        (height, width),
        None,
        "crop",
        tuple(mean),
        tuple(std),
        interpolation,
        channel_order="rgb" if is_red[0] else "bgr",
    )


def _as_configured(processor: Any, field: str, measured: list[float]) -> list[float]:
    """Return the numbers of a field where they are what was measured up to rounding in float32."""
    values = getattr(processor, field, None)
    try:
        numbers = [float(value) for value in values]  # type: ignore[union-attr]
    except TypeError:
        return _rounded(measured)
    if len(numbers) == len(measured) and np.allclose(numbers, measured, atol=1e-5, rtol=1e-5):
        return numbers
    return _rounded(measured)


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 6) + 0.0 for value in values]  # no negative zero


def pixel_values(processor: Any, image: Image.Image, name: str) -> Tensor:
    """Return the network input `(c, h, w)` that the processor makes of an image."""
    try:
        batch = processor(images=[image], return_tensors="pt")
    except Exception as error:  # processors raise errors of any type
        raise ModelError(
            f"{name}: its image processor ({described(processor)}) cannot process an RGB image: "
            f"{' '.join(str(error).split())[:200]}. {WRAP_ADVICE}"
        ) from None
    pixels = batch.get("pixel_values")
    if not isinstance(pixels, Tensor) or pixels.ndim != 4 or len(pixels) != 1:
        shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
        raise ModelError(
            f"{name}: its image processor ({described(processor)}) does not make one input (channels, height, width) "
            f"of an image, but {shape}: patches, crops or a video cannot be aligned with a map. {WRAP_ADVICE}"
        )
    return pixels[0].float()


def _candidates(base: Preprocessing, processor: Any) -> Iterator[Preprocessing]:
    """Yield what the processor may do, from its fields."""
    size = getattr(processor, "size", None)
    height, width, shortest = (side_px(size, key) for key in ("height", "width", "shortest_edge"))
    fraction = getattr(processor, "crop_pct", None)
    crop = replace(base, crop_rounding="down")
    if height and width and (height, width) != base.size:
        yield replace(crop, resize=(height, width))
    yield replace(base, fit="squash")
    edges: list[int] = []
    if shortest:
        edges = [shortest, int(shortest * 256 / 224)]  # the second is LeViT's
        if isinstance(fraction, float) and 0 < fraction <= 1:  # ConvNeXt's
            edges.insert(0, int(shortest / fraction))
    for edge in dict.fromkeys((*edges, min(base.size))):
        yield replace(crop, resize=edge)


def side_px(size: Any, key: str) -> int | None:
    value = size.get(key) if isinstance(size, dict) else getattr(size, key, None)
    return int(value) if isinstance(value, int) and value > 0 else None


def difference_levels(candidate: Preprocessing, image: Image.Image, wanted: Tensor) -> float:
    std = torch.tensor(candidate.std)[:, None, None]
    return float(((candidate(image)[0] - wanted) * std).abs().max() * 255)


def described(processor: Any) -> str:
    """Return the class of a processor and its fields that concern the size."""
    fields = ("size", "crop_size", "crop_pct", "do_resize", "do_center_crop", "do_pad", "resample")
    values = {field: getattr(processor, field, None) for field in fields}
    listed = ", ".join(f"{field}={_plain(value)}" for field, value in values.items() if value is not None)
    return f"{type(processor).__name__}: {listed}"


def _plain(value: Any) -> str:
    """Return a field as text; sizes without their unset parts."""
    items = value if isinstance(value, dict) else getattr(value, "__dict__", None)
    if isinstance(items, dict) and items and not isinstance(value, int):
        return "{" + ", ".join(f"{key}: {side}" for key, side in items.items() if side is not None) + "}"
    return str(value)[:60]


def default_processor(transformers: Any, config: Any) -> Any:
    """Return the default image processor of a type of network, for the image size of the configuration."""
    try:
        found = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING[type(config)]
    except KeyError:
        return None
    if isinstance(found, dict):  # by backend
        found = (found.get("torchvision"), *found.values())
    processor_class = next((cls for cls in (found if isinstance(found, tuple) else (found,)) if cls is not None), None)
    if processor_class is None:
        return None
    side = getattr(config, "image_size", None)
    if not isinstance(side, int):
        return processor_class()
    default = processor_class()
    is_square = getattr(default, "size", None) and "shortest_edge" not in _set_keys(default.size)
    options: dict[str, Any] = {"size": {"height": side, "width": side} if is_square else {"shortest_edge": side}}
    if getattr(default, "do_center_crop", False):
        options["crop_size"] = {"height": side, "width": side}
    return processor_class(**options)


def _set_keys(size: Any) -> set[str]:
    items = size if isinstance(size, dict) else vars(size)
    return {key for key, value in items.items() if value is not None}
