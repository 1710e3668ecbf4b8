"""Architecture summaries: one row per module call, the totals of torchsummary, and why the default layer was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, overload

import torch
from torch import nn

from camlucida._escaping import csv_text, printable
from camlucida._files import atomic_write
from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.attribution.layer_choice import explain_choice
from camlucida.attribution.layer_rows import LayerSummary, layer_rows
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import input_shape, output_reader
from camlucida.attribution.read_scores import OutputReader
from camlucida.attribution.several_inputs import of_first_image
from camlucida.engine import candidates, copy_of, profile_calls, resolve
from camlucida.engine.call_profile import ModuleCall
from camlucida.engine.geometry import check_layouts
from camlucida.engine.layers import require_layers
from camlucida.engine.network_copy import NetworkCopy, unwrapped
from camlucida.errors import DataError, ModelError, TargetError
from camlucida.models.load import as_model, load
from camlucida.models.model import Model
from camlucida.models.preprocessing import make_preprocessing


@dataclass(frozen=True)
class ArchitectureSummary(Sequence[LayerSummary]):
    """The layers of a network, in the order in which their calls finished, and their totals. Created by `layers`.

    The sizes follow the convention of torchsummary: the forward/backward size is twice that of the outputs of all
    modules except `Sequential`, `ModuleList` and the network itself, for one image, where a module that is called
    several times counts each time. They are estimates for training with plain SGD, not measurements: outputs that a
    backward pass does not need, workspaces and optimizer states are not considered. Unlike in torchsummary, sizes
    follow the types of the tensors, which need not be float32, and shared parameters count once.

    Attributes:
        model: Name of the model.
        input_shape: (c, h, w) of the network input.
        rows: The rows.
        n_parameters: Number of parameters of the network.
        n_trainable_parameters: Number of those with `requires_grad`.
        input_bytes: Size of the network input in bytes, for one image.
        forward_backward_bytes: Size of all outputs, times two.
        parameter_bytes: Size of all parameters in bytes.
        output: How the class scores become probabilities, or why there are no class scores, as a sentence.
        choice: Why the default layer was chosen, one sentence per fact.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[LayerSummary, ...]
    n_parameters: int
    n_trainable_parameters: int
    input_bytes: int
    forward_backward_bytes: int
    parameter_bytes: int
    output: str
    choice: tuple[str, ...]

    @property
    def n_non_trainable_parameters(self) -> int:
        """Return the number of parameters without `requires_grad`."""
        return self.n_parameters - self.n_trainable_parameters

    @property
    def total_bytes(self) -> int:
        """Return the estimated total size: input, forward/backward and parameters."""
        return self.input_bytes + self.forward_backward_bytes + self.parameter_bytes

    @property
    def recommended(self) -> tuple[LayerSummary, ...]:
        """Return the layers that are suitable for explanations, from early to late."""
        return tuple(row for row in self.rows if row.is_recommended)

    @property
    def default(self) -> LayerSummary | None:
        """Return the default layer; None if the network has no suitable one."""
        return next((row for row in self.rows if row.is_default), None)

    @overload
    def __getitem__(self, index: int) -> LayerSummary: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LayerSummary, ...]: ...
    def __getitem__(self, index: int | slice) -> LayerSummary | tuple[LayerSummary, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[LayerSummary]:
        return iter(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return asdict(self) | {
            "n_non_trainable_parameters": self.n_non_trainable_parameters,
            "total_bytes": self.total_bytes,
        }

    def to_csv(self) -> str:
        """Return the rows as CSV; shapes as "512×7×7", and an empty cell for None."""
        return csv_text([field.name for field in fields(LayerSummary)], (_cells(row) for row in self.rows))

    def to_markdown(self) -> str:
        """Return the rows as a table in Markdown."""
        columns = [field.name for field in fields(LayerSummary)]
        lines = [columns, ["---"] * len(columns)]
        lines += [[_markdown(cell) for cell in _cells(row).values()] for row in self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def save(self, path: str | Path) -> Path:
        """Write the rows to a file and return its path.

        Args:
            path: A file that ends in .csv or .md.

        Raises:
            DataError: The file has another suffix.
            OutputError: The file cannot be written.
        """
        file = Path(path)
        formats = {".csv": self.to_csv, ".md": self.to_markdown}
        if file.suffix.lower() not in formats:
            raise DataError(f"cannot save the layers as {file.name!r}: use .csv or .md.")
        atomic_write(file, formats[file.suffix.lower()]())
        return file


def layers(model: Model | nn.Module | str, *, size: int | tuple[int, int] | None = None) -> ArchitectureSummary:
    """Return the layers of a network with their output shapes, sizes and numbers of parameters.

    Runs the network once on one image, and up to 20 times to verify inferred layouts and the influence of layers.

    Args:
        model: A model, a network, or the specification of a model as in `load`, whose weights are then not loaded.
        size: Side of the square network input in pixels, or (height, width); None for that of the preprocessing.

    Returns:
        A sequence of rows with totals.

    Raises:
        ModelError: The model cannot be loaded, or cannot run on such an input.
        LayerError: The layers of the model cannot be accessed.
    """
    loaded = of_first_image(load(model, pretrained=False) if isinstance(model, str) else as_model(model))
    shape = input_shape(loaded) if size is None or loaded.volume is not None else _sized(loaded, size)
    weight = next((p for p in loaded.network.parameters() if p.is_floating_point()), torch.zeros(()))
    inputs = torch.zeros(1, *shape, dtype=weight.dtype, device=weight.device)
    copy, arguments = copy_of(loaded.network), model_inputs(loaded, inputs)
    require_layers(copy)
    try:
        profile = profile_calls(copy, arguments)
        read, output = _output_of(loaded, copy, arguments)
        check_layouts(copy, arguments, profile, range(len(profile.module_calls)))
        recommended = candidates(copy, arguments, read)
        default = recommended[-1] if recommended else None
        if loaded.layer is not None:
            (default,) = resolve(copy, arguments, [loaded.layer], read)
        choice = explain_choice(loaded, copy, arguments, default, read, output)
    except Exception as error:
        if not raised_by_network(error):
            raise
        if loaded.volume is not None:
            raise ModelError(
                f"the network cannot run on an input of {'×'.join(map(str, shape))}; it raised "
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}. ({loaded.name})"
            ) from error
        raise ModelError(f"{describe_network_error(error, loaded, (shape[1], shape[2]))} ({loaded.name})") from error
    parameters = list(loaded.network.parameters())
    return ArchitectureSummary(
        model=loaded.name,
        input_shape=tuple(inputs.shape[1:]),
        rows=tuple(layer_rows(profile, unwrapped(loaded.network), recommended, default)),
        n_parameters=sum(p.numel() for p in parameters),
        n_trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        input_bytes=inputs.nbytes,
        forward_backward_bytes=2 * sum(call.nbytes for call in profile.module_calls if _is_counted(call)),
        parameter_bytes=sum(p.nbytes for p in parameters),
        output=output,
        choice=choice,
    )


def _sized(model: Model, size: int | tuple[int, int]) -> tuple[int, ...]:
    """Return the shape of a network input of another size, for a model of images."""
    return len(model.preprocessing.mean), *make_preprocessing(size=size).size


def _output_of(model: Model, copy: NetworkCopy, inputs: Any) -> tuple[OutputReader | None, str]:
    """Return the reader of the class scores, and how they become probabilities; or None, and why there are none."""
    try:
        read = output_reader(model, copy, inputs)
    except TargetError as error:
        return None, str(error)
    return read, f"{read.activation.describe()}."


def _is_counted(call: ModuleCall) -> bool:
    """Return whether torchsummary counts the output of a call."""
    return bool(call.name) and not isinstance(call.module, nn.Sequential | nn.ModuleList)


def _cells(row: LayerSummary) -> dict[str, str]:
    return {field.name: _cell(getattr(row, field.name)) for field in fields(LayerSummary)}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _markdown(text: str) -> str:
    return printable(text, lines=False).replace("|", "\\|").replace("<", "&lt;")
