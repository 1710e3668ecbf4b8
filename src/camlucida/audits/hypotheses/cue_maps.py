"""Maps of what is particular to a cluster of channel relevances: where its channels are relevant in each image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from camlucida.attribution.executor import ExecutionRequest, run_attribution
from camlucida.attribution.network_inputs import model_inputs
from camlucida.attribution.output_reader import output_reader
from camlucida.audits.hypotheses.candidates import Floats
from camlucida.audits.hypotheses.scoring import BATCH_SIZE
from camlucida.engine import copy_of, resolve
from camlucida.layer_names import layer_names
from camlucida.models.model import Model
from camlucida.target_specs import parse


def channel_weights(relevance: Floats, members: Floats) -> Tensor:
    """Return the weight `(c,)` of each channel: how much more relevant it is for the members than for the others.

    Args:
        relevance: Relevances `(n, c)` of the images that are not members.
        members: Relevances `(m, c)` of the members.
    """
    difference = _fractions(members).mean(0) - (_fractions(relevance).mean(0) if len(relevance) else 0.0)
    return torch.from_numpy(np.clip(difference, 0, None))


def cue_maps(model: Model, inputs: Tensor, layer: Any, targets: Tensor, weights: Tensor) -> Tensor:
    """Return where the channels of a cue are relevant: the positive part of `sum_k w_k A_k dS/dA_k`, `(n, h, w)`.

    Args:
        model: The model.
        inputs: Network inputs `(n, c, H, W)`.
        layer: The layer of the audit; None for the default one.
        targets: Class of each input `(n,)`, whose score S is.
        weights: Weight w of each channel `(c,)`.
    """
    maps = [
        _weighted(model, part, layer, own, weights)
        for part, own in zip(torch.split(inputs, BATCH_SIZE), torch.split(targets, BATCH_SIZE), strict=True)
    ]
    return torch.cat(maps)


def _weighted(model: Model, inputs: Tensor, layer: Any, targets: Tensor, weights: Tensor) -> Tensor:
    copy, moved = copy_of(model.network), model_inputs(model, inputs)
    chosen = model.layer if layer is None else layer_names(model.network, layer)
    with torch.inference_mode(False), torch.no_grad():
        read = output_reader(model, copy, moved)
        (resolved,) = resolve(copy, moved, [chosen], read)
        request = ExecutionRequest(
            copy,
            (resolved,),
            read,
            frozenset({"gradients"}),
            lambda scores: parse(targets, scores, model.labels, activation=read.activation),
            lambda done, total: None,
        )
        at_layer = run_attribution(request, moved).at_layers[0][0]
    if at_layer.gradients is None:
        return torch.zeros(len(inputs), 1, 1)
    relevance = at_layer.activations * at_layer.gradients
    summed = (relevance * weights.to(relevance)[:, None, None]).sum(1)
    return summed.clamp_min(0).float().cpu()


def _fractions(relevance: Floats) -> Floats:
    """Return the positive relevances, each row divided by its sum."""
    positive = np.clip(np.nan_to_num(relevance.astype(np.float64), nan=0.0), 0, None)
    fractions: Floats = positive / positive.sum(1, keepdims=True).clip(1e-12)
    return fractions
