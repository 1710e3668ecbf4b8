"""Models from Keras: files in the formats .keras and .h5, and models of the user's program."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camlucida.errors import CheckpointWarning, ModelError
from camlucida.layer_names import layer_names
from camlucida.models.keras.applications import pixel_scale
from camlucida.models.keras.backends import need_keras
from camlucida.models.keras.network import KerasNetwork, keras_network
from camlucida.models.keras.preprocessing import (
    DESCRIPTIONS,
    PixelScale,
    input_size,
    n_channels,
    norm_says_bytes,
    scale_inside,
    with_scale,
)
from camlucida.models.labels import class_names, imagenet_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing
from camlucida.models.quoting import printable

SUFFIXES = (".keras", ".h5", ".hdf5")
"""Suffixes of files that hold a Keras model with its weights."""


def load_file(path: Path) -> Model:
    """Load a Keras model from a file. Code in the file is never run.

    Raises:
        ModelError: If the file holds no model, is damaged, or needs code to be run.
        MissingExtra: If Keras or its backend is not installed.
    """
    keras = need_keras(path.name)
    if path.suffix.lower() != ".keras":
        need_h5py(path)
    try:
        keras_model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises errors of many types
        raise ModelError(_load_message(path, error)) from None
    return wrap_keras(keras_model)


def need_h5py(path: Path) -> None:
    """Raise `MissingExtra` where the reader of HDF5 files is not installed."""
    from camlucida._optional import need

    need("h5py", extra="keras", what=path.name)


def _load_message(path: Path, error: Exception) -> str:
    text = " ".join(printable(error, 2000).split())
    lowered = text.lower()
    if "lambda" in lowered or "safe_mode" in lowered or "unsafe" in lowered:
        return (
            f"{path.name} contains a Lambda layer, that is Python code which loading would run. If you trust its "
            "author, load it in Python with keras.saving.load_model(…, safe_mode=False) and pass it to camlucida.wrap."
        )
    if "no model config" in lowered or ("weights" in lowered and "only" in lowered):
        return (
            f"{path.name} contains weights without a model. Build the model in Python, load them with "
            "model.load_weights(…), and pass it to camlucida.wrap."
        )
    if "could not locate" in lowered or "unknown layer" in lowered or "custom" in lowered:
        return (
            f"{path.name} contains {_custom_class(text)}, whose code is not in the file. Load it in a program that "
            "imports the class, with keras.saving.load_model(…, custom_objects=…), and pass it to camlucida.wrap."
        )
    return f"{path.name} cannot be loaded by Keras: {text[:300]}"


def _custom_class(text: str) -> str:
    """Return the name of the class that Keras's message says is missing."""
    found = re.search(r"(?:locate class|Unknown (?:layer|object)):? '(\w+)'", text)
    return f"the author's class {found[1]}" if found else "a class of the author"


def wrap_keras(
    keras_model: Any,
    *,
    preprocess: Any = None,
    numbers: Mapping[str, Any] | None = None,
    labels: Any = None,
    layer: Any = None,
    output: Any = None,
    task: Any = None,
    probabilities: bool | None = None,
    name: str = "",
) -> Model:
    """Make a model of a Keras model; the parameters are those of `camlucida.wrap`.

    Without `preprocess`, the preprocessing is that of keras.applications for a model of that name, or follows from a
    Rescaling or Normalization layer at the beginning of the model. Otherwise pixels from 0 to 1 are assumed, and a
    `CheckpointWarning` says so.
    """
    network = keras_network(keras_model)
    given = dict(numbers or {})
    if preprocess is None:
        default, remark = default_preprocessing(network, keras_model)
        if remark and not {"mean", "std"} & given.keys():
            warnings.warn(remark, CheckpointWarning, stacklevel=3)
        made = _with_numbers(default, given)
    else:
        made = make_preprocessing(preprocess, **given)
    names = class_names(labels) if labels is not None else _default_names(keras_model)
    return Model(network, made, names, layer_names(network, layer), output, name, task, probabilities)


def _with_numbers(default: Preprocessing, numbers: Mapping[str, Any]) -> Preprocessing:
    return make_preprocessing(default, **numbers) if numbers else default


def default_preprocessing(network: KerasNetwork, keras_model: Any) -> tuple[Preprocessing, str]:
    """Return the preprocessing of a model, and a sentence about what was assumed; empty if it is known."""
    if not network.has_image_input():
        return Preprocessing(), ""
    size, channels = input_size(network), n_channels(network)
    inside = scale_inside(keras_model)
    family, of_name = _family(keras_model)
    by_norm = inside is None and family is None and norm_says_bytes(network, keras_model)
    scale: PixelScale = inside or family or ("bytes" if by_norm else "unit")
    whole = family is not None and _n_outputs(keras_model) == 1000
    made = with_scale(scale, size, channels, crop=whole)
    if inside is not None:
        return made, ""
    origin = (
        f"as keras.applications uses them for a model called {of_name!r}"
        if family is not None
        else "by the statistics of its first batch norm"
        if by_norm
        else "since the model contains no layer that rescales them"
    )
    return made, (
        f"{keras_model.name}: {DESCRIPTIONS[scale]} are assumed, {origin}. If it was trained on others, pass mean=… "
        "and std=… in Python: mean=[0, 0, 0], std=[1 / 255] * 3 for pixels from 0 to 255."
    )


def _family(keras_model: Any) -> tuple[PixelScale | None, str]:
    """Return the pixel values of the keras.applications model that this model is called like, or begins with."""
    for candidate in (keras_model, *getattr(keras_model, "layers", [])):
        if hasattr(candidate, "layers") and (scale := pixel_scale(candidate.name)) is not None:
            return scale, str(candidate.name)
    return None, ""


def _n_outputs(keras_model: Any) -> int | None:
    shape = getattr(keras_model, "output_shape", None)
    return shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else None


def _default_names(keras_model: Any) -> tuple[str, ...]:
    """Return the class names of ImageNet for a model of keras.applications with 1000 classes."""
    is_known = pixel_scale(keras_model.name) is not None and _n_outputs(keras_model) == 1000
    return imagenet_names() if is_known else ()
