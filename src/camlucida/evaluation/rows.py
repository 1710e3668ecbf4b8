"""The rows of one image: its maps are computed by every explainer, and scored by every metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from camlucida.attribution.error_context import describe_network_error, raised_by_network
from camlucida.engine.cost import track_cost
from camlucida.errors import CamlucidaError
from camlucida.evaluation.baselines import GROUND_TRUTH
from camlucida.evaluation.batch_outputs import with_outputs
from camlucida.evaluation.image_targets import EvaluatedTarget, targets_of
from camlucida.evaluation.metric_inputs import Explainer, MethodExplainer, MetricInputs
from camlucida.evaluation.model_input import ModelInput, predicted_input
from camlucida.evaluation.plan import Plan
from camlucida.evaluation.prediction_rows import base_row
from camlucida.evaluation.read_images import LoadedImage, ReadImage, UnreadableImage
from camlucida.evaluation.records import value_name
from camlucida.evaluation.store import SIMILARITY_METRICS, WHOLE_IMAGE_TARGETS, Row
from camlucida.evaluation.target_regions import MATCHED, NO_REGION
from camlucida.maps import spearman, upsample
from camlucida.metrics import Preset
from camlucida.targets import class_label


def part_rows(
    plan: Plan, batches: Iterable[Sequence[ReadImage]], advance: Callable[[], None] = lambda: None
) -> list[Row]:
    """Compute all rows of the images of a part: maps of a batch together, and then the metrics image by image.

    Args:
        plan: The plan of the evaluation.
        batches: The images.
        advance: Called after every image.
    """
    rows: list[Row] = []
    for batch in batches:
        for image in with_outputs(plan, batch):
            rows += image_rows(plan, image)
            advance()
    return rows


def image_rows(plan: Plan, image: ReadImage) -> list[Row]:
    """Compute all rows of one image and its targets, or a single row with the reason if it cannot be evaluated."""
    base = {name: value for name, value in base_row(plan, image).items() if name != "split"}
    if isinstance(image, UnreadableImage):
        return [{**base, "error": image.error}]
    try:
        described = list(_described_inputs(plan, image, base))
    except CamlucidaError as error:
        return [{**base, "error": str(error)}]
    except Exception as error:
        if not raised_by_network(error):
            raise
        return [{**base, "error": describe_network_error(error, plan.model)}]
    return [row for model_input, description in described for row in _input_rows(plan, model_input, description)]


def _described_inputs(plan: Plan, image: LoadedImage, base: Row) -> Iterator[tuple[ModelInput, Row]]:
    """Yield the image as the model processes it, with what its rows say of it; or each of its targets."""
    if plan.target not in WHOLE_IMAGE_TARGETS:
        for number, target in enumerate(targets_of(plan, image, plan.target, plan.seed)):
            yield target.model_input, base | _target_row(plan, number, target)
        return
    label = plan.output_of(image.item.label)
    model_input = predicted_input(
        plan.model,
        image.item,
        image.inputs,
        image.geometry,
        label,
        also_correct=[k for k in map(plan.output_of, image.item.also_correct) if k is not None],
        target=str(plan.target),
        seed=plan.seed,
        outputs=image.outputs,
    )
    names = plan.model.labels
    predicted = int(model_input.logits.argmax())
    yield (
        model_input,
        base
        | {
            "predicted": class_label(predicted, names),
            "target": class_label(model_input.target, names),
            "correct": None if label is None else predicted in plan.correct_outputs(image.item),
            "confidence": float(model_input.activation.probabilities(model_input.logits)[predicted]),
        },
    )


def _target_row(plan: Plan, number: int, target: EvaluatedTarget) -> Row:
    """Return what the rows of one target of an image say of it."""
    region = target.region
    return {
        "label": None if region.label is None else class_label(region.label, plan.data.classes),
        "predicted": target.predicted,
        "target": target.label,
        "correct": None if region.match is None else region.match == MATCHED,
        "confidence": target.confidence,
        "target_number": number,
        "target_spec": target.spec,
        "match": region.match,
        "region": region.text,
        "region_box": region.box,
    }


def _input_rows(plan: Plan, model_input: ModelInput, base: Row) -> list[Row]:
    """Compute all rows of one image, or of one of its targets."""
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
        if (known := model_input.known_maps.get(explainer.name)) is not None:
            yield explainer, known.map, known.forwards, known.seconds
            continue
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
    """Compute the rows of one map: its cost, and the values of every metric; a single row if there is no map."""
    base = {
        **base,
        "method": explainer.name,
        "control": not isinstance(explainer, MethodExplainer),
        "layer": _layer(explainer),
    }
    if isinstance(outcome, CamlucidaError):
        if base.get("region") == NO_REGION and getattr(explainer, "knows", "") == GROUND_TRUTH:
            return  # an oracle of the word "and", which names no object: nothing failed
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
        if base.get("region") == NO_REGION:  # such as the word "and", which names no object: nothing failed
            return
        owner = "target" if "region" in base else "image"
        reason = f"{preset.name} needs {missing!r}, which the {owner} does not have"
        yield {**base, "metric": preset.name, "error": reason}
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


def _layer(explainer: Explainer) -> str:
    return "" if not isinstance(explainer, MethodExplainer) or explainer.layer is None else str(explainer.layer)
