"""Classifiers and detectors of torchvision by name, with the preprocessing and class names of their weights."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.models.checkpoint import load_weights, read_weights
from camlucida.models.detection import torchvision as detectors
from camlucida.models.download import fetch_file
from camlucida.models.labels import imagenet_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing
from camlucida.models.state_dicts import rename_old_densenet
from camlucida.models.triton_conflict import prevent_abort

BUILDING: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}
"""Arguments that an architecture needs for its weights to fit, as torchvision passes them when it loads the weights."""


@cache
def classifier_names() -> tuple[str, ...]:
    """Return the names of all classifiers of torchvision."""
    prevent_abort()
    import torchvision.models as zoo

    return tuple(zoo.list_models(module=zoo))


def is_known(spec: str) -> bool:
    """Return whether `spec` (a name, optionally with @WEIGHTS) is a classifier or a detector of torchvision."""
    return spec.partition("@")[0].lower() in classifier_names() or detectors.is_known(spec)


def has_weights(name: str, weights_name: str) -> bool:
    """Return whether a classifier or a detector has weights of that name; an empty name stands for the default ones."""
    try:
        get_weights(name, weights_name)
    except ModelError:
        return False
    return True


def load(spec: str, pretrained: bool = True) -> Model:
    """Load a classifier such as `resnet50` or `resnet50@IMAGENET1K_V2`, or a detector."""
    name, _, weights_name = spec.partition("@")
    weights = get_weights(name, weights_name)
    is_detector = detectors.is_known(name)
    network = detectors.build(name) if is_detector else build(name)
    if pretrained:
        path = fetch_file(weights.url, model_name=spec, megabytes=weights.meta.get("_file_size"))
        load_weights(network, rename_old_densenet(read_weights(path)), source=str(path))
    if is_detector:
        return detectors.wrap_detector(network.eval(), weights.meta["categories"])
    return Model(network.eval(), make_preprocessing(weights.transforms()), tuple(weights.meta["categories"]))


def build(name: str, **options: Any) -> nn.Module:
    """Return the architecture with random weights."""
    prevent_abort()
    import torchvision.models as zoo

    if name.lower() not in classifier_names():
        raise ModelError(f"torchvision has no classifier {name!r}.{nearest(name, classifier_names())}")
    network: nn.Module = zoo.get_model(name, weights=None, **BUILDING.get(name.lower(), {}), **options)
    return network


def get_weights(name: str, weights_name: str = "") -> Any:
    """Return the named weights of a classifier or a detector, by default its default weights."""
    prevent_abort()
    import torchvision.models as zoo

    if not is_known(name):
        known = [*classifier_names(), *detectors.detector_names()]
        raise ModelError(f"torchvision has no classifier {name!r}.{nearest(name, known)}")
    weights_enum: Any = zoo.get_model_weights(name)
    if not weights_name or weights_name.upper() == "DEFAULT":
        return weights_enum.DEFAULT
    try:
        return weights_enum[weights_name.upper()]
    except KeyError:
        available = ", ".join(weights.name for weights in weights_enum)
        raise ModelError(f"{name} has no weights {weights_name!r}; torchvision has {available}.") from None


def default_preprocessing(name: str) -> tuple[Preprocessing, tuple[str, ...]]:
    """Return the preprocessing and class names of an architecture's default weights, for a checkpoint without any."""
    return make_preprocessing(get_weights(name).transforms()), imagenet_names()
