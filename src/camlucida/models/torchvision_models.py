"""torchvision's classifiers by name, with their weights' own preprocessing and class names."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.models.checkpoint import load_weights, read_weights
from camlucida.models.download import fetch_file
from camlucida.models.labels import imagenet_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing
from camlucida.models.state_dicts import rename_old_densenet

BUILDING: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}
"""What a network must be built with for its weights to fit (torchvision does so when it loads them itself)."""


@cache
def classifier_names() -> tuple[str, ...]:
    """All classifiers of torchvision."""
    import torchvision.models as zoo

    return tuple(zoo.list_models(module=zoo))


def is_known(spec: str) -> bool:
    """Whether `spec` (a name, maybe with @WEIGHTS) is one of them."""
    return spec.partition("@")[0].lower() in classifier_names()


def has_weights(name: str, weights_name: str) -> bool:
    """Return whether a classifier has weights of that name; it always has those of the empty name, its default ones."""
    try:
        get_weights(name, weights_name)
    except ModelError:
        return False
    return True


def load(spec: str, pretrained: bool = True) -> Model:
    """`resnet50` or `resnet50@IMAGENET1K_V2`."""
    name, _, weights_name = spec.partition("@")
    weights = get_weights(name, weights_name)
    network = build(name)
    if pretrained:
        path = fetch_file(weights.url, model_name=spec, megabytes=weights.meta.get("_file_size"))
        load_weights(network, rename_old_densenet(read_weights(path)), source=str(path))
    return Model(network.eval(), make_preprocessing(weights.transforms()), tuple(weights.meta["categories"]))


def build(name: str, **options: Any) -> nn.Module:
    """The architecture with random weights."""
    import torchvision.models as zoo

    if name.lower() not in classifier_names():
        raise ModelError(f"torchvision has no classifier {name!r}.{nearest(name, classifier_names())}")
    network: nn.Module = zoo.get_model(name, weights=None, **BUILDING.get(name.lower(), {}), **options)
    return network


def get_weights(name: str, weights_name: str = "") -> Any:
    """The named weights of a classifier, its default ones without a name."""
    import torchvision.models as zoo

    if name.lower() not in classifier_names():
        raise ModelError(f"torchvision has no classifier {name!r}.{nearest(name, classifier_names())}")
    weights_enum: Any = zoo.get_model_weights(name)
    if not weights_name or weights_name.upper() == "DEFAULT":
        return weights_enum.DEFAULT
    try:
        return weights_enum[weights_name.upper()]
    except KeyError:
        available = ", ".join(weights.name for weights in weights_enum)
        raise ModelError(f"{name} has no weights {weights_name!r}; torchvision has {available}.") from None


def default_preprocessing(name: str) -> tuple[Preprocessing, tuple[str, ...]]:
    """What the default weights of an architecture want, for a checkpoint that does not say."""
    return make_preprocessing(get_weights(name).transforms()), imagenet_names()
