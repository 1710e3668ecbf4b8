"""The function `audit`, which explains a data set chunk by chunk, and resumes interrupted runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from camlucida.attribution.batch_size import MAX_BYTES
from camlucida.attribution.method_choice import check_applicable, default_method
from camlucida.attribution.request import MethodSpec
from camlucida.audits.audit_result import Audit
from camlucida.audits.batch_size import batch_size_for
from camlucida.audits.engines import Engine, EngineName, Shard, find_engine, local_engine
from camlucida.audits.plan import CHUNK_IMAGES, AuditPlan, AuditTarget
from camlucida.audits.store import AuditStore
from camlucida.audits.targets.check import check_first_targets, check_target_kind
from camlucida.audits.targets.counts import target_summary
from camlucida.data.datasets import Dataset, check_dataset, sample_indices
from camlucida.errors import DataError, LayerError, MethodError
from camlucida.evaluation.dataset_pass import outputs_of
from camlucida.evaluation.plan import explainers_of
from camlucida.layer_names import LayerSpec, layer_names
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import ByteCount, Count, Seed, checked_arguments, shown
from camlucida.types import ProgressCallback


@checked_arguments(DataError)
def audit(
    model: Model | nn.Module | str,
    data: Dataset,
    out: str | Path,
    *,
    methods: Sequence[MethodSpec] | None = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    target: AuditTarget | None = None,
    limit: Count | None = None,
    seed: Seed = 0,
    batch_size: Count | None = None,
    max_bytes: ByteCount = MAX_BYTES,
    chunk_images: Count = CHUNK_IMAGES,
    shard: Shard | str | None = None,
    engine: Engine | EngineName = "local",
    workers: Count | None = None,
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
            prefix. None for the default method of the model, as for `explain`: Grad-CAM, or HiResCAM for detectors.
        layer: The layer of the methods (called `target_layer` in pytorch-grad-cam); a list explains each method at each
            layer; None for the default layer. "grad_cam @ layer3" sets the method's own layer. Relevances and mean
            activations of channels are those of the first layer.
        target: "all" for one row for each target of an image: each box of a detector, each region of a segmentation,
            each word of a caption, compared with the annotated objects, of which those that were missed are rows, too.
            None for one row for each image and the classes of the whole image.
        limit: Number of images, sampled at random with `seed`; None for all.
        seed: Seed of all random numbers.
        batch_size: Number of images that the network runs at once. None for the largest power of two whose tensors fit
            into `max_bytes`, at most 16 on a CPU and 128 on a GPU; it is stored in the plan, so that all shards, and
            runs that resume, have the same one.
        max_bytes: Memory of the tensors of one batch, in bytes, from which `batch_size` follows.
        chunk_images: Number of images per chunk.
        shard: "i/n" for the i-th of n processes that share the folder; None to take it from RANK and WORLD_SIZE, or all
            chunks.
        engine: "local" for this process, or "ray" for the workers of a Ray cluster; see `camlucida.audits.engines`.
        workers: Number of Ray workers; None for as many as the cluster has room for.
        source: How the model and the data were specified, recorded so that they can be opened again.
        progress: Called after every batch with the number of finished images and the total of this shard.

    Returns:
        The audit. It is complete, with run.json, once all shards have finished.

    Raises:
        DataError: If the data set is empty, or `out` holds another audit.
        LayerError: If a layer does not exist, or its name may match several.
        MethodError: For an unknown method.
        TargetError: If the model has no targets of one image, or has no other ones and `target` is None.
    """
    wrapped = as_model(model)
    check_dataset(data)
    check_target_kind(wrapped, target)
    indices = sample_indices(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no images to audit.")
    methods = [default_method(wrapped)] if methods is None else methods
    if not isinstance(methods, list | tuple) or not methods:
        raise MethodError(f"audit: methods must be a list with at least one method, not {shown(methods)}.")
    explainers = explainers_of(methods, layer_names(wrapped.network, layer))
    if not explainers:
        raise LayerError(f"audit: layer must be a layer or a list of layers, not {shown(layer)}.")
    outputs = outputs_of(data.classes, wrapped)
    check_applicable([explainer.request[0] for explainer in explainers], wrapped.network)
    plan = AuditPlan(wrapped, data, indices, outputs, explainers, batch_size or 1, chunk_images, seed, target)
    store = AuditStore(Path(out).expanduser(), plan.method_names, plan.array_names, target is not None)
    measure = find_engine(engine, workers)
    part = shard if isinstance(shard, Shard) else Shard.of(shard)
    if target is None:
        known = store.batch_size or batch_size_for(plan, max_bytes)  # the latter also finds wrong layers
    else:
        known = store.batch_size or check_first_targets(plan)
    plan = replace(plan, batch_size=batch_size or known)
    run_chunks(plan, store, part, source, progress, measure)
    return Audit(store.path, wrapped, data)


def run_chunks(
    plan: AuditPlan,
    store: AuditStore,
    shard: Shard,
    source: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    engine: Engine = local_engine,
) -> None:
    """Process the chunks of a shard that are missing or damaged; the last process to finish completes the audit."""
    with store.lock(shard.index):
        store.begin(plan.record(), source)
        engine(plan, store, shard, progress)
        if all(store.has(number) for number in range(plan.n_chunks)):
            store.finish(summary(store))


def summary(store: AuditStore) -> dict[str, Any]:
    """Return the numbers of run.json: images, errors, accuracy."""
    if store.has_targets:
        return target_summary(store.table(["index", "correct", "outcome", "error"]))
    table = store.table(["correct", "error"])
    correct = [value for value in table["correct"].to_pylist() if value is not None]
    return {
        "n_images": table.num_rows,
        "n_errors": table.num_rows - table["error"].null_count,
        "n_labelled": len(correct),
        "accuracy": sum(correct) / len(correct) if correct else None,
    }
