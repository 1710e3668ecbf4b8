"""Preprocessing of detectors that keep the aspect ratio of an image: the network input has a size of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from typing import Any

from camlucida.errors import ModelError
from camlucida.models.hugging_face_preprocessing import (
    TOLERANCE_LEVELS,
    WRAP_ADVICE,
    MeasuredPreprocessing,
    check_sides,
    described,
    difference_levels,
    measure_preprocessing,
    measured_values,
    pixel_values,
    side_px,
    structured_image,
)
from camlucida.models.preprocessing import Preprocessing, check_recorded_size
from camlucida.types import Geometry

SIZES_PX = ((97, 61), (61, 83), (150, 40))
"""(width, height) of the images on which a processor is measured; the last exceeds the limit of the longer side."""

MULTIPLES_PX = (1, 16, 32)
"""Multiples that processors round the sides down to: YOLOS rounds to its patches."""


@dataclass(frozen=True)
class AspectRatioPreprocessing(Preprocessing):
    """Resize the shorter side of an image to `resize` pixels, without a crop or padding.

    The network input of every image has its own size, as in DETR. With `fit="squash"` or `"letterbox"`, all have the
    size `size`, as in `Preprocessing`.

    Attributes:
        elongation: Longest side as a multiple of `resize`; a longer image is made smaller. 1333 / 800 in DETR.
        multiple_px: Both sides are rounded down to a multiple of this number of pixels.
    """

    elongation: float = 1333 / 800
    multiple_px: int = 1

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """Return the position of the network input on an image of a size (width, height), in pixels."""
        if not self._keeps_whole_image:
            return super().geometry(size)
        new = self._resized_size(size)
        return Geometry(size, new, (new[0] / size[0], new[1] / size[1]), (0.0, 0.0))

    @property
    def _keeps_whole_image(self) -> bool:
        return self.fit == "crop" and not isinstance(self.resize, tuple)

    def _resized_size(self, size: tuple[int, int]) -> tuple[int, int]:
        if not self._keeps_whole_image:
            return super()._resized_size(size)
        short, long = min(size), max(size)
        target = float(self.resize if isinstance(self.resize, int) else min(self.size))
        limit = round(target * self.elongation)
        if long / short * target > limit:
            target = limit * short / long
        sides = round(target), int(target * long / short)  # transformers rounds the longer side down
        width, height = sides if size[0] <= size[1] else sides[::-1]
        step = self.multiple_px
        return max(step, width - width % step), max(step, height - height % step)


def measure_detector_preprocessing(processor: Any, name: str) -> MeasuredPreprocessing:
    """Return the preprocessing that gives the same network input as the image processor of a detector.

    An image is never padded here, since it is not part of a batch, so its pixel mask is 1 everywhere.

    Args:
        processor: An image processor of transformers. It is not modified.
        name: The specification of the model, for messages.

    Raises:
        ModelError: If the processor does something that `Preprocessing` cannot represent.
    """
    size = getattr(processor, "size", None)
    shortest, longest = side_px(size, "shortest_edge"), side_px(size, "longest_edge")
    unpadded = copy.copy(processor)
    if getattr(unpadded, "do_pad", False):
        unpadded.do_pad = False
    if not shortest or not longest:
        return measure_preprocessing(unpadded, name)
    check_sides(processor, name)
    base = measured_values(unpadded, name)
    values = {field.name: getattr(base, field.name) for field in fields(base)}
    values |= {"size": (shortest, shortest), "resize": shortest, "elongation": longest / shortest}
    images = [structured_image(*side) for side in SIZES_PX]
    wanted = [pixel_values(unpadded, image, name) for image in images]
    for multiple in MULTIPLES_PX:
        candidate = AspectRatioPreprocessing(**values, multiple_px=multiple)
        check_recorded_size(candidate)
        made = [candidate.geometry(image.size).input[::-1] for image in images]
        if all(tuple(tensor.shape[-2:]) == sides for tensor, sides in zip(wanted, made, strict=True)):
            levels = max(difference_levels(candidate, *pair) for pair in zip(images, wanted, strict=True))
            if levels <= TOLERANCE_LEVELS:
                return MeasuredPreprocessing(candidate, levels)
    raise ModelError(
        f"{name}: its image processor ({described(processor)}) prepares images in a way that was not "
        f"reproduced. {WRAP_ADVICE}"
    )
