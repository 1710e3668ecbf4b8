"""Restriction of the architectures that files may name, so that no file can execute code or cause network access.

`registered_spec` alone decides which architectures a file may name. Every reader that builds a network from a name
found in a file (the metadata of a checkpoint, the model.json of a training run, the run.json of an evaluation) calls
it, directly or through `camlucida.models.load_recorded`. Other architectures have to be given by the user.
"""

from __future__ import annotations

import re
from typing import Any

from camlucida.errors import ModelError
from camlucida.models import small_cnn, timm_models, torchvision_models
from camlucida.models.quoting import quoted
from camlucida.models.toybox_weights import CAPTIONER, DETECTORS, NETWORKS

ARCHITECTURES = (
    "torchvision's classifiers, detectors and segmentation networks, timm's registered names, toybox and small"
)

_TORCHVISION = re.compile(
    r"(?:torchvision:|torchvision\.models\.)?([A-Za-z0-9_]{1,60})(@[A-Za-z0-9_]{1,40})?", re.ASCII
)
_TIMM = re.compile(r"timm:([a-z0-9_]{1,80})(\.[a-z0-9_]{1,80})?", re.ASCII)
_TOYBOX = re.compile(r"toybox(?::([a-z]{1,20}))?", re.ASCII)


def registered_spec(name: Any) -> str | None:
    """Return the specification of the architecture that a file names, or None if a file may not name it.

    Args:
        name: The value in the file, of any type, since a file can contain anything.

    Returns:
        A specification for `load` of an entry in a closed registry: `resnet50`, `timm:convnext_tiny.fb_in22k`,
        `toybox:vgg` or `small`. Never a function to call, a path, a nested specification or a URL.

    Raises:
        MissingExtra: If the name belongs to timm and timm is not installed.
    """
    if not isinstance(name, str):
        return None
    if name == small_cnn.NAME:
        return name
    if match := _TOYBOX.fullmatch(name):
        return name if match[1] is None or match[1] in (*NETWORKS, *DETECTORS, CAPTIONER) else None
    if match := _TIMM.fullmatch(name):
        return name if timm_models.is_registered(match[1]) else None
    match = _TORCHVISION.fullmatch(name)
    if match is None or not torchvision_models.is_known(match[1]):
        return None
    weights = match[2] or ""
    return match[1] + weights if torchvision_models.has_weights(match[1], weights.removeprefix("@")) else None


def architecture_named(name: Any, *, by: str, instead: str) -> str:
    """Return the specification of the architecture that a file names, or raise.

    Args:
        name: The value in the file.
        by: The name of the file, for the message.
        instead: A sentence that tells the user what to do instead.

    Returns:
        A specification for `load`, as returned by `registered_spec`.

    Raises:
        ModelError: If a file may not name the architecture.
    """
    spec = registered_spec(name)
    if spec is None:
        raise ModelError(
            f"{by} names {quoted(name)} as its architecture. A file may only name {ARCHITECTURES}, so that opening it "
            f"neither runs code nor accesses the network. {instead}"
        )
    return spec
