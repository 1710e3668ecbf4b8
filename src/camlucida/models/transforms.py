"""Reading the transforms of torchvision and timm as the fields of a `Preprocessing`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from camlucida.errors import ModelError

SCALING_STEPS = ("ToTensor", "MaybeToTensor", "ConvertImageDtype")
"""Steps that scale pixel values to [0, 1]."""
IGNORED_STEPS = ("PILToTensor", "MaybePILToTensor", "ToImage", "ToPureTensor", "ToRGB", "RGB", "Identity")
"""Steps that change neither the geometry nor the values."""


def preprocessing_fields(transforms: Any) -> dict[str, Any]:
    """Return the fields of `Preprocessing` for torchvision's presets and for a `Compose` of the usual steps.

    Presets and steps are recognised by their attributes and by the names of their classes, so that torchvision, both
    versions of its transforms, timm and open_clip are read without importing any of them.

    Args:
        transforms: `weights.transforms()` of torchvision, or
            `Compose([Resize(256), CenterCrop(224), ToTensor(), Normalize(mean, std)])`, also nested.

    Raises:
        ModelError: The transforms contain steps through which maps cannot be projected back onto the image.
    """
    if hasattr(transforms, "crop_size") and hasattr(transforms, "resize_size"):
        crop, resize = _pair(transforms.crop_size), _pair(transforms.resize_size)
        return {
            "size": crop,
            "resize": min(resize),
            "mean": tuple(transforms.mean),
            "std": tuple(transforms.std),
            "interpolation": _interpolation(transforms.interpolation),
        }
    steps = getattr(transforms, "transforms", None)
    if steps is None:
        raise ModelError(
            f"the effect of {type(transforms).__name__} on an image is unknown, so maps cannot be aligned with it. "
            "Pass weights.transforms(), a Compose of Resize, CenterCrop, ToTensor and Normalize, "
            "or size=, mean= and std=."
        )
    return _from_steps(list(_expanded(steps)))


def _expanded(steps: Any) -> Iterator[Any]:
    """Yield the steps, with nested `Compose` steps expanded."""
    for step in steps:
        if type(step).__name__ == "Compose":
            yield from _expanded(step.transforms)
        else:
            yield step


def _from_steps(steps: list[Any]) -> dict[str, Any]:
    names = [type(step).__name__ for step in steps]
    unknown = [
        n for n in names if n not in ("Resize", "CenterCrop", "Normalize", "ToDtype", *SCALING_STEPS, *IGNORED_STEPS)
    ]
    if unknown:
        raise ModelError(
            f"maps cannot be aligned with the image through the transform {unknown[0]}. "
            "For explanations, use Resize, CenterCrop, ToTensor and Normalize, or size=, mean= and std=."
        )
    resizes, crops = ([s for s, n in zip(steps, names, strict=True) if n == k] for k in ("Resize", "CenterCrop"))
    if len(resizes) > 1 or len(crops) > 1:
        raise ModelError("maps can be aligned with the image for one Resize and one CenterCrop, not for several.")
    if crops and (not resizes or names.index("CenterCrop") < names.index("Resize")):
        raise ModelError(
            f"CenterCrop without a Resize before it has a different scale for each image. Put Resize({crops[0].size}) "
            "before it, or pass the input size with size=."
        )
    if not resizes:
        raise ModelError("these transforms have no Resize. Pass the input size with size=.")
    unscaled = "ToImage" in names or "PILToTensor" in names
    scaled = any(n in SCALING_STEPS or (n == "ToDtype" and s.scale) for s, n in zip(steps, names, strict=True))
    if unscaled and not scaled:
        raise ModelError("these transforms leave the pixels in 0 to 255. Use ToDtype(torch.float32, scale=True).")
    normalise = [s for s, n in zip(steps, names, strict=True) if n == "Normalize"]
    return _from_resize_and_crop(resizes[0], crops[0] if crops else None) | {
        "mean": _floats(normalise[0].mean) if normalise else (0.0,) * 3,
        "std": _floats(normalise[0].std) if normalise else (1.0,) * 3,
        "interpolation": _interpolation(resizes[0].interpolation),
    }


def _from_resize_and_crop(resize: Any, crop: Any) -> dict[str, Any]:
    if getattr(resize, "max_size", None) is not None:
        raise ModelError("Resize with max_size gives inputs of varying shape. Pass the input size with size=.")
    size, crop_size = _pair(resize.size), None if crop is None else _pair(crop.size)
    if isinstance(resize.size, list | tuple) and len(resize.size) == 2:
        if crop_size is not None and crop_size != size:
            return {"size": crop_size, "resize": size, "fit": "crop"}
        return {"size": size, "resize": None, "fit": "squash"}
    if crop_size is None:
        raise ModelError(
            f"Resize({size[0]}) keeps the aspect ratio, so the input has no fixed size: "
            f"add CenterCrop({size[0]}), or write Resize(({size[0]}, {size[0]}))."
        )
    return {"size": crop_size, "resize": size[0], "fit": "crop"}


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    numbers = [int(s) for s in size]
    return (numbers[0], numbers[-1])


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _interpolation(mode: Any) -> str:
    """Return the name of an interpolation mode, which `Preprocessing` checks."""
    return str(getattr(mode, "value", mode)).lower()
