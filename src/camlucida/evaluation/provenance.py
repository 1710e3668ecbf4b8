"""Provenance checks: whether a run was made with given model weights and images, by the hashes in its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camlucida.data.datasets import Dataset, dataset_hash, sample_indices
from camlucida.models.model import Model


def weights_mismatch(plan: Mapping[str, Any], model: Model) -> str:
    """Return how the model's weights differ from those of the run, or ""."""
    if model.weights_hash == plan["weights"]:
        return ""
    return f"the model's weights have changed: their hash is {model.weights_hash}, not {plan['weights']}"


def other_images(plan: Mapping[str, Any], data: Dataset, known: str | None = None) -> str:
    """Return how the data set differs from that of the run, or "".

    Args:
        plan: The record of the run.
        data: The data set.
        known: The hash of these images, if it has just been computed.
    """
    current = known or dataset_hash(data, sample_indices(len(data), plan["n_images"], plan["seed"]))
    if current == plan["data_hash"]:
        return ""
    return f"the images, labels, boxes or masks of {data.name} have changed"


def mismatch(plan: Mapping[str, Any], model: Model | None, data: Dataset | None) -> str:
    """Return how the model or the data set differs from that of the run, or ""."""
    reason = weights_mismatch(plan, model) if model is not None else ""
    return reason or (other_images(plan, data) if data is not None else "")
