"""Options that several commands share, with their help texts."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Group, Parameter

from camlucida.cli.terminal import Mode, Terminal
from camlucida.errors import DataError, ModelError
from camlucida.option_types import ModelTask

MODEL = Group("Model", sort_key=1)
DATA = Group("Data", sort_key=2)
EXPLANATION = Group("Explanation", sort_key=3)
TESTS = Group("Tests", sort_key=4)
TRAINING = Group("Training", sort_key=5)
DRAWING = Group("Drawing", sort_key=6)
COMPUTATION = Group("Computation", sort_key=7)
SERVER = Group("Server", sort_key=8)
OUTPUT = Group("Output", sort_key=9)
"""Groups of options in every --help, in this order."""

Images: TypeAlias = Annotated[
    list[str],
    Parameter(
        help="Image files, folders of images, globs such as 'photos/**/*.jpg', or - for a list of paths on standard "
        "input, one per line.",
        negative=(),
    ),
]
"""The argument of every command over images."""

Names: TypeAlias = Annotated[list[str] | None, Parameter(negative=(), group=EXPLANATION)]
"""An option of explanations that can be repeated."""

Layer: TypeAlias = Annotated[str | None, Parameter(group=EXPLANATION)]
"""The option --layer of commands that explain one layer."""

MethodName: TypeAlias = Annotated[str, Parameter(group=EXPLANATION)]
"""The option --method of commands that use one method."""

OptionalMethodName: TypeAlias = Annotated[str | None, Parameter(group=EXPLANATION)]
"""The option --method of commands whose default method depends on the model."""

Target: TypeAlias = Annotated[str | None, Parameter(group=EXPLANATION)]
"""The option --target of commands that explain one class."""

Output: TypeAlias = Annotated[Path, Parameter(name=["--output", "-o"], group=OUTPUT)]

Overwrite: TypeAlias = Annotated[
    bool,
    Parameter(
        negative=(),
        group=OUTPUT,
        help="Replace existing files. Without it, a file whose name is taken gets a number: photo-2.png.",
    ),
]
"""The option --overwrite of every command that writes single files."""

Seed: TypeAlias = Annotated[int, Parameter(group=COMPUTATION)]
"""The option --seed of every command that draws random numbers."""

Limit: TypeAlias = Annotated[int | None, Parameter(group=DATA)]
"""The option --limit of every command over a data set."""

Split: TypeAlias = Annotated[str | None, Parameter(group=DATA)]
"""The option --split of commands over a data set."""

Top: TypeAlias = Annotated[int, Parameter(name=["--top", "-n"], group=DRAWING)]
"""The option --top of commands that draw a sheet."""

Boxes: TypeAlias = Annotated[
    Path | None,
    Parameter(
        group=DATA,
        help="For a folder of images: a CSV file with the columns file, x0, y0, x1, y1 (in pixels) and, optionally, "
        "label; one line per bounding box.",
    ),
]
"""The option --boxes of every command over a data set."""

Arch: TypeAlias = Annotated[
    str | None,
    Parameter(
        group=MODEL, help="The architecture of a checkpoint that does not record it: resnet18, timm:…, python:…."
    ),
]
"""The option --arch of every command that opens a checkpoint."""

Labels: TypeAlias = Annotated[
    Path | None,
    Parameter(
        group=MODEL,
        help="A text file with one class name per line, in the order of the outputs; replaces the model's own.",
    ),
]
"""The option --labels of every command that prints class names."""

Size: TypeAlias = Annotated[
    str | None,
    Parameter(
        group=MODEL,
        help="The network input in pixels: 448 for a square, or 224x1024 for a height of 224 and a width of 1024. If "
        "not given: that of the model.",
    ),
]
"""The option --size of every command that opens a model; see `input_size`."""

Mean: TypeAlias = Annotated[
    str | None,
    Parameter(
        group=MODEL,
        help="The mean of each channel that is subtracted from pixels in [0, 1], as in 0.5,0.5,0.5. If not given: that "
        "of the model, or ImageNet's where a file does not say (ONNX, TorchScript, torch.export).",
    ),
]
"""The option --mean of commands that open a model; see `channel_numbers`."""

Std: TypeAlias = Annotated[
    str | None,
    Parameter(
        group=MODEL,
        help="The standard deviation of each channel by which the difference is divided, as in 0.25,0.25,0.25. If not "
        "given: as for --mean.",
    ),
]
"""The option --std of commands that open a model; see `channel_numbers`."""

Fit: TypeAlias = Annotated[
    Literal["crop", "squash", "letterbox"] | None,
    Parameter(
        group=MODEL,
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
        group=MODEL,
        help="Also load a training run or report that names python:…, a path, or a model of the Hugging Face hub: it "
        "runs code or downloads weights that the author of the file chose.",
    ),
]
"""The option --trust-code of every command that opens a model."""

TaskOption: TypeAlias = Annotated[
    ModelTask | None,
    Parameter(
        group=MODEL,
        help="How class scores become probabilities: a softmax (multiclass), a sigmoid per class (multilabel, binary), "
        "or not at all (regression); or segmentation, for class scores per pixel (multilabel-segmentation if the "
        "classes of a pixel do not exclude each other). Recognised if not given; `camlucida layers` says what was "
        "recognised.",
    ),
]
"""The option --task of every command that loads a model."""

Probabilities: TypeAlias = Annotated[
    bool | None,
    Parameter(
        group=MODEL,
        help="The network's output holds probabilities; with --no-probabilities it is taken as scores, even after a "
        "softmax or sigmoid. Recognised if not given.",
    ),
]
"""The option --probabilities of every command that loads a model."""

Prompts: TypeAlias = Annotated[
    str | None,
    Parameter(
        group=MODEL,
        help="For image-text models (openclip:…, hf:… of CLIP and SigLIP): texts that become the classes, separated by "
        "commas, or a text file with one per line.",
    ),
]
"""The option --prompts of every command that loads a model."""

Template: TypeAlias = Annotated[
    str | None,
    Parameter(group=MODEL, help='What each prompt is put into: "a photo of {}". Default: the prompt itself.'),
]
"""The option --template of every command that loads a model."""
Device: TypeAlias = Annotated[
    str,
    Parameter(group=MODEL, help="Where the network runs: cpu, cuda, cuda:1, mps, or auto for the GPU if there is one."),
]
"""The option --device of every command that runs a network."""


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, kw_only=True)
class TerminalOptions:
    """What a command prints.

    Parameters
    ----------
    json
        Print the results as one JSON document instead of text; errors still go to standard error.
    quiet
        Print only errors, and inputs that failed, to standard error.
    """

    json: Annotated[bool, Parameter(negative=())] = False
    quiet: Annotated[bool, Parameter(negative=())] = False

    def open(self, command: str, **kwargs: Any) -> Terminal:
        """Return the terminal of a command.

        Args:
            command: The name of the command, for the JSON document.
            **kwargs: Parameters of `rich.console.Console`.
        """
        mode: Mode = "json" if self.json else "quiet" if self.quiet else "text"
        return Terminal(mode=mode, command=command, **kwargs)


@Parameter(name="*", group=DRAWING)
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


def preprocessing_options(
    size: str | None, fit: str | None, mean: str | None = None, std: str | None = None
) -> dict[str, Any]:
    """Return the parameters of `load` for --size, --fit, --mean and --std, without those that are not given."""
    given = {
        "size": None if size is None else input_size(size),
        "fit": fit,
        "mean": None if mean is None else channel_numbers("--mean", mean),
        "std": None if std is None else channel_numbers("--std", std),
    }
    return {name: value for name, value in given.items() if value is not None}


def channel_numbers(option: str, text: str) -> tuple[float, ...]:
    """Return the numbers, one per channel, that --mean or --std names.

    Raises:
        ModelError: The text is not a list of numbers.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ModelError(
            f"{option} {text}: must be one number per channel, separated by commas: 0.5,0.5,0.5."
        ) from None


