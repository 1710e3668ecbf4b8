"""Which of a network's inputs is the image: named by the user, or the only one that can be."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.image_axes import is_image
from camlucida.engine.named_inputs import NamedInputs, named_image
from camlucida.errors import ImageError, MethodError, ModelError, nearest
from camlucida.models.model import Model


def image_of(inputs: Any) -> Tensor:
    """Return the image among a network's inputs, for methods that vary the image.

    Raises:
        MethodError: The network takes several inputs, and it is not known which one is the image.
    """
    image = named_image(inputs)
    if image is None:
        raise MethodError(
            "this method varies the image, and the network takes several inputs: name the one that is the image with "
            'wrap(network, image="x"), two images with image=("left", "right").'
        )
    return image


def name_inputs(model: Model, network: nn.Module, inputs: Any) -> Any:
    """Return the inputs of a network by name, with the name of the image, where that is known.

    Args:
        model: The model. An image that it names is passed to the network by its name, with the inputs that it holds.
        network: The network's copy.
        inputs: A tensor, or the arguments as a tuple or dict.

    Returns:
        `NamedInputs`; `inputs` unmodified for a tensor of a network of one input, and where several inputs may be the
        image.

    Raises:
        ModelError: The model names several images, or an image that is not in the inputs.
        ImageError: The image is no batch of images.
    """
    if len(model.image) > 1:
        raise ModelError(
            f"{model.name} takes several images, {', '.join(model.image)}, and one was given: attribute and explain "
            f"take a dict of all; elsewhere, model.of_image({model.image[0]!r}).hold({model.image[1]}=…) takes one."
        )
    if not model.image:
        if isinstance(inputs, Tensor):
            _check_complete(model, network, None, ())
        return _with_the_only_image(network, inputs)
    (name,) = model.image
    if isinstance(inputs, Tensor):
        _check_complete(model, network, name, model.held)
        return NamedInputs({name: inputs, **_repeated(model.held, len(inputs))}, name)
    arguments = _by_name(network, inputs)
    if arguments is None:
        raise ModelError(
            f"wrap names the image {name!r}, and the inputs, {_listed(inputs)}, have no names that "
            f"{type(network).__name__}.forward knows. Pass a dict of its arguments by name."
        )
    arguments = {**model.held, **arguments}
    if name not in arguments:
        raise ModelError(
            f"the inputs lack the image {name!r}: they are {_listed(arguments)}.{nearest(name, arguments)}"
        )
    _check_complete(model, network, name, arguments)
    return NamedInputs(check_image(name, arguments), name)


def _check_complete(model: Model, network: nn.Module, image: str | None, given: Collection[str]) -> None:
    """Raise `ModelError` if the network takes other inputs than the image and those that are given by name."""
    try:
        parameters = [*inspect.signature(network.forward).parameters.values()]
    except (TypeError, ValueError):
        return
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    known = {p.name: None for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    unknown = [name for name in given if name not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ModelError(
            f"{model.name} has no input {unknown[0]!r}: it takes {', '.join(known)}.{nearest(unknown[0], known)}"
        )
    name = image or next(iter(required), "")
    missing = [other for other in required if other != name and other not in given]
    if not missing or network._forward_pre_hooks:  # a hook may add inputs
        return
    raise ModelError(
        f"{model.name} takes several inputs, {', '.join(required)}, and {' and '.join(missing)} was not given. Name "
        f"the image with wrap(network, image={name!r}), and pass a dict of all inputs to attribute, explain or trust; "
        f"other functions and the page take the same further inputs for every image: model.hold({missing[0]}=…)."
    )


def check_image(name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments unmodified. Raises `ImageError` unless the named one is a batch of images."""
    image = arguments[name]
    if not isinstance(image, Tensor) or not is_image(image) or not image.is_floating_point():
        found = f"a tensor {tuple(image.shape)} of {image.dtype}" if isinstance(image, Tensor) else _kind(image)
        raise ImageError(
            f"the image {name!r} must be a tensor (b, c, H, W), volumes (b, c, D, H, W) or frames (b, t, c, H, W), of "
            f"floating-point numbers, not {found}."
        )
    return arguments


def _with_the_only_image(network: nn.Module, inputs: Any) -> Any:
    """Return the arguments by name if exactly one of them can be an image; else `inputs`."""
    if not isinstance(inputs, tuple | dict):
        return inputs
    candidates = [t for _, t in nested.tensors(inputs) if is_image(t) and t.is_floating_point()]
    arguments = _by_name(network, inputs)
    if len(candidates) != 1 or arguments is None:
        return inputs
    name = next((name for name, value in arguments.items() if value is candidates[0]), None)
    return inputs if name is None else NamedInputs(arguments, name)


def _by_name(network: nn.Module, inputs: Any) -> dict[str, Any] | None:
    """Return arguments of `forward` by name; None where some of them have none."""
    if isinstance(inputs, dict):
        return dict(inputs)
    if not isinstance(inputs, tuple):
        return None
    try:
        bound = inspect.signature(network.forward).bind(*inputs)
    except (TypeError, ValueError):
        return None
    kinds = {bound.signature.parameters[name].kind for name in bound.arguments}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_KEYWORD}:
        return None
    return dict(bound.arguments)


def _repeated(held: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Return held inputs of one image for a batch of n; those of a batch already have its size."""

    def repeated(_: nested.Path, tensor: Tensor) -> Tensor:
        is_one = tensor.ndim and tensor.shape[0] == 1 and n > 1
        return tensor.expand(n, *tensor.shape[1:]) if is_one else tensor

    return {name: nested.transform(value, repeated) for name, value in held.items()}


def _listed(inputs: Any) -> str:
    return ", ".join(map(str, inputs)) if isinstance(inputs, Mapping) else _kind(inputs)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
