"""The inputs of all reliability tests: one map of one image and one class."""

from __future__ import annotations

import dataclasses
import operator
import zlib
from collections.abc import Mapping
from typing import Any

import torch

from camlucida.attribution.error_context import source_name
from camlucida.attribution.load_input import Decoded, ImageInput, decode
from camlucida.attribution.method_choice import check_applicable, or_default
from camlucida.attribution.request import check_layer, one_layer
from camlucida.class_lookup import index_of
from camlucida.data.datasets import Item
from camlucida.errors import MethodError, TargetError
from camlucida.evaluation.metric_inputs import MethodExplainer, MetricInputs
from camlucida.evaluation.model_input import ModelInput, prepare_input
from camlucida.layer_names import layer_names
from camlucida.methods import find
from camlucida.models.model import Model
from camlucida.options import shown
from camlucida.seeds import check_seed
from camlucida.types import ProgressCallback


def metric_inputs_of(
    model: Model,
    image: ImageInput,
    *,
    method: Any = None,
    layer: Any = None,
    target: str | int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    name: str = "",
) -> MetricInputs:
    """Compute the map of a class and collect what tests and metrics need to know about it.

    Args:
        model: The model.
        image: The image.
        method: One attribution method, as in `explain`; None for the default one.
        layer: One layer, as in `explain`.
        target: One class, by name or index; None for the predicted class.
        options: Options of the method.
        seed: Seed of all random choices.
        progress: Called with the progress of methods that run the network many times.
        name: Name of the image, where the source has none.

    Returns:
        The metric inputs of this one map.

    Raises:
        CamlucidaError: As in `explain`.
        TargetError: If the target is not a class, or the network has a single output.
    """
    name, layer = name or source_name(image), layer_names(model.network, layer)
    decoded: Any = decode(model.preprocessing, image)
    # Random choices are seeded by the name of the item. Arrays have no name, and files in different folders can
    # share one, so a checksum of the pixels is appended.
    item = Item(decoded, f"{name} {zlib.crc32(_to_bytes(decoded)):08x}")
    model_input = prepare_input(model, item, None, seed=check_seed(seed))
    activation = model_input.activation
    if not activation.has_probabilities:
        raise TargetError(f"trust tests the probability of a class, and there is none: {activation.describe()}.")
    if len(model_input.logits) < 2:
        raise TargetError(
            "trust compares the maps of several classes, and this network has a single output. If it is a binary "
            "classifier, name both classes: labels=[negative, positive]."
        )
    if isinstance(method, list | tuple):
        raise MethodError(f"trust tests the map of one method, not {shown(method)}.")
    chosen_method = find(or_default(method, model))
    check_applicable([chosen_method], model.network)
    check_layer(chosen_method, layer)
    if not chosen_method.fuses_layers:
        one_layer(layer, "trust tests")
    explainer = MethodExplainer(
        (chosen_method, chosen_method.with_options(dict(options or {}))), layer, progress=progress
    )
    model_input = dataclasses.replace(model_input, target=_class_index(target, model_input))
    raw = explainer.maps(model_input, model_input.inputs, torch.tensor([model_input.target]))[0]
    return MetricInputs(model_input, explainer, raw)


def _to_bytes(decoded: Decoded) -> bytes:
    """Return the values of an image, for a checksum."""
    return decoded.cpu().numpy().tobytes() if isinstance(decoded, torch.Tensor) else decoded.tobytes()


def _class_index(target: Any, model_input: ModelInput) -> int:
    """Return the index of the target class, or of the predicted class for None."""
    if target is None:
        return int(model_input.logits.argmax())
    n_classes = len(model_input.logits)
    if isinstance(target, str):
        if " rather than " in target or target.lower().startswith("not "):
            raise TargetError(f"trust tests the map of one class, and {target!r} is a comparison. Choose a class.")
        return index_of(target, model_input.model.labels, n_classes)
    try:
        if isinstance(target, bool):
            raise TypeError
        index = operator.index(target)
    except TypeError:
        raise TargetError(f"the target of trust is the name or the index of a class, not {shown(target)}.") from None
    if not 0 <= index < n_classes:
        raise TargetError(f"no class {index}: the model has {n_classes} classes, from 0 to {n_classes - 1}.")
    return index
