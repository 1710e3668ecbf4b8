"""The model before training: a backbone with pretrained or random weights, and a new head."""

from __future__ import annotations

from pathlib import Path

import torch

from camlucida.errors import ModelError
from camlucida.models.heads import Head, replace_head
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.preprocessing import Fit, make_preprocessing
from camlucida.models.small_cnn import NAME


def build_initial(
    arch: str,
    classes: tuple[str, ...],
    *,
    head: Head,
    weights: str | Path | None,
    pretrained: bool,
    size: int | tuple[int, int] | None,
    fit: Fit | None = None,
    seed: int,
    trust_code: bool = False,
) -> Model:
    """Return the model before the first step. The initial weights of its head depend on the seed only."""
    if weights is not None:
        model = load(weights, arch=arch, trust_code=trust_code, device="cpu")
    else:
        torch.manual_seed(seed)
        model = load(arch, pretrained=pretrained and arch != NAME, trust_code=trust_code, device="cpu")
    if len(model.preprocessing.mean) != 3:
        raise ModelError(f"{arch} expects grey images. Only networks for colour images can be trained.")
    preprocess = make_preprocessing(model.preprocessing, size=size, fit=fit or model.preprocessing.fit)
    torch.manual_seed(seed)
    return Model(replace_head(model.network, len(classes), head, preprocess.size), preprocess, classes)
