"""The `Model`: a network with its preprocessing and class names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.layer_names import layer_names
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.volume_preprocessing import VolumePreprocessing
from camlucida.models.weights_digest import weights_digest
from camlucida.models.wrappers import wrapper_message
from camlucida.option_types import Task
from camlucida.options import shown
from camlucida.tasks import check_probabilities_flag, check_task

Output: TypeAlias = str | int | Callable[[Any], Tensor] | None
"""Which part of the network's output contains the class scores: a key, an index, a callable, or None to detect it."""


@dataclass(frozen=True)
class Model:
    """A network with everything needed to explain its predictions. Created by `load` or `wrap`.

    Attributes:
        network: The network, which is never modified by this package.
        preprocessing: Converts an image to the network input.
        labels: Class names in the order of the outputs; may be empty.
        layer: The default layer (called `target_layer` in pytorch-grad-cam), by name or index; None to choose it
            automatically. A module of the network is replaced by its name.
        output: Which part of the network's output contains the class scores.
        spec: The specification that it was loaded from, for records.
        task: How class scores become probabilities: "multiclass" (softmax), "multilabel" or "binary" (sigmoid per
            class), "regression" (a value without a probability); None to take it from the network's configuration or to
            recognise it.
        probabilities: Whether the network's output holds probabilities. None to recognise it; False to take the output
            as scores in any case.
        volume: Converts volumes to the network input (`VolumePreprocessing`), for networks of volumes; None for
            networks of images. `preprocessing` is then not used.
    """

    network: nn.Module
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: tuple[str, ...] = ()
    layer: str | int | None = None
    output: Output = None
    spec: str = ""
    task: Task | None = None
    probabilities: bool | None = None
    volume: VolumePreprocessing | None = None

    def __post_init__(self) -> None:
        network: Any = self.network
        if message := wrapper_message(network):
            raise ModelError(message)
        if not isinstance(network, nn.Module):
            raise ModelError(
                f"a model must be a torch.nn.Module, a wrapped one or a name, not {type(network).__name__}."
            )
        object.__setattr__(self, "layer", layer_names(network, self.layer))
        check_task(self.task)
        check_probabilities_flag(self.probabilities)
        volume: Any = self.volume
        if volume is not None and not isinstance(volume, VolumePreprocessing):
            raise ModelError(f"volume must be a VolumePreprocessing, not {shown(volume)}.")

    @property
    def name(self) -> str:
        """Return the name to display."""
        return self.spec or type(self.network).__name__

    @property
    def weights_hash(self) -> str:
        """Return the first 16 hexadecimal digits of the SHA-256 of all current parameters and buffers."""
        return weights_digest(self.network)
