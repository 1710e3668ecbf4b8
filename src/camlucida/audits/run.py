"""The function `audit`, which explains a data set chunk by chunk, and resumes interrupted runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from camlucida.attribution.explain_request import as_model
from camlucida.attribution.request import MethodSpec, check_layer, check_layer_spec, several_layers
from camlucida.audits.audit_result import Audit
from camlucida.audits.chunks import process_chunk
from camlucida.audits.plan import CHUNK_IMAGES, AuditPlan
from camlucida.audits.store import AuditStore
from camlucida.data.datasets import Dataset, check_dataset, sample_indices
from camlucida.errors import DataError, LayerError, MethodError
from camlucida.evaluation.dataset_pass import outputs_of
from camlucida.evaluation.run_parts import BATCH_SIZE, run_parts
from camlucida.layer_names import LayerSpec, layer_names
from camlucida.methods import find
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments
from camlucida.types import ProgressCallback


@dataclass(frozen=True)
class Shard:
    """One of several processes that share the chunks of an audit: it takes every n-th chunk.

    Attributes:
        index: Number of the process, from 0.
        count: Number of processes.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Raise `DataError` for an impossible shard."""
        if not 0 <= self.index < self.count:
            raise DataError(f"shard {self.index}/{self.count} does not exist: shards count from 0/n to (n - 1)/n.")

    @classmethod
    def of(cls, text: str | None) -> Shard:
        """Return the shard "i/n"; without a text that of the environment variables RANK and WORLD_SIZE, if set.

        Raises:
            DataError: If the text is no shard.
        """
        if text is None:
            rank, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
            if rank is None or world is None:
                return cls()
            text = f"{rank}/{world}"
        index, _, count = text.partition("/")
        if not index.strip().isdigit() or not count.strip().isdigit():
            raise DataError(f"a shard is written i/n, such as 0/4 for the first of four processes, not {text!r}.")
        return cls(int(index), int(count))


@checked_arguments(DataError)
def audit(
    model: Model | nn.Module | str,
    data: Dataset,
    out: str | Path,
    *,
    methods: Sequence[MethodSpec] = ("grad_cam",),
    layer: LayerSpec = None,
    limit: Count | None = None,
    seed: Seed = 0,
    batch_size: Count = BATCH_SIZE,
    chunk_images: Count = CHUNK_IMAGES,
    shard: Shard | str | None = None,
    source: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> Audit:
    """Predict and explain a data set, and store the rows, maps and channel relevances of every image.

    Args:
        model: As for `explain`.
        data: A data set, as `open_dataset` returns it.
        out: The folder of the audit. Chunks that are already there are not measured again, so that an interrupted audit
            resumes when it is started again.
        methods: Names of methods, with or without options and combinators. The first one sets the columns without a
            prefix.
        layer: The layer of the methods (called `target_layer` in pytorch-grad-cam); None for the default layer.
        limit: Number of images, sampled at random with `seed`; None for all.
        seed: Seed of all random numbers.
        batch_size: Number of images that the network runs at once.
        chunk_images: Number of images per chunk.
        shard: "i/n" for the i-th of n processes that share the folder; None to take it from RANK and WORLD_SIZE, or all
            chunks.
        source: How the model and the data were specified, recorded so that they can be opened again.
        progress: Called after every batch with the number of finished images and the total of this shard.

    Returns:
        The audit. It is complete, with run.json, once all shards have finished.

    Raises:
        DataError: If the data set is empty, or `out` holds another audit.
        LayerError: If the layer may mean several.
        MethodError: For an unknown method.
    """
    wrapped = as_model(model)
    check_dataset(data)
    indices = sample_indices(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no images to audit.")
    found = [find(method) for method in methods]
    if not found:
        raise MethodError("audit needs at least one method.")
    layer = layer_names(wrapped.network, layer)
    check_layer_spec(layer)
    if several_layers(layer):
        raise LayerError(f"audit explains one layer, and {layer!r} may be several. Choose one.")
    for method in found:
        if method.needs_layer:
            check_layer(method, layer)
    requests = tuple((method, method.with_options({})) for method in found)
    outputs = outputs_of(data.classes, wrapped)
    plan = AuditPlan(wrapped, data, indices, outputs, requests, layer, batch_size, chunk_images, seed)
    store = AuditStore(Path(out).expanduser(), plan.method_names, plan.array_names)
    run_chunks(plan, store, shard if isinstance(shard, Shard) else Shard.of(shard), source, progress)
    return Audit(store.path, wrapped, data)


def run_chunks(
    plan: AuditPlan,
    store: AuditStore,
    shard: Shard,
    source: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> None:
    """Process the chunks of a shard that are missing or damaged; the last process to finish completes the audit."""
    with store.lock(shard.index):
        store.begin(plan.record(), source)
        parts = {number: plan.chunk(number) for number in range(shard.index, plan.n_chunks, shard.count)}
        run_parts(
            plan,
            store,
            parts,
            plan.batch_size,
            lambda number, batches: process_chunk(plan, parts[number], batches),
            progress,
        )
        if all(store.has(number) for number in range(plan.n_chunks)):
            store.finish(summary(store))


def summary(store: AuditStore) -> dict[str, Any]:
    """Return the numbers of run.json: images, errors, accuracy."""
    table = store.table(["correct", "error"])
    correct = [value for value in table["correct"].to_pylist() if value is not None]
    return {
        "n_images": table.num_rows,
        "n_errors": table.num_rows - table["error"].null_count,
        "n_labelled": len(correct),
        "accuracy": sum(correct) / len(correct) if correct else None,
    }
