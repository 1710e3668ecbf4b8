"""Targets that belong to one image: boxes of a detector, regions of a segmentation, prompts, and words of a caption.

All methods, tests and metrics explain class scores `(b, k)`. A box, a region or a word has class scores of its own:
those of the candidate at that box, of the pixels of that region, of the vocabulary at that word. `ImageTargets.bind`
therefore returns, for every target, a `Model` of the same network whose output is read at that position. It is an
ordinary model: everything that takes one can explain, test and measure it, and "cat rather than dog" has its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

from camlucida.types import Region

if TYPE_CHECKING:
    from camlucida.models.model import Model
    from camlucida.targets import TargetSpec


@dataclass(frozen=True, eq=False)
class BoundTarget:
    """One target of one image, as a target of an ordinary model.

    Attributes:
        model: A model whose class scores `(b, k)` are those of one box, region, word or set of prompts. Its
            `image_targets` is None, and it has the network of the model that was bound, so that the copy and the
            checks of the network are shared.
        target: A target of that model, such as a class index.
        label: The target as text: "dog (box 3)"; empty for the label of `target`.
        spec: What the user writes to mean this target of this image, such as "box 3" or "bus at 12,8" (in pixels of the
            network input, as in `bind`); empty if there is no such text.
        region: The part of the network input that the target is about; None without one.
    """

    model: Model
    target: TargetSpec
    label: str = ""
    spec: str = ""
    region: Region | None = None


@runtime_checkable
class ImageTargets(Protocol):
    """What can be asked about the output of a network that is more than one list of class scores.

    Implementations are frozen values without a reference to the network, which is that of the model that is bound.
    Where the targets of one request belong together, such as prompts that compete, an implementation also has a method
    `bind_all(model, inputs, specs)`, which returns what `bind` does for each of several targets. Where `bind` runs the
    network on `inputs` only, and needs nothing of it but its output, an implementation has `reads_output_only = True`:
    the network then runs once for all targets of an image.
    """

    @property
    def kind(self) -> str:
        """Return "detection", "segmentation", "image-text", "similarity", "caption" or "question"."""

    def bind(self, model: Model, inputs: Tensor, spec: TargetSpec) -> tuple[BoundTarget, ...]:
        """Return what a target means for one image.

        Args:
            model: The model that has these targets.
            inputs: Network input `(1, c, H, W)`.
            spec: A target as the user gave it: "box 3", "dog at 120,80" (in pixels of the network input), "text:a dog",
                "word 2"; None for all that is there (every detection, every region, every word).

        Returns:
            One bound target or several; none where the target is one of the model's own classes in the whole image
            ("dog"), or a callable, which the model itself resolves.

        Raises:
            TargetError: There is no such box, region or word; the message lists those that there are.
        """


WHOLE_IMAGE_KINDS = {"detection": "box 1", "segmentation": "class:dog"}
"""Kinds of targets of networks that also have class scores of the whole image, each with an example."""


def has_whole_image_classes(targets: ImageTargets) -> bool:
    """Return whether a network with these targets also has class scores of the whole image."""
    return targets.kind in WHOLE_IMAGE_KINDS
