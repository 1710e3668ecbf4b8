"""Similarity to a reference image as a target: "like:b.jpg", and `like=` of `explain` for both ways.

The score is the cosine between the embedding of the explained image and that of the reference, which is held fixed.
The embedding is the output of networks that return one (metric learning, faces, DINO, the image tower of CLIP), and
the input of the last linear layer of classifiers. Networks of which neither is known are refused with a question.
"""

from __future__ import annotations

import copy as python_copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.attribution.error_context import source_name
from camlucida.attribution.load_input import ImageInput, load_input
from camlucida.attribution.output_parts import ScorePart, as_class_scores, find_part, unit_norm
from camlucida.attribution.output_reader import output_reader
from camlucida.attribution.outputs import to_network
from camlucida.engine import copy_of
from camlucida.engine.named_inputs import call_network
from camlucida.errors import ModelError, TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.image_text import PromptTargets
from camlucida.models.model import Model, Output

PREFIX = "like:"
CONTRAST = " rather than "


@dataclass(frozen=True, eq=False)
class CosineScores:
    """Reads the cosines between the embeddings of images and those of references from a network's output.

    The length of the explained embedding is a constant of the gradient, as in the decomposition of Zhu et al. (2019,
    "Visual Explanation for Deep Metric Learning"). The gradient of the cosine itself is orthogonal to the embedding, so
    that after global average pooling the positions of a Grad-CAM map add up to zero, whatever the images share.

    Attributes:
        references: Embeddings of the references `(k, d)`, of length 1.
        part: The part of the output that holds the embedding.
        selector: The user's choice of the part.
    """

    references: Tensor
    part: ScorePart
    selector: Output = None

    def __call__(self, output: Any) -> Tensor:
        """Return the cosines `(b, k)`."""
        embedding = as_class_scores(self.part.select(output, self.selector))
        length = embedding.detach().norm(dim=-1, keepdim=True).clamp_min(torch.finfo(embedding.dtype).tiny)
        cosines: Tensor = (embedding / length) @ self.references.to(embedding).T
        return cosines


@dataclass(frozen=True, eq=False)
class Embedding:
    """What computes the embedding of an image.

    Attributes:
        model: The model whose network returns the embedding.
        part: The part of the output that holds it.
        source: Where in the network it was taken.
    """

    model: Model
    part: ScorePart
    source: str
    _known: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def of(self, inputs: Tensor) -> Tensor:
        """Return the embeddings `(b, d)` of network inputs, of length 1."""
        with torch.inference_mode(False), torch.no_grad():
            network = self.model.network
            output = call_network(copy_of(network).module, to_network(network, inputs))
            embedding = as_class_scores(self.part.select(output, self.model.output), len(inputs))
            length = embedding.norm(dim=-1)
            if not bool(embedding.isfinite().all()) or bool((length == 0).any()):
                raise ModelError("the embedding of an image is zero or not finite, so it has no cosine.")
            return nn.functional.normalize(embedding, dim=-1)

    def similarity(self, references: Tensor, names: Sequence[str]) -> Model:
        """Return a model whose outputs are the cosines to references.

        Args:
            references: Network inputs of the references `(k, c, H, W)`.
            names: Their names.
        """
        embeddings = torch.cat([self.of(reference[None]) for reference in references])
        return replace(
            self.model,
            output=CosineScores(embeddings, self.part, self.model.output),
            labels=tuple(f"similarity to {name}" for name in names),
            task="regression",
            probabilities=False,
            image_targets=None,
        )


def is_like_spec(spec: Any, labels: Sequence[str] = ()) -> bool:
    """Return whether a target is the similarity to an image, and not a class of that name."""
    return isinstance(spec, str) and spec.strip().startswith(PREFIX) and spec not in labels


def bind_like(model: Model, inputs: Tensor, spec: str) -> BoundTarget:
    """Return the similarity to a reference image as a target.

    Args:
        model: The model.
        inputs: Network input `(1, c, H, W)` of the explained image, from which the part of the output is recognised.
        spec: "like:b.jpg", or "like:b.jpg rather than c.jpg": the difference of the two cosines.

    Raises:
        TargetError: A reference cannot be read, or the network's embedding is unknown.
    """
    this, contrast, that = spec.strip().removeprefix(PREFIX).partition(CONTRAST)
    paths = [this.strip(), *([that.strip().removeprefix(PREFIX)] if contrast else [])]
    if not all(paths):
        raise TargetError(f"{spec!r} names no image. Write like:b.jpg, or like:b.jpg rather than c.jpg.")
    references = torch.stack([load_input(model.preprocessing, path).inputs for path in paths])
    names = [source_name(path) for path in paths]
    bound = embedding_of(model, inputs).similarity(references, names)
    label = f"similarity to {CONTRAST.join(names)}"
    return BoundTarget(bound, "0 rather than 1" if contrast else 0, label, spec.strip())


