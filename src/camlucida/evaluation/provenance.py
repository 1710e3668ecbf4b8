"""Whether a run is about this model and these pictures: its record holds a hash of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camlucida.data.datasets import Dataset, dataset_hash, sample_indices
from camlucida.models.model import Model


def weights_mismatch(plan: Mapping[str, Any], model: Model) -> str:
    """How the model is not the one of the run, or nothing."""
    if model.weights_hash == plan["weights"]:
        return ""
    return f"the model's weights are {model.weights_hash} now, and were {plan['weights']}"


def other_images(plan: Mapping[str, Any], data: Dataset, known: str | None = None) -> str:
    """How the data set is not the one of the run, or nothing.

    known  the identity of these pictures, where it has just been computed
    """
    current = known or dataset_hash(data, sample_indices(len(data), plan["pictures"], plan["seed"]))
    if current == plan["data_hash"]:
        return ""
    return f"{data.name} has other pictures, labels or boxes now, or other masks"


def mismatch(plan: Mapping[str, Any], model: Model | None, data: Dataset | None) -> str:
    """What of the model and the data is not as it was when the run was made, or nothing."""
    reason = weights_mismatch(plan, model) if model is not None else ""
    return reason or (other_images(plan, data) if data is not None else "")
