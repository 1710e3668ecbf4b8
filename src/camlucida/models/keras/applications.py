"""The models of keras.applications by name, with their preprocessing and class names: `keras:ResNet50`."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from camlucida.errors import ModelError, nearest
from camlucida.models.download import is_reachable
from camlucida.models.keras.backends import need_keras
from camlucida.models.keras.network import keras_network
from camlucida.models.keras.preprocessing import PixelScale, input_size, with_scale
from camlucida.models.labels import imagenet_names
from camlucida.models.model import Model
from camlucida.models.quoting import printable

HOST = "storage.googleapis.com"
"""Where Keras downloads its weights from."""

FAMILIES: dict[str, PixelScale] = {
    "ResNet50V2": "signed",
    "ResNet101V2": "signed",
    "ResNet152V2": "signed",
    "ResNet": "caffe",
    "VGG": "caffe",
    "MobileNetV3": "bytes",
    "MobileNet": "signed",
    "Xception": "signed",
    "Inception": "signed",
    "NASNet": "signed",
    "DenseNet": "imagenet",
    "EfficientNet": "bytes",
    "ConvNeXt": "bytes",
}
"""Pixel values that the models of each family take, by the beginning of their names; the first that fits."""


def names(keras: ModuleType) -> list[str]:
    """Return the names of the models of keras.applications."""
    zoo = keras.applications
    return [name for name in dir(zoo) if name[0].isupper() and callable(getattr(zoo, name))]


def pixel_scale(name: str) -> PixelScale | None:
    """Return the pixel values that the model of keras.applications with this name takes; None for other names."""
    plain = _plain(name)
    return next((scale for family, scale in FAMILIES.items() if plain.startswith(family.lower())), None)


def load(spec: str, pretrained: bool = True) -> Model:
    """Load a model of keras.applications, such as `ResNet50`.

    Raises:
        ModelError: If there is no model of that name, or its weights are not on this machine and cannot be downloaded.
        MissingExtra: If Keras or its backend is not installed.
    """
    keras = need_keras(f"keras:{spec}")
    known = names(keras)
    name = next((k for k in known if k.lower() == spec.lower()), None)
    if name is None:
        raise ModelError(f"keras.applications has no model {spec!r}.{nearest(spec, known)} Known: {', '.join(known)}.")
    if pretrained and not _is_cached(name) and not is_reachable(HOST):
        raise ModelError(
            f"keras:{name} needs its pretrained weights, which are not in {cache_folder()}, and {HOST} cannot be "
            f"reached. Put the file that Keras downloads there, or pass a model file: --model model.keras. "
            "`camlucida demo` and --model toybox need no download."
        )
    try:
        keras_model = getattr(keras.applications, name)(weights="imagenet" if pretrained else None)
    except Exception as error:  # Keras raises a bare Exception for a failed download
        text = " ".join(printable(error, 400).split())[:300]
        raise ModelError(f"keras:{name} cannot be loaded: {text}") from None
    network = keras_network(keras_model)
    scale = pixel_scale(name)
    assert scale is not None, name
    return Model(network, with_scale(scale, input_size(network), 3, crop=True), imagenet_names())


def cache_folder() -> Path:
    """Return the folder in which Keras caches weights."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"


def _is_cached(name: str) -> bool:
    """Return whether a file with the classifier weights of a model is in Keras's cache, judging by its name."""
    if not cache_folder().is_dir():
        return False
    files = [_plain(file.name) for file in cache_folder().iterdir() if "notop" not in file.name.lower()]
    prefixes = [_plain(name)]
    if name == "MobileNet":
        prefixes = ["mobilenet10"]
    if name.startswith("MobileNetV3"):
        prefixes = [f"weights{_plain(name)}"]
    return any(file.startswith(prefix) for file in files for prefix in prefixes)


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
