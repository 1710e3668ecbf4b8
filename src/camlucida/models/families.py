"""Families of models that are recognised as they are: how each becomes a `Model`, and what `wrap` can say of it.

Whoever receives a bare network, `wrap` and every function that takes a model, asks `family_of`. An argument of `wrap`
that a family cannot use is an error, since a map would be drawn as if it had not been given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from camlucida.errors import ModelError
from camlucida.layer_names import LayerSpec, layer_names
from camlucida.models.captions.targets import CaptionTargets
from camlucida.models.detection import torchvision, transformers, ultralytics
from camlucida.models.detection.targets import DetectionTargets
from camlucida.models.image_names import image_names
from camlucida.models.image_text_networks import image_text_model
from camlucida.models.keras.backends import is_keras_model
from camlucida.models.keras.load import wrap_keras
from camlucida.models.labels import class_names
from camlucida.models.model import Model, Output
from camlucida.models.networks import as_network
from camlucida.models.preprocessing import make_preprocessing
from camlucida.models.volume_preprocessing import VolumePreprocessing
from camlucida.option_types import ModelTask
from camlucida.options import shown


@dataclass(frozen=True)
class WrapOptions:
    """The arguments of `wrap` beside the network, see there; `numbers` are those of `make_preprocessing`."""

    preprocess: Any = None
    labels: Sequence[str] | str | Path | None = None
    layer: LayerSpec = None
    output: Output = None
    image: str | int | Sequence[str | int] | None = None
    task: ModelTask | None = None
    probabilities: bool | None = None
    name: str = ""
    volume: VolumePreprocessing | None = None
    tokenizer: Any = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """Return the arguments that differ from their defaults, by name."""
        defaults = WrapOptions()
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if not _is_default(value, getattr(defaults, name))}


@dataclass(frozen=True)
class Family:
    """Models of one library or kind.

    Attributes:
        name: What they are, as text.
        recognises: Whether a value is one of them.
        wrap: Makes a model of a value.
        refused: Arguments of `wrap` that have no meaning for them, and why, as the end of a sentence.
        accepted: Values of refused arguments that say what is so anyway.
        plain_with_output: Whether a value is an ordinary network if `output` names the class scores in what it returns.
    """

    name: str
    recognises: Callable[[Any], bool]
    wrap: Callable[[Any, WrapOptions], Model]
    refused: Mapping[str, str]
    accepted: Mapping[str, Any] = field(default_factory=dict)
    plain_with_output: bool = False

    def check(self, value: Any, options: WrapOptions) -> None:
        """Raise `ModelError` for an argument that this family cannot use."""
        for name, given in options.given().items():
            if name in self.refused and given != self.accepted.get(name):
                raise ModelError(
                    f"{name}={shown(given)} cannot be used for {type(value).__name__}, {self.name}: "
                    f"{self.refused[name]}."
                )


def family_of(value: Any) -> Family | None:
    """Return the family of a value; None for other networks, functions and files."""
    return next((family for family in FAMILIES if family.recognises(value)), None)


def check_task_of_loaded(model: Model, task: ModelTask | None, probabilities: bool | None) -> None:
    """Raise `ModelError` for a task, or a word on probabilities, that a loaded model cannot use."""
    targets = model.image_targets
    if isinstance(targets, DetectionTargets):
        refused, own_task = OF_DETECTORS, "multilabel"
    elif isinstance(targets, CaptionTargets):
        refused, own_task = OF_WORDS, "multiclass"
    else:
        return
    for name, given in {"task": task, "probabilities": probabilities}.items():
        if given is not None and (name, given) != ("task", own_task):
            raise ModelError(f"{name}={shown(given)} cannot be used for {model.name}: {refused[name]}.")


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | dict) and value == default)


def _keras(value: Any, options: WrapOptions) -> Model:
    model = wrap_keras(
        value,
        preprocess=options.preprocess,
        numbers=options.numbers,
        labels=options.labels,
        layer=options.layer,
        output=options.output,
        task=options.task,
        probabilities=options.probabilities,
        name=options.name,
    )
    return replace(model, image=image_names(model.network, options.image), volume=options.volume)


def _detector(library: Any) -> Callable[[Any, WrapOptions], Model]:
    """Return the function that wraps a detector of a library: a module with `wrap_detector`."""

    def wrap(value: Any, options: WrapOptions) -> Model:
        model: Model = library.wrap_detector(value, options.preprocess, dict(options.numbers))
        return replace(
            model,
            labels=model.labels if options.labels is None else class_names(options.labels),
            layer=model.layer if options.layer is None else layer_names(model.network, options.layer),
            spec=options.name,
        )

    return wrap


def _torchvision_detector(value: Any, options: WrapOptions) -> Model:
    """Return a detector of torchvision as a model, whose default layer is named as a layer of the detector."""
    names = () if options.labels is None else class_names(options.labels)
    chosen = layer_names(value, options.layer)
    if isinstance(chosen, str):
        chosen = f"detector.{chosen}"  # the detector is a module of the adapter
    return torchvision.wrap_detector(
        value, names, preprocess=options.preprocess, layer=chosen, name=options.name, **options.numbers
    )


def _image_text(value: Any, options: WrapOptions) -> Model:
    network = as_network(value, "wrap needs a torch.nn.Module")
    prepared = None if options.preprocess is None else make_preprocessing(options.preprocess)
    model = image_text_model(network, options.tokenizer, prepared, **options.numbers)
    spec = options.name or type(value).__name__
    return replace(model, layer=layer_names(model.network, options.layer), spec=spec)


NO_TEXT = "it reads no text"
OF_DETECTORS = {
    "image": "it takes one input, the image",
    "task": "each of its classes has a sigmoid of its own, task='multilabel'",
    "probabilities": "the log-odds of its classes are read before they become probabilities",
    "volume": "its boxes are rectangles of an image",
    "tokenizer": NO_TEXT,
}
"""Arguments that detectors cannot use."""
OF_WORDS = {
    "task": "the next word is a softmax over the vocabulary, task='multiclass'",
    "probabilities": "the scores of words are logits",
}
"""Arguments that networks which write words cannot use."""
FAMILIES = (
    Family(
        "a model of Keras",
        is_keras_model,
        _keras,
        {"tokenizer": NO_TEXT},
    ),
    *(
        Family(
            f"a detector of {library.__name__.rpartition('.')[2]}",
            library.is_detector,
            _torchvision_detector if library is torchvision else _detector(library),
            OF_DETECTORS,
            {"task": "multilabel"},
            plain_with_output=True,
        )
        for library in (transformers, ultralytics, torchvision)
    ),
)
"""The families, in the order in which they are asked for."""
IMAGE_TEXT = Family(
    "an image-text model",
    lambda value: True,
    _image_text,
    {
        "labels": "its classes are prompts, wrap(…).with_prompts(['a cat', 'a dog'])",
        "output": "its image tower is explained",
        "image": "its image tower takes one input, the image",
        "task": "the similarities to prompts become probabilities as the model was trained",
        "probabilities": "the similarities to prompts are scores",
        "volume": "its image tower takes images",
    },
)
"""What a network is taken for where a tokenizer is given."""
