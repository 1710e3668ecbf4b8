"""The function `evaluate`, which measures maps over a data set, image by image, and resumes interrupted runs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.attribution.explain import as_model, versions
from camlucida.attribution.request import MethodSpec, check_layer, check_layer_spec, several_layers
from camlucida.data.datasets import Dataset, check_dataset, dataset_hash, sample_indices
from camlucida.engine import LayerSpec
from camlucida.engine.cost import track_cost
from camlucida.errors import CamlucidaError, DataError, LayerError, MethodError, TargetError
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.metric_inputs import Explainer, MethodExplainer, MetricInputs
from camlucida.evaluation.model_input import ModelInput, prepare_input
from camlucida.evaluation.records import value_name
from camlucida.evaluation.store import SIMILARITY_METRICS, Row, Store
from camlucida.maps import spearman, upsample
from camlucida.methods import find as find_method
from camlucida.metrics import Metric, Preset
from camlucida.metrics import find as find_metric
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments, shown
from camlucida.targets import class_index, class_label
from camlucida.types import ProgressCallback

PART_IMAGES = 8
"""Number of images per part, which is the most that an interruption loses."""


@dataclass(frozen=True)
class Plan:
    """Everything that determines the results of an evaluation.

    Attributes:
        model: The model.
        dataset: The data set.
        indices: Indices of the evaluated images.
        explainers: Methods and controls.
        presets: The metrics with their options.
        target: "predicted" or "true".
        seed: Seed of all random numbers.
        labels: The model's output for each class of the data set; None for classes that the model does not have.
        compared_pairs: Pairs of methods whose maps are compared with each other.
    """

    model: Model
    dataset: Dataset
    indices: tuple[int, ...]
    explainers: tuple[Explainer, ...]
    presets: tuple[Preset, ...]
    target: str
    seed: int
    labels: tuple[int | None, ...]
    compared_pairs: tuple[tuple[str, str], ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the plan as stored in run.json. Equal records give equal results."""
        return {
            "model": self.model.name,
            "weights": self.model.weights_hash,
            "data": self.dataset.name,
            "n_images": len(self.indices),
            "exact": bool(getattr(self.dataset, "exact", False)),
            "data_hash": dataset_hash(self.dataset, self.indices),
            "methods": [describe_explainer(explainer) for explainer in self.explainers],
            "metrics": {preset.name: _to_json(preset.settings) for preset in self.presets},
            "compared": [list(pair) for pair in self.compared_pairs],
            "target": self.target,
            "seed": self.seed,
            "versions": versions(),
        }


@checked_arguments(DataError)
def evaluate(
    model: Model | nn.Module | str,
    data: Dataset,
    *,
    methods: Sequence[MethodSpec] = ("grad_cam",),
    metrics: Sequence[str | Metric | Preset] = ("energy",),
    layer: LayerSpec | Sequence[LayerSpec] = None,
    compared: Sequence[tuple[str, str]] = (),
    controls: Sequence[Explainer] = (),
    target: str = "predicted",
    limit: Count | None = None,
    seed: Seed = 0,
    out: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """Measure the quality of maps over a data set.

    An image that cannot be read, or a method that does not fit the model, becomes a row with the reason.

    Args:
        model: As for `explain`.
        data: A data set: `folder("photos/", boxes="boxes.csv")`, `ToyboxDataset(Toybox(500))`, or your own.
        methods: Names of methods, with or without combinators; "grad_cam @ layer3" sets the method's own layer.
        metrics: Names of metrics or presets.
        layer: Layer of the methods that do not set one (called `target_layer` in pytorch-grad-cam); a list measures
            each method at each layer; None for the default layer.
        compared: Pairs of methods whose maps are also compared with each other, see `Evaluation.map_similarities`.
        controls: Baseline maps that a metric must be able to tell apart, see `camlucida.evaluation.baselines`.
        target: The class to explain: "predicted", or "true" for the true class.
        limit: Number of images, sampled at random with `seed`; None for all.
        seed: Seed of all random numbers.
        out: Output folder with run.json, parts/ and results.parquet. Existing parts are not measured again. None for a
            temporary folder.
        source: How the model and the data were specified, stored with the results so that they can be loaded again.
        progress: Called with the number of finished images and the total.

    Returns:
        The evaluation, opened from the folder.

    Raises:
        DataError: If the data set is empty, or `out` contains another run.
        MetricError: For an unknown metric.
        MethodError: For an unknown method.
        TargetError: For an unknown `target`.
    """
    wrapped = as_model(model)
    check_dataset(data)
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
    if target not in ("predicted", "true"):
        raise TargetError(f"target is 'predicted' or 'true', not {target!r}.")
    explainers = (*explainers_of(methods, layer), *controls)
    names = [explainer.name for explainer in explainers]
    if unknown := [name for pair in compared for name in pair if name not in names]:
        raise MethodError(f"compared names {unknown[0]!r}, which is not among the methods: {', '.join(names)}.")
    plan = Plan(
        wrapped,
        data,
        tuple(indices),
        explainers,
        tuple(find_metric(metric) for metric in metrics),
        target,
        seed,
        outputs_of(data.classes, wrapped),
        tuple(compared),
    )
    store = Store(Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="camlucida-")))
    with store.lock():
        store.begin(plan.record(), source)
        _measure(plan, store, progress)
        store.finish()
    return Evaluation(store.path)