def input_size(text: str) -> int | tuple[int, int]:
    """Return the network input that --size names: a side, or (height, width).

    Raises:
        ModelError: The text is neither a number of pixels nor two of them.
    """
    match = re.fullmatch(r"([0-9]{1,6})(?:\s*[x×X,]\s*([0-9]{1,6}))?", text.strip())
    if match is None or 0 in (sides := [int(side) for side in match.groups() if side is not None]):
        raise ModelError(f"--size {text}: must be a number of pixels, 448, or HEIGHTxWIDTH, 224x1024.")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def read_prompts(text: str | None) -> list[str] | None:
    """Return the prompts that --prompts names: a file with one per line, several lines, or texts separated by commas.

    Raises:
        ModelError: The file cannot be read.
    """
    if text is None:
        return None
    try:
        path = Path(text).expanduser()
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long for a name
        is_file = False
    if is_file:
        try:
            text = path.read_text(encoding="utf-8") + "\n"
        except (OSError, ValueError) as error:
            raise ModelError(f"--prompts {path}: cannot be read as text: {error}.") from None
    parts = text.splitlines() if "\n" in text else text.split(",")
    return [part.strip() for part in parts if part.strip()]


def byte_count(option: str, text: str) -> int:
    """Return the number of bytes that an option names, such as 500MB, 2GB or 2GiB.

    Raises:
        DataError: The text is no amount of memory.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([kmgt]?)(i?)b?", text.strip(), re.IGNORECASE)
    power = 0 if match is None else " kmgt".index(match[2].lower() or " ")
    n = 0 if match is None else int(float(match[1]) * (1024 if match[3] else 1000) ** power)
    if n < 1:
        raise DataError(f"{option} {text}: must be an amount of memory, such as 500MB, 2GB or 2GiB.")
    return n


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


_POINT = re.compile(r"((?:^|[\s,])at\s+-?[0-9.]+\s*),(?=\s*-?[0-9.])")
"""The comma between the coordinates of a point: "dog at 120,80", "at 120,80"."""
_IMAGE_TARGET = re.compile(r"\s*(not\s+)?(text|like):")
"""The beginning of a target that holds a text or a file name, with commas of its own."""
_NEXT_TARGET = re.compile(r",(?=\s*(?:not\s+)?(?:text|like):)")
_COMMA = "\x00"
"""Replaces a comma that separates no targets while they are split."""


def split_targets(values: Sequence[str] | None, labels: Sequence[str]) -> list[str] | None:
    """Split targets at commas, except in names such as "crane, bird" and points such as "dog at 120,80", "at 120,80".

    Args:
        values: What was given as --target, which can be repeated.
        labels: The class names of the model; may be empty.
    """
    if values is None:
        return None
    known = {label.casefold() for label in labels if "," in label}
    prompts = [part for value in values if _IMAGE_TARGET.match(value) for part in _NEXT_TARGET.split(value)]
    values = [value for value in values if not _IMAGE_TARGET.match(value)]
    values = [_POINT.sub(rf"\1{_COMMA}", value) for value in values]
    targets: list[str] = []
    for value in values:
        parts = value.split(",")
        start = 0
        while start < len(parts):
            end = next(
                (end for end in range(len(parts), start + 1, -1) if _is_target(",".join(parts[start:end]), known)),
                start + 1,
            )
            targets.append(",".join(parts[start:end]).strip())
            start = end
    found = [target.replace(_COMMA, ",") for target in targets if target]
    return [*found, *(part.strip() for part in prompts)] or [""]


def _is_target(text: str, known: Collection[str]) -> bool:
    """Return whether a text with commas is a known class, "not A", or "A rather than B" with such a class."""
    classes = text.strip().casefold().removeprefix("not ").split(" rather than ")
    with_comma = [name.strip() for name in classes if "," in name]
    return len(classes) <= 2 and bool(with_comma) and all(name in known for name in with_comma)
