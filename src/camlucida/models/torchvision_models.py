"""Classifiers, detectors and segmentation networks of torchvision by name, with their preprocessing and class names."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.models.checkpoint import read_weights
from camlucida.models.detection import torchvision as detectors
from camlucida.models.download import fetch_file
from camlucida.models.fit_weights import load_weights, without_auxiliary
from camlucida.models.labels import imagenet_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing
from camlucida.models.segmentation.recognise import as_segmentation
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


@cache
def segmentation_names() -> tuple[str, ...]:
    """Return the names of all segmentation networks of torchvision."""
    prevent_abort()
    import torchvision.models as zoo

    return tuple(zoo.list_models(module=zoo.segmentation))


def is_known(spec: str) -> bool:
    """Return whether `spec` (a name, optionally with @WEIGHTS) is a classifier, detector or segmentation network."""
    return spec.partition("@")[0].lower() in (*classifier_names(), *segmentation_names()) or detectors.is_known(spec)


def has_weights(name: str, weights_name: str) -> bool:
    """Return whether a classifier or a detector has weights of that name; an empty name stands for the default ones."""
    try:
        get_weights(name, weights_name)
    except ModelError:
        return False
    return True


def load(spec: str, pretrained: bool = True) -> Model:
    """Load a network such as `resnet50`, `resnet50@IMAGENET1K_V2`, `deeplabv3_resnet50` or a detector."""
    name, _, weights_name = spec.partition("@")
    weights = get_weights(name, weights_name)
    is_detector = detectors.is_known(name)
    network = detectors.build(name) if is_detector else build(name)
    if pretrained:
        path = fetch_file(weights.url, model_name=spec, megabytes=weights.meta.get("_file_size"))
        state = without_auxiliary(network, rename_old_densenet(read_weights(path)))
        load_weights(network, state, source=str(path))
    labels = tuple(weights.meta["categories"])
    if is_detector:
        return detectors.wrap_detector(network.eval(), labels)
    if name.lower() in segmentation_names():
        return as_segmentation(Model(network.eval(), segmentation_preprocessing(weights), labels))
    return Model(network.eval(), make_preprocessing(weights.transforms()), labels)


def build(name: str, **options: Any) -> nn.Module:
    """Return the architecture with random weights."""
    prevent_abort()
    import torchvision.models as zoo

    _check_name(name)
    extra = {"weights_backbone": None} if name.lower() in segmentation_names() else BUILDING.get(name.lower(), {})
    network: nn.Module = zoo.get_model(name, weights=None, **extra, **options)
    return network


def get_weights(name: str, weights_name: str = "") -> Any:
    """Return the named weights of a network, by default its default weights."""
    prevent_abort()
    import torchvision.models as zoo

    _check_name(name)
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
    if name.lower() in segmentation_names():
        weights = get_weights(name)
        return segmentation_preprocessing(weights), tuple(weights.meta["categories"])
    return make_preprocessing(get_weights(name).transforms()), imagenet_names()


def segmentation_preprocessing(weights: Any) -> Preprocessing:
    """Return the preprocessing of a segmentation network of torchvision, on a square.

    Its transform resizes the shorter side to 520 pixels and keeps the whole image, whatever its shape. Network inputs
    here have one size, so the image is fitted into a square of that size with a grey border.
    """
    transform = weights.transforms()
    side = int(transform.resize_size[0])
    return Preprocessing((side, side), None, "letterbox", tuple(transform.mean), tuple(transform.std))


def _check_name(name: str) -> None:
    known = (*classifier_names(), *detectors.detector_names(), *segmentation_names())
    if name.lower() not in known:
        kinds = "classifier, detector or segmentation network"
        raise ModelError(f"torchvision has no {kinds} {name!r}.{nearest(name, known)}")