def both_ways(model: Model, image: ImageInput, like: ImageInput) -> tuple[Model, Model]:
    """Return the models of the similarity of an image to a reference, and of the reference to the image.

    Raises:
        TargetError: The network's embedding is unknown.
    """
    if model.image or model.volume is not None:
        raise TargetError("like= compares two images of a network that takes one, and this one takes something else.")
    inputs = [load_input(model.preprocessing, source).inputs for source in (image, like)]
    embedding = embedding_of(model, inputs[0][None])
    first, second = (
        embedding.similarity(other[None], [source_name(source)])
        for other, source in ((inputs[1], like), (inputs[0], image))
    )
    return first, second


def embedding_of(model: Model, inputs: Tensor) -> Embedding:
    """Return what computes the embedding of a model's images.

    Args:
        model: The model.
        inputs: A network input `(1, c, H, W)`.

    Raises:
        TargetError: It is unknown whether the outputs are an embedding or class scores; or they are class scores, and
            the network does not end in a linear layer.
    """
    with torch.inference_mode(False), torch.no_grad():
        copy = copy_of(model.network)
        inputs = to_network(model.network, inputs[:1])
        output = call_network(copy.module, inputs)
        part = find_part(output, model.output, n_labels=len(model.labels))
        if isinstance(model.image_targets, PromptTargets):
            return Embedding(model, part, "the embedding of the image tower")
        reader = output_reader(model, copy, inputs)
        scores = as_class_scores(part.select(output, model.output), 1)
        if reader.activation.task is None or (not model.labels and unit_norm(scores)):
            if model.output is nn.functional.normalize:  # the length belongs to `CosineScores`
                return Embedding(replace(model, output=None), find_part(output), "the output of the network")
            return Embedding(model, part, "the output of the network")
        k = scores.shape[1]
        if not model.labels and model.task is None and not _is_classifier(model.network, k):
            raise TargetError(
                f"the similarity of images is that of their embeddings, and the {k} outputs of this network have no "
                "names: they may be class scores or an embedding. For class scores give labels= or task='multiclass' "
                "(the embedding is then the input of the last linear layer); for an embedding "
                "wrap(network, output=torch.nn.functional.normalize)."
            )
        return _penultimate_embedding(model, copy, inputs, k)


def _is_classifier(network: nn.Module, k: int) -> bool:
    """Return whether a network says that its outputs are classes, as those of timm and transformers do."""
    numbers = (getattr(network, "num_classes", None), getattr(getattr(network, "config", None), "num_labels", None))
    return k in numbers


@dataclass
class _LastLinear:
    """Observes a run: the last module with parameters, and the input and output of the last linear layer."""

    last: nn.Module | None = None
    inputs: Tensor | None = None

    def call(self, module: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        if next(module.parameters(recurse=False), None) is not None:
            self.last = module
            rows = args[0] if args and isinstance(args[0], Tensor) and args[0].ndim == 2 else None
            self.inputs = None if rows is None or not isinstance(module, nn.Linear) else rows.detach().clone()
        return output


def _penultimate_embedding(model: Model, copy: Any, inputs: Tensor, k: int) -> Embedding:
    """Return the embedding of a classifier: the input of its last linear layer, which a copy of the network returns."""
    seen = _LastLinear()
    copy.run(seen, inputs)
    name = copy.names.get(seen.last, "") if seen.last is not None else ""
    advice = (
        f"the similarity of images is that of their embeddings, and the network returns {k} class scores whose last "
        "linear layer {}. Pass the part of the network that returns the embedding: wrap(encoder, "
        "output=torch.nn.functional.normalize)."
    )
    if seen.inputs is None or not name:
        raise TargetError(advice.format("is not its last layer with weights"))
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.network.parameters(), *model.network.buffers())}
    try:
        encoder: nn.Module = python_copy.deepcopy(model.network, shared)
    except Exception as error:
        raise TargetError(advice.format(f"cannot be taken off ({type(error).__name__})")) from error
    encoder.eval()
    parent, _, child = name.rpartition(".")
    setattr(encoder.get_submodule(parent), child, nn.Identity())
    try:
        output = call_network(encoder, inputs)
        part = find_part(output)
        found = as_class_scores(part.select(output, None), 1)
    except Exception as error:
        raise TargetError(advice.format("cannot be taken off")) from error
    if found.shape != seen.inputs.shape or not torch.allclose(found, seen.inputs.to(found), rtol=1e-4, atol=1e-5):
        raise TargetError(advice.format("is followed by something else"))
    of_features = replace(model, network=encoder, output=None, labels=(), task=None, probabilities=None)
    return Embedding(of_features, part, f"the input of {name}")
