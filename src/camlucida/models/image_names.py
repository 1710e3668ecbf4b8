"""Names of the inputs of a network that are images, checked against the signature of its `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from camlucida.errors import ModelError, nearest
from camlucida.layer_names import without_wrappers
from camlucida.models.preprocessing import Preprocessing, make_preprocessing
from camlucida.options import shown

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def forward_parameters(network: nn.Module) -> dict[str, inspect.Parameter]:
    """Return the parameters of a network's `forward` by name, without `self`; empty where they cannot be read."""
    try:
        return dict(inspect.signature(without_wrappers(network).forward).parameters)
    except (TypeError, ValueError):
        return {}


def image_names(network: nn.Module, image: Any) -> tuple[str, ...]:
    """Return the names of the inputs that are images.

    Args:
        network: The network.
        image: The name of a parameter of `forward`, or the index of a positional one; a list or tuple for several
            images; None for none.

    Raises:
        ModelError: `forward` has no such parameter, or it is named twice.
    """
    if image is None:
        return ()
    specs = list(image) if isinstance(image, list | tuple) else [image]
    names = tuple(_name(network, spec) for spec in specs)
    if not names or len(set(names)) < len(names):
        raise ModelError(f"image names inputs of the network, each once, not {shown(image)}.")
    return names


def _name(network: nn.Module, spec: Any) -> str:
    parameters = forward_parameters(network)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = {name: p for name, p in parameters.items() if p.kind in (*_POSITIONAL, p.KEYWORD_ONLY)}
    listed = f"{type(network).__name__}.forward takes {', '.join(known) or 'no named inputs'}"
    if isinstance(spec, int) and not isinstance(spec, bool):
        positional = [name for name, p in known.items() if p.kind in _POSITIONAL]
        if not -len(positional) <= spec < len(positional):
            raise ModelError(f"no input at index {spec}: {listed}.")
        spec = positional[spec]
    if not isinstance(spec, str):
        raise ModelError(f"image is the name or the index of an input of the network, not {shown(spec)}.")
    if spec in known and known[spec].kind is inspect.Parameter.POSITIONAL_ONLY:
        raise ModelError(
            f"the input {spec!r} of {type(network).__name__}.forward is positional only, and inputs are passed by "
            "name. Put the network into a module whose forward names its inputs."
        )
    if spec not in known and not takes_any:
        raise ModelError(f"no input {spec!r}: {listed}.{nearest(spec, known)}")
    return spec


def image_preprocessings(names: Sequence[str], preprocess: Any, **numbers: Any) -> dict[str, Preprocessing]:
    """Return the preprocessing of every image by its name, for a network with several.

    Args:
        names: Names of the images.
        preprocess: By name, what `make_preprocessing` takes, or a dict of its parameters: {"size": 64, "mean": [0.5]}.
        **numbers: Parameters of `make_preprocessing` that override those of all images.

    Raises:
        ModelError: `preprocess` names other inputs than the images, or a preprocessing is invalid.
    """
    if set(preprocess) != set(names):
        raise ModelError(
            f"preprocess is a dict with one entry per image, {', '.join(names) or 'named by image='}, "
            f"not {', '.join(map(str, preprocess)) or 'an empty one'}."
        )
    of_image = {}
    for name in names:
        value = preprocess[name]
        parameters = {**value, **numbers} if isinstance(value, dict) else numbers
        of_image[name] = make_preprocessing(None if isinstance(value, dict) else value, **parameters)
    return of_image
