"""The `Model`: a network with its preprocessing and class names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.layer_names import layer_names
from camlucida.models.image_names import image_names
from camlucida.models.image_targets import ImageTargets
from camlucida.models.image_text import with_prompts
from camlucida.models.networks import as_network
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.volume_preprocessing import VolumePreprocessing
from camlucida.models.weights_digest import weights_digest
from camlucida.opaque_networks import OpaqueNetwork
from camlucida.option_types import Task
from camlucida.options import shown
from camlucida.tasks import check_probabilities_flag, check_task
from camlucida.types import Geometry

Output: TypeAlias = str | int | Callable[[Any], Tensor] | None
"""Which part of the network's output contains the class scores: a key, an index, a callable, or None to detect it."""


@dataclass(frozen=True)
class Model:
    """A network with everything needed to explain its predictions. Created by `load` or `wrap`.

    Attributes:
        network: The network, which is never modified by this package. A function, a session of ONNX Runtime, a
            TorchScript network or an exported program is replaced by a module that runs it, see `wrap`.
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
        image: Names of the inputs that are images, for a network that takes several inputs; empty for a network that
            takes one.
        preprocessings: The preprocessing of each image by its name, where they differ.
        held: Further inputs by name, which are passed to the network unmodified with every image. `explain` and `trust`
            set them for a dict of inputs.
        volume: Converts volumes to the network input (`VolumePreprocessing`), for networks of volumes; None for
            networks of images. `preprocessing` is then not used.
        image_targets: What can be asked about one image beside the classes: boxes, regions, prompts, words. None for
            classifiers.
    """

    network: nn.Module
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: tuple[str, ...] = ()
    layer: str | int | None = None
    output: Output = None
    spec: str = ""
    task: Task | None = None
    probabilities: bool | None = None
    image: tuple[str, ...] = ()
    preprocessings: Mapping[str, Preprocessing] = field(default_factory=dict, hash=False)
    held: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    volume: VolumePreprocessing | None = None
    image_targets: ImageTargets | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", as_network(self.network))
        network = self.network
        object.__setattr__(self, "layer", layer_names(network, self.layer))
        object.__setattr__(self, "image", image_names(network, None if self.image == () else self.image))
        check_task(self.task)
        check_probabilities_flag(self.probabilities)
        volume: Any = self.volume
        if volume is not None and not isinstance(volume, VolumePreprocessing):
            raise ModelError(f"volume must be a VolumePreprocessing, not {shown(volume)}.")

    def of_image(self, name: str) -> Model:
        """Return the model with one of its images as the explained one, and that image's preprocessing."""
        of_images = {image: self.preprocessings.get(image, self.preprocessing) for image in self.image}
        preprocessing = self.preprocessings.get(name, self.preprocessing)
        return replace(
            self, image=(name,), preprocessing=preprocessing, preprocessings={**self.preprocessings, **of_images}
        )

    def on_image(self, geometry: Geometry) -> Model:
        """Return the model of one image, whose outputs leave out the border of the network input.

        Only a segmentation network has outputs at positions; other models are returned unmodified.

        Args:
            geometry: Position of the network input on the image. With fit="letterbox" it has a border.
        """
        on_image = getattr(self.image_targets, "on_image", None)
        return self if on_image is None else on_image(self, geometry)

    def hold(self, **inputs: Any) -> Model:
        """Return the model with further inputs held: they are passed to the network unmodified with every image.

        Args:
            **inputs: The inputs by name; tensors have a batch axis of 1.

        Raises:
            ModelError: The network has no such input.
        """
        image_names(self.network, list(inputs))
        return replace(self, held={**self.held, **inputs})

    def with_prompts(self, prompts: Sequence[str], template: str | Sequence[str] = "{}") -> Model:
        """Return a classifier whose classes are prompts, of an image-text model (CLIP, SigLIP).

        It is an ordinary model with `labels`. For CLIP the probabilities are a softmax over the prompts, so that they
        depend on all of them; for SigLIP a sigmoid per prompt. One prompt alone has a value without a probability for
        CLIP.

        Args:
            prompts: The texts, one per class: ["a dog", "a cat"].
            template: Each prompt is put into it at "{}": "a photo of {}". With several templates, the embeddings are
                averaged.

        Raises:
            ModelError: The model has no text encoder, or a prompt is empty or given twice.
        """
        return with_prompts(self, prompts, template)

    def with_question(self, question: str) -> Model:
        """Return the model with a question about the image held, for networks that answer questions.

        A network that classifies answers, such as ViLT, is then an ordinary classifier; one that writes them explains
        the words of its answer.

        Args:
            question: The question, such as "What animal is this?".

        Raises:
            ModelError: The network takes no questions, or the question is no text.
        """
        with_question = getattr(self.image_targets, "with_question", None)
        if with_question is None:
            raise ModelError(f"{self.name} takes no question: it is no network of visual question answering.")
        asked: Model = with_question(self, question)
        return asked

    @property
    def name(self) -> str:
        """Return the name to display."""
        title = self.network.title if isinstance(self.network, OpaqueNetwork) else ""
        return self.spec or title or type(self.network).__name__

    @property
    def weights_hash(self) -> str:
        """Return the first 16 hexadecimal digits of the SHA-256 of all current parameters and buffers."""
        return weights_digest(self.network)
