"""Options that several commands share, with their help texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Group, Parameter

from camlucida.cli.option_values import check_opacity
from camlucida.cli.terminal import Mode, Terminal
from camlucida.errors import DataError
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
