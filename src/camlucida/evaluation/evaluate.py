"""The function `evaluate`, which measures maps over a data set, image by image, and resumes interrupted runs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.method_choice import default_method
from camlucida.attribution.network_inputs import check_takes_an_image
from camlucida.attribution.request import MethodSpec
from camlucida.data.datasets import Dataset, check_dataset, sample_indices
from camlucida.engine import LayerSpec
from camlucida.errors import DataError, MethodError
from camlucida.evaluation.batch_outputs import evaluation_batch_size
from camlucida.evaluation.dataset_pass import outputs_of
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.image_targets import check_run_target
from camlucida.evaluation.metric_inputs import Explainer
from camlucida.evaluation.plan import PART_IMAGES as PART_IMAGES
from camlucida.evaluation.plan import Plan, explainers_of
from camlucida.evaluation.ray_engine import measure_on_ray
from camlucida.evaluation.ray_pool import EngineName, RayPool, ray_pool
from camlucida.evaluation.rows import part_rows
from camlucida.evaluation.run_parts import run_parts
from camlucida.evaluation.store import COLUMNS, TARGET_COLUMNS, Store, has_target_columns
from camlucida.layer_names import layer_names
from camlucida.metrics import Metric, Preset, find
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments, shown
from camlucida.types import ProgressCallback


@checked_arguments(DataError)
@plain_arithmetic()
def evaluate(
    model: Model | nn.Module | str,
    data: Dataset,
    *,
    methods: Sequence[MethodSpec] | None = None,
    metrics: Sequence[str | Metric | Preset] = ("energy",),
    layer: LayerSpec | Sequence[LayerSpec] = None,
    compared: Sequence[tuple[str, str]] = (),
    controls: Sequence[Explainer] = (),
    target: str | int = "predicted",
    limit: Count | None = None,
    seed: Seed = 0,
    out: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
    engine: EngineName | RayPool = "local",
    workers: Count | None = None,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """Measure the quality of maps over a data set.

    An image that cannot be read, or a method that does not fit the model, becomes a row with the reason.

    Args:
        model: As for `explain`.
        data: A data set: `folder("photos/", boxes="boxes.csv")`, `ToyboxDataset(Toybox(500))`, or your own.
        methods: Names of methods, with or without combinators; "grad_cam @ layer3" sets the method's own layer. None
            for the default method of `explain`.
        metrics: Names or aliases of metrics, or presets; each is measured once.
        layer: Layer of the methods that do not set one (called `target_layer` in pytorch-grad-cam); a list measures
            each method at each layer; None for the default layer.
        compared: Pairs of methods whose maps are also compared with each other, see `Evaluation.map_similarities`.
        controls: Baseline maps that a metric must be able to tell apart, see `camlucida.evaluation.baselines`.
        target: The class to explain: "predicted", or "true" for the true class. Or targets of each image: "all" for
            every box of a detector, every region of a segmentation, every word of a caption (or every class of a model
            with at most 20, such as prompts); or what `explain` takes: "box 1", "word 2", "text:a dog", a class. Every
            image and target then has rows of its own, and metrics of localisation use the region of that target: the
            annotated box or mask that agrees with it, or else the predicted one, see `camlucida.evaluation.store`.
        limit: Number of images, sampled at random with `seed`; None for all.
        seed: Seed of all random numbers.
        out: Output folder with run.json, parts/ and results.parquet. Existing parts are not measured again. None for a
            temporary folder.
        source: How the model and the data were specified, stored with the results so that they can be loaded again.
        engine: "local" for this process; "ray" for workers of a Ray cluster, which share the folder `out`; or a
            `camlucida.evaluation.ray_pool.RayPool`. Results are the same, except for the measured seconds.
        workers: Number of Ray workers; None for one per GPU, or one per two CPUs.
        progress: Called with the number of finished images and the total.

    Returns:
        The evaluation, opened from the folder.

    Raises:
        DataError: If the data set is empty, `out` contains another run, or a node does not see `out` or the images.
        MissingExtra: If the engine is not installed.
        MetricError: For an unknown metric.
        MethodError: For an unknown method.
        TargetError: For an unknown `target`. A target that only one image lacks is a row with the reason.
    """
    pool = ray_pool(engine, workers)
    wrapped = as_model(model)
    check_takes_an_image(wrapped)
    check_dataset(data)
    methods = [default_method(wrapped)] if methods is None else methods
    for name, value in (("methods", methods), ("metrics", metrics), ("compared", compared), ("controls", controls)):
        if not isinstance(value, list | tuple):
            raise MethodError(f"evaluate: {name} must be a list, not {shown(value)}.")
    if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in compared):
        raise MethodError(f"evaluate: compared must be a list of pairs of method names, not {shown(compared)}.")
    if invalid := [control for control in controls if not hasattr(control, "maps")]:
        raise MethodError(
            f"evaluate: a control must be one of `camlucida.evaluation.baselines`, not {shown(invalid[0])}."
        )
    indices = sample_indices(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no images to evaluate.")
    check_run_target(wrapped, target)
    explainers = (*explainers_of(methods, layer_names(wrapped.network, layer)), *controls)
    names = [explainer.name for explainer in explainers]
    if unknown := [name for pair in compared for name in pair if name not in names]:
        raise MethodError(f"compared names {unknown[0]!r}, which is not among the methods: {', '.join(names)}.")
    plan = Plan(
        wrapped,
        data,
        tuple(indices),
        outputs_of(data.classes, wrapped),
        explainers,
        tuple({preset.name: preset for preset in map(find, metrics)}.values()),
        target,
        seed,
        tuple(compared),
    )
    columns = TARGET_COLUMNS if has_target_columns({"target": target}) else COLUMNS
    store = Store(Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="camlucida-")), columns)
    with store.lock():
        plan = replace(plan, batch_size=store.batch_size or evaluation_batch_size(plan))
        store.begin(plan.record(), source)
        if pool is None:
            _measure(plan, store, progress)
        else:
            measure_on_ray(plan, store, pool, progress)
        store.finish()
    return Evaluation(store.path)


def _measure(plan: Plan, store: Store, progress: ProgressCallback | None) -> None:
    """Compute and write the parts that are missing or damaged."""
    counter = _ImageCounter(progress, len(plan.indices)) if progress else None
    advance = counter.advance if counter else lambda: None
    run_parts(
        plan,
        store,
        plan.parts(PART_IMAGES),
        plan.batch_size,
        lambda _, batches: part_rows(plan, batches, advance),
        counter,
    )


class _ImageCounter:
    """The progress of images that are measured one by one, in a pass that reports batches."""

    def __init__(self, progress: ProgressCallback, n_images: int) -> None:
        self._progress, self._n_images = progress, n_images
        self._n_done = 0

    def __call__(self, done: int, total: int) -> None:
        """Report what the pass has done, unless its images have been reported already."""
        if done > self._n_done:
            self._n_done = done
            self._progress(done, total)

    def advance(self) -> None:
        """Report one more image."""
        self(self._n_done + 1, self._n_images)
