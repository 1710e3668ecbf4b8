"""Options that several commands share, with their help texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from camlucida.errors import DataError, ModelError
from camlucida.tasks import Task

Images: TypeAlias = Annotated[list[str], Parameter(help="Image files, or folders of images.", negative=())]
"""The argument of every command over images."""

Names: TypeAlias = Annotated[list[str] | None, Parameter(negative=())]
"""An option that can be repeated."""

Output: TypeAlias = Annotated[Path, Parameter(name=["--output", "-o"])]

Boxes: TypeAlias = Annotated[
    Path | None,
    Parameter(
        help="For a folder of images: a CSV file with the columns file, x0, y0, x1, y1 (in pixels) and, optionally, "
        "label; one line per bounding box."
    ),
]
"""The option --boxes of every command over a data set."""

Arch: TypeAlias = Annotated[
    str | None,
    Parameter(help="The architecture of a checkpoint that does not record it: resnet18, timm:…, python:…."),
]
"""The option --arch of every command that opens a checkpoint."""

Labels: TypeAlias = Annotated[
    Path | None,
    Parameter(help="A text file with one class name per line, in the order of the outputs; replaces the model's own."),
]
"""The option --labels of every command that prints class names."""

Size: TypeAlias = Annotated[
    str | None,
    Parameter(
        help="The network input in pixels: 448 for a square, or 224x1024 for a height of 224 and a width of 1024. If "
        "not given: that of the model.",
    ),
]
"""The option --size of every command that opens a model; see `input_size`."""

Fit: TypeAlias = Annotated[
    Literal["crop", "squash", "letterbox"] | None,
    Parameter(
        help="How an image is fitted to the network input: crop resizes the shorter side and crops the centre; squash "
        "resizes both sides and changes the aspect ratio; letterbox shows the whole image between grey bars. If not "
        "given: as the model was trained.",
    ),
]
"""The option --fit of every command that opens a model."""

TrustCode: TypeAlias = Annotated[
    bool,
    Parameter(
        negative=(),
        help="Also load a training run or report that names python:…, a path, or a model of the Hugging Face hub: it "
        "runs code or downloads weights that the author of the file chose.",
    ),
]
"""The option --trust-code of every command that opens a model."""

TaskOption: TypeAlias = Annotated[
    Task | None,
    Parameter(
        help="How class scores become probabilities: a softmax (multiclass), a sigmoid per class (multilabel, binary), "
        "or not at all (regression). Recognised if not given; `camlucida layers` says what was recognised.",
    ),
]
"""The option --task of every command that loads a model."""

Probabilities: TypeAlias = Annotated[
    bool | None,
    Parameter(
        help="The network's output holds probabilities; with --no-probabilities it is taken as scores, even after a "
        "softmax or sigmoid. Recognised if not given.",
    ),
]
"""The option --probabilities of every command that loads a model."""
Device: TypeAlias = Annotated[
    str, Parameter(help="Where the network runs: cpu, cuda, cuda:1, mps, or auto for the GPU if there is one.")
]
"""The option --device of every command that runs a network."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OverlayOptions:
    """How a map is drawn over the image.

    Parameters
    ----------
    opacity
        The opacity of the map over the image, in [0, 1] (image_weight in pytorch-grad-cam is 1 - opacity).
    colormap
        The colour map: jet, turbo, viridis, magma; if not given, one that is safe for colour-blind readers.
    blend
        uniform: the opacity is the same at every pixel, as in the papers; saliency: it grows with the map value, so
        that low values leave the image visible.
    """

    opacity: float = 0.5
    colormap: str | None = None
    blend: str = "saliency"

    def style(self) -> dict[str, Any]:
        """Validate the options before anything is computed, and return them as arguments of `save`.

        Raises:
            DataError: If an option is invalid.
        """
        from camlucida.render.colours import check_colormap

        check_opacity(self.opacity)
        if self.blend not in ("saliency", "uniform"):
            raise DataError(f"--blend {self.blend}: expected saliency or uniform.")
        colormap = {"colormap": check_colormap(self.colormap)} if self.colormap else {}
        return {"opacity": self.opacity, "blend": self.blend, **colormap}


def preprocessing_options(size: str | None, fit: str | None) -> dict[str, Any]:
    """Return the parameters of `load` for the options --size and --fit, without those that are not given."""
    given = {"size": None if size is None else input_size(size), "fit": fit}
    return {name: value for name, value in given.items() if value is not None}


def input_size(text: str) -> int | tuple[int, int]:
    """Return the network input that --size names: a side, or (height, width).

    Raises:
        ModelError: The text is neither a number of pixels nor two of them.
    """
    match = re.fullmatch(r"([0-9]{1,6})(?:\s*[x×X,]\s*([0-9]{1,6}))?", text.strip())
    if match is None or 0 in (sides := [int(side) for side in match.groups() if side is not None]):
        raise ModelError(f"--size {text}: must be a number of pixels, 448, or HEIGHTxWIDTH, 224x1024.")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def check_opacity(opacity: float) -> None:
    """Raise a `DataError` if an opacity does not lie in [0, 1]."""
    if not 0 <= opacity <= 1:
        raise DataError(f"--opacity {opacity:g} is not between 0 and 1.")


def split_list(values: Sequence[str] | None) -> list[str] | None:
    """Split values at commas, except inside the brackets of a glob or a combinator."""
    if values is None:
        return None
    parts: list[str] = []
    for value in values:
        depth, start = 0, 0
        for position, character in enumerate(f"{value},"):
            depth += (character in "([") - (character in ")]")
            if character == "," and (depth <= 0 or position == len(value)):
                parts.append(value[start:position].strip())
                start = position + 1
    return [part for part in parts if part]
