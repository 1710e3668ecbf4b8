"""The batch size of an audit, from a memory budget and the memory that the network needs per image."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from camlucida.attribution.attributions import attributions
from camlucida.attribution.batch_size import MAX_BYTES
from camlucida.attribution.output_reader import predict
from camlucida.audits.chunk_arrays import check_distinct_layers
from camlucida.audits.plan import AuditPlan, LayerRun
from camlucida.evaluation import batch_size
from camlucida.methods import Combined, Method, find

ONE_RUN_INPUTS = frozenset(
    {"activations", "gradients", "head_weights", "inputs", "score", "input_gradients", "attention"}
    | {"attention_gradients", "guided", "deconvolved", "relevance", "layer_relevance", "report"}
)
"""Inputs of methods that run the network once. Others run it in batches of their own, which do not grow with ours."""


def batch_size_for(plan: AuditPlan, max_bytes: int = MAX_BYTES) -> int:
    """Return the largest batch size whose tensors fit into a memory budget, see `measured_batch_size`.

    Args:
        plan: The plan, with any batch size.
        max_bytes: As of `measured_batch_size`.

    Raises:
        CamlucidaError: As of `measured_batch_size`.
    """
    return batch_size.measured_batch_size(plan, _explainer(plan), max_bytes)


def peak_bytes(plan: AuditPlan, inputs: Tensor) -> int:
    """Return the largest number of bytes that the tensors made while a batch is explained take at the same time.

    Args:
        plan: The plan. Methods that run the network many times are left out: they choose their own batches.
        inputs: Network inputs `(b, c, H, W)`.
    """
    return batch_size.peak_bytes(_explainer(plan), inputs)[1]


def _explainer(plan: AuditPlan) -> batch_size.Explain:
    """Return the function that explains a batch, without the methods that run the network many times."""
    runs = [run for run in map(_only_one_run, plan.runs) if run is not None]

    def explain(inputs: Tensor) -> Tensor:
        targets = ["top2", torch.zeros(len(inputs), dtype=torch.long)]
        results = [attributions(plan.model, inputs, run.request(targets)) for run in runs]
        for run, result in zip(runs, results, strict=True):
            check_distinct_layers(run, result)
        return results[0].output if results else predict(plan.model, inputs)[0]

    return explain


def _only_one_run(run: LayerRun) -> LayerRun | None:
    """Return the run without the methods that run the network many times; grad_cam at its layers if none is left."""
    kept = tuple(request for request in run.methods if _is_one_run(request[0]))
    if run.channels and not any(method.needs_layer for method, _ in kept):
        method = find("grad_cam")
        kept = ((method, method.with_options({})), *kept)
    return replace(run, methods=kept) if kept else None


def _is_one_run(method: Method | Combined) -> bool:
    return isinstance(method, Method) and set(method.needs) <= ONE_RUN_INPUTS
