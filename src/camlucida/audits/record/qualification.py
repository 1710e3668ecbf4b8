"""What qualifies the method of an audit: comparison with uninformative maps, and agreement of retrained models."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from camlucida.audits.audit_result import Audit
from camlucida.audits.plan import ExplainedClass
from camlucida.audits.record.subgroups import interval_record
from camlucida.data.datasets import subset
from camlucida.errors import DataError
from camlucida.evaluation.baselines import CONTROLS
from camlucida.evaluation.evaluate import evaluate
from camlucida.evaluation.statistics import (
    SIGNIFICANCE_LEVEL,
    Floats,
    holm_correction,
    paired_differences,
    percentile_interval,
    resampled_means,
    resamples,
    wilcoxon_p,
)
from camlucida.evaluation.store import read_table
from camlucida.maps import spearman
from camlucida.methods import find
from camlucida.types import ProgressCallback

N_IMAGES = 64
"""Images on which the method is compared with uninformative maps."""

UNINFORMATIVE = ("random_cam", "centre", "uniform")
"""What the method must be better than: random weights of the same channels, a Gaussian at the centre, a constant."""

MIN_IMAGES = 8
"""Smallest number of images of a comparison: below it, no difference is significant after Holm's correction."""

N_MAPS = 2000
"""Images whose maps are compared between retrained models."""


def explained_method(audit: Audit) -> tuple[str, Any]:
    """Return the name of the audit's first method, without a layer, and its layer; None for the default layer."""
    entry = audit.plan["methods"][0]
    return entry.get("method", entry["name"]), entry.get("layer", audit.plan.get("layer"))


