"""torchvision's classifiers by name, with their weights' own preprocessing and class names."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.models.checkpoint import read, take
from camlucida.models.fetch import fetched
from camlucida.models.labels import imagenet_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, preprocessing
from camlucida.models.state_dicts import modernized

BUILDING: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}
"""What a network must be built with for its weights to fit (torchvision does so when it loads them itself)."""


@cache
def names() -> tuple[str, ...]:
    """All classifiers of torchvision."""
    import torchvision.models as zoo

    return tuple(zoo.list_models(module=zoo))


def knows(spec: str) -> bool:
    """Whether `spec` (a name, maybe with @WEIGHTS) is one of them."""
    return spec.partition("@")[0].lower() in names()


def has_weights(name: str, wanted: str) -> bool:
    """Return whether a classifier has weights of that name; it always has those of the empty name, its default ones."""
    try:
        weights_of(name, wanted)
    except ModelError:
        return False
    return True


def load(spec: str, pretrained: bool = True) -> Model:
    """`resnet50` or `resnet50@IMAGENET1K_V2`."""
    name, _, wanted = spec.partition("@")
    weights = weights_of(name, wanted)
    network = build(name)
    if pretrained:
        path = fetched(weights.url, what=spec, megabytes=weights.meta.get("_file_size"))
        take(network, modernized(read(path)), what=str(path))
    return Model(network.eval(), preprocessing(weights.transforms()), tuple(weights.meta["categories"]))


def build(name: str, **options: Any) -> nn.Module:
    """The architecture with random weights."""
    import torchvision.models as zoo

    if name.lower() not in names():
        raise ModelError(f"torchvision has no classifier {name!r}.{nearest(name, names())}")
    network: nn.Module = zoo.get_model(name, weights=None, **BUILDING.get(name.lower(), {}), **options)
    return network


def weights_of(name: str, wanted: str = "") -> Any:
    """The named weights of a classifier, its default ones without a name."""
    import torchvision.models as zoo

    if name.lower() not in names():
        raise ModelError(f"torchvision has no classifier {name!r}.{nearest(name, names())}")
    known: Any = zoo.get_model_weights(name)
    if not wanted or wanted.upper() == "DEFAULT":
        return known.DEFAULT
    try:
        return known[wanted.upper()]
    except KeyError:
        have = ", ".join(weights.name for weights in known)
        raise ModelError(f"{name} has no weights {wanted!r}; torchvision has {have}.") from None


def default_preprocessing(name: str) -> tuple[Preprocessing, tuple[str, ...]]:
    """What the default weights of an architecture want, for a checkpoint that does not say."""
    return preprocessing(weights_of(name).transforms()), imagenet_names()
