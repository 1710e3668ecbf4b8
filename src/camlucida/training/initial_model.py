"""The network that a training begins with: a backbone with or without what it learned before, and a new head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from camlucida.errors import ModelError
from camlucida.models.heads import Head, replace_head
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.small_cnn import NAME


def build_initial(
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
    preprocess = model.preprocessing if size is None else with_input_size(model.preprocessing, size)
    torch.manual_seed(seed)
    return Model(replace_head(model.network, len(classes), head, preprocess.size), preprocess, classes)


def with_input_size(preprocess: Preprocessing, size: int) -> Preprocessing:
    """The same for another input, cutting off as large a share as before."""
    resize = None if preprocess.resize is None else round(preprocess.resize * size / min(preprocess.size))
    return replace(preprocess, size=(size, size), resize=resize)
