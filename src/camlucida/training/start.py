"""The network that a training begins with: a backbone with or without what it learned before, and a new head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from camlucida.errors import ModelError
from camlucida.models.heads import Head, with_classes
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.small import NAME


def begun(
    arch: str,
    classes: tuple[str, ...],
    *,
    head: Head,
    weights: str | Path | None,
    pretrained: bool,
    size: int | None,
    seed: int,
    trust_code: bool = False,
) -> Model:
    """The model before its first step; its head depends on the seed alone, whatever was drawn before."""
    if weights is not None:
        model = load(weights, arch=arch, trust_code=trust_code)
    else:
        torch.manual_seed(seed)
        model = load(arch, pretrained=pretrained and arch != NAME, trust_code=trust_code)
    if len(model.preprocessing.mean) != 3:
        raise ModelError(f"{arch} wants grey pictures; only networks for colour pictures can be trained.")
    how = model.preprocessing if size is None else resized(model.preprocessing, size)
    torch.manual_seed(seed)
    return Model(with_classes(model.network, len(classes), head, how.size), how, classes)


def resized(how: Preprocessing, size: int) -> Preprocessing:
    """The same for another input, cutting off as large a share as before."""
    resize = None if how.resize is None else round(how.resize * size / min(how.size))
    return replace(how, size=(size, size), resize=resize)
