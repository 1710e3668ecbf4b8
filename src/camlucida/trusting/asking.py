"""One map of one picture and one class, as evidence: what all that doubts it begins with."""

from __future__ import annotations

import dataclasses
import operator
import re
import zlib
from collections.abc import Mapping
from typing import Any

import torch

from camlucida.data.datasets import Item
from camlucida.data.images import Source, load_image
from camlucida.error_context import name_of
from camlucida.errors import MethodError, TargetError
from camlucida.evidence import Evidence, OfMethod
from camlucida.methods import find
from camlucida.model_input import Sight, look
from camlucida.models.model import Model
from camlucida.options import shown
from camlucida.request import check_layer, one_layer
from camlucida.seeds import check_seed
from camlucida.targets import class_index
from camlucida.types import ProgressCallback


def evidence_of(
    model: Model,
    image: Source,
    *,
    method: Any = "grad_cam",
    layer: Any = None,
    target: str | int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    name: str = "",
) -> Evidence:
    """The map of a class by a method, with everything that can be asked about it.

    method, layer, target, options   as of `explain`; one of each, and the target is a class
    seed      of every choice by chance
    progress  told how far methods are that run the network many times
    name      of the picture, where it has none

    Raises `CamlucidaError`s as `explain` does, and `TargetError` for what is no class and for a single output.
    """
    name = name or name_of(image)
    picture = load_image(image)
    # Chance goes by the name, and arrays have none of their own, nor are files of two folders told apart by theirs.
    item = Item(picture, f"{name} {zlib.crc32(picture.tobytes()):08x}")
    sight = look(model, item, None, seed=check_seed(seed))
    if len(sight.logits) < 2:
        raise TargetError("trust tells a class from others, and this network has a single output.")
    if isinstance(method, list | tuple):
        raise MethodError(f"trust is about the map of one method, not {shown(method)}.")
    asked = find(method)
    check_layer(asked, layer)
    if not asked.fuses:
        one_layer(layer, "trust is about")
    explainer = OfMethod((asked, asked.with_options(dict(options or {}))), layer, tick=progress)
    sight = dataclasses.replace(sight, target=_class(target, sight))
    raw = explainer.maps(sight, sight.inputs, torch.tensor([sight.target]))[0]
    return Evidence(sight, explainer, raw)


def _class(asked: Any, sight: Sight) -> int:
    if asked is None:
        return int(sight.logits.argmax())
    count = len(sight.logits)
    if isinstance(asked, str) and not re.fullmatch(r"\s*[0-9]{1,18}\s*", asked):
        if " rather than " in asked or asked.lower().startswith("not "):
            raise TargetError(f"trust is about one class, and {asked!r} is a comparison. Choose a class.")
        return class_index(asked, sight.model.labels)
    if isinstance(asked, str):
        asked = int(asked)
    try:
        if isinstance(asked, bool):
            raise TypeError
        index = operator.index(asked)
    except TypeError:
        raise TargetError(f"trust is about a class: a name or an index, not {shown(asked)}.") from None
    if not 0 <= index < count:
        raise TargetError(f"no class {index}: the model has {count}, from 0 to {count - 1}.")
    return index