def controls(
    audit: Audit, seed: int = 0, n_images: int = N_IMAGES, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Compare the audit's first method with uninformative maps by the energy in the box.

    Args:
        audit: The audit, with its model and data.
        seed: Seed of the choice of images, the random maps and the bootstrap.
        n_images: Number of images with a box or mask, chosen at random.
        progress: Called with the number of finished images and the total.

    Returns:
        "status", and for each control its mean energy and the paired difference of the method to it, with intervals
        and p-values of Wilcoxon's test, corrected by Holm's method. "qualified": whether the method is better than all.
    """
    if audit.has_targets:
        return _not_measured(
            "the rows are the boxes, regions or words of images; evaluate with target='all' compares their maps with "
            "uninformative ones"
        )
    method, layer = explained_method(audit)
    candidates = [int(i) for i in np.flatnonzero(np.isfinite(audit.column("energy_in_box").astype(np.float64)))]
    if min(n_images, len(candidates)) < MIN_IMAGES:
        return _not_measured(
            f"it takes at least {MIN_IMAGES} images with a box or mask and a map with positive evidence, and there are "
            f"{min(n_images, len(candidates))}"
        )
    if audit.model is None or audit.data is None:
        return _not_measured("the model and the data were not available")
    rng = np.random.default_rng(seed)
    chosen = sorted(int(i) for i in rng.choice(candidates, min(n_images, len(candidates)), replace=False))
    data = subset(audit.data, [audit.rows[i]["index"] for i in chosen])
    methods = [method] if method == "random_cam" or not find(method).needs_layer else [method, "random_cam"]
    with tempfile.TemporaryDirectory(prefix="camlucida-") as out:
        evaluate(
            audit.model,
            data,
            methods=methods,
            metrics=["energy"],
            layer=layer,
            controls=[control for control in CONTROLS if control.name in UNINFORMATIVE],
            seed=seed,
            out=out,
            progress=progress,
        )
        rows = read_table(Path(out) / "results.parquet").to_pylist()
    return _compared(method, rows, seed)


def _compared(method: str, rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Return the comparison of a method with all other maps in the rows of an evaluation."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        if row["metric"] == "energy" and row["value"] is not None:
            values[row["method"]][row["index"]] = row["value"]
    own = values.pop(method, {})
    entries: list[dict[str, Any]] = []
    p_values: list[float] = []
    for name, energies in sorted(values.items()):
        shared = sorted(own.keys() & energies.keys())
        if not shared:
            continue
        first, second = (np.array([of[i] for i in shared]) for of in (own, energies))
        differences = paired_differences(first, second)
        mean = _mean(differences, seed)
        p_values.append(wilcoxon_p(differences))
        entries.append({"name": name, "n": len(shared), "energy": float(second.mean()), "difference": mean})
    if not entries:
        return _not_measured("no map of the method could be compared")
    for entry, p in zip(entries, holm_correction(p_values), strict=True):
        low = entry["difference"]["low"]
        entry |= {"p_corrected": p, "method_is_better": low is not None and low > 0 and p <= SIGNIFICANCE_LEVEL}
    return {
        "status": "measured",
        "metric": "energy",
        "method": method,
        "n": len(own),
        "energy": _mean(np.array(list(own.values())), seed),
        "controls": entries,
        "qualified": all(entry["method_is_better"] for entry in entries),
    }


def reproducibility(audit: Audit, retrained: Sequence[Audit], seed: int = 0) -> dict[str, Any]:
    """Compare the maps with those of retrained models on the same images, by Spearman's rank correlation.

    Compared are the maps of the true class, so that both models explain the same; of images without a label those of
    the predicted class, where both predict the same.

    Args:
        audit: The audit.
        retrained: Audits of models of the same architecture that were trained again, of the same data and method.
        seed: Seed of the choice of images and of the bootstrap.

    Raises:
        DataError: If an audit is of other images, or has no such method.
    """
    if not retrained:
        return _not_measured("no audits of retrained models were given")
    method = audit.store.method_names[0]
    entries = [_agreement(audit, other, method, seed) for other in retrained]
    return {"status": "measured", "measure": "Spearman's rank correlation of maps", "method": method, "models": entries}


def _agreement(audit: Audit, other: Audit, method: str, seed: int) -> dict[str, Any]:
    if other.plan["data_hash"] != audit.plan["data_hash"]:
        raise DataError(f"{other.path} is an audit of other images than {audit.path}: their maps cannot be compared.")
    if method not in other.store.method_names:
        raise DataError(f"{other.path} has no maps of {method}: it has {', '.join(other.store.method_names)}.")
    labelled = any(value is not None for value in audit.column("label_index"))
    explained: ExplainedClass = "true" if labelled else "predicted"
    first, second = audit.maps(method, explained), other.maps(method, explained)
    if first.shape != second.shape:
        raise DataError(
            f"{other.path} has maps of {second.shape[1:]} positions, and {audit.path} of {first.shape[1:]}."
        )
    usable = np.isfinite(first).all((1, 2)) & np.isfinite(second).all((1, 2))
    if not labelled:
        usable &= audit.column("predicted_index") == other.column("predicted_index")
    chosen = np.flatnonzero(usable)
    if len(chosen) > N_MAPS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, N_MAPS, replace=False))
    correlations = spearman(*(torch.from_numpy(maps[chosen].astype(np.float32)) for maps in (first, second))).numpy()
    correlations = correlations[np.isfinite(correlations)].astype(np.float64)
    same = audit.column("predicted_index") == other.column("predicted_index")
    return {
        "path": str(other.path),
        "weights": other.plan["weights"],
        "same_weights": other.plan["weights"] == audit.plan["weights"],
        "class": explained,
        "n": len(correlations),
        "rank_correlation": _mean(correlations, seed) if len(correlations) else interval_record(*(3 * [float("nan")])),
        "same_prediction": float(same.mean()),
    }


def _mean(values: Floats, seed: int) -> dict[str, float | None]:
    """Return the mean of values `(n,)` with its bootstrap interval."""
    drawn = np.concatenate(
        [resampled_means(draws, values[:, None])[:, 0] for draws in resamples(len(values), seed=seed)]
    )
    interval = percentile_interval(float(values.mean()), drawn, len(values))
    return interval_record(interval.value, interval.low, interval.high)


def _not_measured(reason: str) -> dict[str, Any]:
    return {"status": "not measured", "reason": reason}