def _measure(plan: Plan, store: Store, progress: ProgressCallback | None) -> None:
    """Compute and write the parts that are missing or damaged."""
    indices = plan.indices
    parts = [indices[i : i + PART_IMAGES] for i in range(0, len(indices), PART_IMAGES)]
    n_done = 0
    for number, part in enumerate(parts):
        if not store.has(number):
            rows: list[Row] = []
            for index in part:
                rows += image_rows(plan, index)
                n_done += 1
                if progress:
                    progress(n_done, len(indices))
            store.write(number, rows)
        else:
            n_done += len(part)
            if progress:
                progress(n_done, len(indices))


def image_rows(plan: Plan, index: int) -> list[Row]:
    """Compute all rows of one image, or a single row with the reason if it cannot be evaluated."""
    item = plan.dataset[index]
    label = None if item.label is None else plan.labels[item.label]
    also_correct = tuple(k for k in (plan.labels[other] for other in item.also_correct) if k is not None)
    base: Row = {"index": index, "image": item.name, "label": _named_label(plan, item.label)}
    try:
        model_input = prepare_input(
            plan.model, item, label, also_correct=also_correct, target=plan.target, seed=plan.seed
        )
    except CamlucidaError as error:
        return [{**base, "error": str(error)}]
    except Exception as error:
        if not raised_by_network(error):
            raise
        return [{**base, "error": describe_network_error(error, plan.model)}]
    names = plan.model.labels
    predicted = int(model_input.logits.argmax())
    correct_classes = {label, *also_correct}
    base |= {
        "predicted": class_label(predicted, names),
        "target": class_label(model_input.target, names),
        "correct": None if label is None else predicted in correct_classes,
        "confidence": float(model_input.logits.softmax(0)[predicted]),
    }
    outcomes = list(_explain(plan, model_input))
    rows = [row for outcome in outcomes for row in _metric_rows(plan, model_input, base, *outcome)]
    maps = {explainer.name: outcome for explainer, outcome, _, _ in outcomes if isinstance(outcome, Tensor)}
    return rows + [row for pair in plan.compared_pairs for row in _map_similarity_rows(base, maps, pair)]


def _map_similarity_rows(base: Row, maps: Mapping[str, Tensor], pair: tuple[str, str]) -> Iterator[Row]:
    """Compute the similarity of two methods' maps: Spearman's correlation, and the largest difference after scaling."""
    if any(name not in maps for name in pair):
        return
    height, width = (max(maps[name].shape[i] for name in pair) for i in (0, 1))
    first, second = (upsample(maps[name][None].double(), (height, width)) for name in pair)
    max_difference = (first / first.abs().max() - second / second.abs().max()).abs().max()
    for metric, value in zip(SIMILARITY_METRICS, (spearman(first, second)[0], max_difference), strict=True):
        yield {
            **base,
            "method": pair[0],
            "control": False,
            "metric": metric,
            "preset": pair[1],
            "value": float(value),
            "valid": bool(value == value),
        }


def _explain(plan: Plan, model_input: ModelInput) -> Iterator[tuple[Explainer, Tensor | CamlucidaError, float, float]]:
    """Yield each explainer's raw map `(h, w)`, or its error, with its cost in forward passes and seconds."""
    classes = torch.tensor([model_input.target])
    for explainer in plan.explainers:
        start = time.perf_counter()
        with track_cost() as cost:
            outcome: Tensor | CamlucidaError
            try:
                outcome = explainer.maps(model_input, model_input.inputs, classes)[0]
            except CamlucidaError as error:
                outcome = error
        yield explainer, outcome, cost.forwards, time.perf_counter() - start


