"""What a file may name. A weights file, a run or a report never chooses code to run or an address to ask.

`registered` is the one function that decides which architectures a file may name. Every reader that turns a name found
in a file into a network (the metadata of a checkpoint, the model.json of a run, the run.json of an evaluation) calls
it, directly or through `camlucida.models.load`. What it refuses has to be typed by the user.
"""

from __future__ import annotations

import re
from typing import Any

from camlucida.errors import ModelError
from camlucida.models import small_cnn, timm_models, torchvision_models
from camlucida.models.quoting import quoted
from camlucida.models.toybox_weights import NETWORKS

ARCHITECTURES = "torchvision's classifiers, timm's registered names, toybox and small"

_TORCHVISION = re.compile(
    r"(?:torchvision:|torchvision\.models\.)?([A-Za-z0-9_]{1,60})(@[A-Za-z0-9_]{1,40})?", re.ASCII
)
_TIMM = re.compile(r"timm:([a-z0-9_]{1,80})(\.[a-z0-9_]{1,80})?", re.ASCII)
_TOYBOX = re.compile(r"toybox(?::([a-z]{1,20}))?", re.ASCII)


def registered_spec(name: Any) -> str | None:
    """Return the spec of the architecture that a file names, or None if a file may not name it.

    Args:
        name: What stands in the file; of any type, since a file can hold anything.

    Returns:
        A spec for `load` that stands for an entry of a closed registry: `resnet50`, `timm:convnext_tiny.fb_in22k`,
        `toybox:vgg` or `small`. Never a function to call, a path, a nested spec or an address.

    Raises:
        MissingExtra: If the name is one of timm's and timm is not installed.
    """
    if not isinstance(name, str):
        return None
    if name == small_cnn.NAME:
        return name
    if match := _TOYBOX.fullmatch(name):
        return name if match[1] is None or match[1] in NETWORKS else None
    if match := _TIMM.fullmatch(name):
        return name if timm_models.is_registered(match[1]) else None
    match = _TORCHVISION.fullmatch(name)
    if match is None or match[1].lower() not in torchvision_models.classifier_names():
        return None
    weights = match[2] or ""
    return match[1] + weights if torchvision_models.has_weights(match[1], weights.removeprefix("@")) else None


def architecture_named(name: Any, *, by: str, instead: str) -> str:
    """Return the spec of the architecture that a file names, or refuse it.

    Args:
        name: What stands in the file.
        by: The name of the file, for the message.
        instead: What the user can do, a sentence.

    Returns:
        A spec for `load`, as of `registered`.

    Raises:
        ModelError: If a file may not name it.
    """
    spec = registered_spec(name)
    if spec is None:
        raise ModelError(
            f"{by} names {quoted(name)} as its architecture. A file may only name {ARCHITECTURES}, so that opening it "
            f"neither runs code nor asks another machine. {instead}"
        )
    return spec