def _metric_rows(
    plan: Plan,
    model_input: ModelInput,
    base: Row,
    explainer: Explainer,
    outcome: Tensor | CamlucidaError,
    forwards: float,
    seconds: float,
) -> Iterator[Row]:
    base = {
        **base,
        "method": explainer.name,
        "control": not isinstance(explainer, MethodExplainer),
        "layer": _layer(explainer),
    }
    if isinstance(outcome, CamlucidaError):
        yield {**base, "error": str(outcome)}
        return
    yield {**base, "metric": "explaining", "valid": True, "forwards": forwards, "seconds": seconds}
    for preset in plan.presets:
        yield from value_rows(base, MetricInputs(model_input, explainer, outcome, preset.name), preset)


def value_rows(base: Row, metric_inputs: MetricInputs, preset: Preset) -> Iterator[Row]:
    """Compute the rows of one metric for one map."""
    metric = preset.metric
    base = {**base, "preset": preset.name}
    if missing := metric_inputs.first_missing(metric.needs):
        yield {**base, "metric": preset.name, "error": f"the image has no {missing}"}
        return
    start = time.perf_counter()
    with track_cost() as cost:
        scores = metric(*metric_inputs.arguments(metric.needs), **preset.settings)
    seconds = time.perf_counter() - start
    for i, (name, score) in enumerate(scores.items()):
        yield {
            **base,
            "metric": value_name(preset, name),
            "value": score.value,
            "valid": score.value == score.value,
            "curve": None if score.curve is None else score.curve.flatten().tolist(),
            "forwards": cost.forwards if i == 0 else 0.0,
            "seconds": seconds if i == 0 else 0.0,
        }


def explainers_of(methods: Sequence[Any], layer: Any = None) -> tuple[MethodExplainer, ...]:
    """Return each method at its own layer ("grad_cam @ layer3"), or at each of the given layers.

    If a method is evaluated at several layers, the layer is part of its name. A method without a layer, or one that
    fuses all layers, is included once.

    Raises:
        LayerError: If a layer name may match several layers.
    """
    explainers: dict[tuple[str, Any], MethodExplainer] = {}
    layers = list(layer) if isinstance(layer, list | tuple) else [layer]
    for spec in methods:
        text, _, own_layer = spec.partition("@") if isinstance(spec, str) else (spec, "", "")
        method = find_method(text.strip() if isinstance(text, str) else text)
        chosen_layers = [own_layer.strip()] if own_layer.strip() else layers
        for chosen_layer in (
            chosen_layers
            if method.needs_layer and not method.fuses_layers
            else [chosen_layers[0] if len(chosen_layers) == 1 else None]
        ):
            check_layer(method, chosen_layer)
            check_layer_spec(chosen_layer)
            if several_layers(chosen_layer):
                raise LayerError(
                    f"{chosen_layer!r} may match several layers: give each by name, as listed by `camlucida layers`."
                )
            name = (
                f"{method.name} @ {chosen_layer}"
                if own_layer or (len(layers) > 1 and chosen_layer is not None)
                else method.name
            )
            explainers[method.name, chosen_layer] = MethodExplainer(
                (method, method.with_options({})), chosen_layer, name
            )
    return tuple(explainers.values())


def describe_explainer(explainer: Explainer) -> dict[str, Any]:
    """Return the description of an explainer as stored in run.json."""
    if not isinstance(explainer, MethodExplainer):
        return {"name": explainer.name, "control": explainer.name, "knows": getattr(explainer, "knows", "nothing")}
    method, options = explainer.request
    return {"name": explainer.name, "method": method.name, "options": _to_json(options), "layer": explainer.layer}


def outputs_of(classes: Sequence[str], model: Model) -> tuple[int | None, ...]:
    """Return the model's output for each class of a data set; None for classes that the model does not have.

    Classes are matched by name, or by a part of it as for `--target`; a name that is a number is the index of an
    output.
    """
    if classes == model.labels:
        return tuple(range(len(classes)))
    return tuple(_output_of(name, model) for name in classes)


def _output_of(name: str, model: Model) -> int | None:
    if name.strip().isdigit():
        return int(name)
    try:
        return class_index(name, model.labels)
    except TargetError:
        return None


def _layer(explainer: Explainer) -> str:
    return "" if not isinstance(explainer, MethodExplainer) or explainer.layer is None else str(explainer.layer)


def _named_label(plan: Plan, label: int | None) -> str | None:
    """Return the name of the true class in the model's labels, or in the data set's if the model does not have it."""
    if label is None:
        return None
    output = plan.labels[label]
    return class_label(label, plan.dataset.classes) if output is None else class_label(output, plan.model.labels)


def _to_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they are after a round trip through JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
