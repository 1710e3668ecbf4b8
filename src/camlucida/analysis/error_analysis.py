"""Error analysis of a classifier over a data set, in `mistakes`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from camlucida._ambient import plain_arithmetic
from camlucida.analysis.mistakes_result import PREDICTIONS_FILE, STORED_COLUMNS, Mistakes
from camlucida.attribution.attributions import attributions
from camlucida.attribution.method_choice import or_default
from camlucida.attribution.network_inputs import check_takes_an_image
from camlucida.attribution.request import AttributionRequest, one_layer
from camlucida.data.datasets import Dataset, check_dataset, sample_indices
from camlucida.errors import DataError, TargetError
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.metric_inputs import MethodExplainer, MetricInputs
from camlucida.evaluation.prediction_rows import prediction_row
from camlucida.evaluation.read_images import LoadedImage, stacked
from camlucida.evaluation.run_parts import run_pass
from camlucida.evaluation.store import Row, Store
from camlucida.layer_names import LayerSpec, layer_names
from camlucida.methods import find as find_method
from camlucida.metrics import find as find_metric
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments
from camlucida.types import ProgressCallback


@checked_arguments(DataError)
@plain_arithmetic()
def mistakes(
    model: Model | nn.Module | str,
    data: Dataset,
    *,
    method: str | None = None,
    layer: LayerSpec = None,
    maps: bool = True,
    limit: Count | None = None,
    seed: Seed = 0,
    out: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> Mistakes:
    """Predict a data set and collect the errors of the model.

    Args:
        model: As in `explain`.
        data: A data set with labels: `open_dataset("photos/")`.
        method: Name of the attribution method; None for the default one.
        layer: Layer to explain; None for the method's default layer.
        maps: Whether to compute a map of every image and its statistics: the entropy, and the fraction on the object
            where that is annotated. Without maps, each image takes one forward pass.
        limit: Number of images, sampled at random with `seed`; None for all.
        seed: Seed of the sampling.
        out: Output folder for run.json, parts/ and predictions.parquet. Stored parts are not recomputed, so an
            interrupted run resumes. None for a temporary folder.
        source: How the model and the data were specified, stored with the results.
        progress: Called with the number of images done and the total number.

    Returns:
        The predictions. An image that cannot be read has a row with the error message.

    Raises:
        DataError: If `out` holds a different run, or the data set has no images.
    """
    wrapped = as_model(model)
    check_takes_an_image(wrapped)
    check_dataset(data)
    indices = sample_indices(len(data), limit, seed)
    if not indices:
        raise DataError(f"{data.name} has no images.")
    dataset_pass = DatasetPass.of(wrapped, data, indices)
    chosen, layer = find_method(or_default(method, wrapped)), layer_names(wrapped.network, layer)
    one_layer(layer, "mistakes computes the maps of")
    explainer = MethodExplainer((chosen, chosen.with_options({})), layer)
    store = Store(
        Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="camlucida-")), STORED_COLUMNS, PREDICTIONS_FILE
    )
    activation = dataset_pass.activation
    if not activation.has_probabilities:
        raise TargetError(
            f"mistakes needs classes that are correct or wrong, and there are none: {activation.describe()}."
        )
    request: dict[str, Any] = {"method": chosen.name, "layer": layer, "maps": maps, "seed": seed}
    if not activation.is_exclusive or activation.is_probability:
        request |= {"task": activation.task, "is_probability": activation.is_probability}
    with store.lock():
        store.begin({"analysis": "mistakes", **dataset_pass.record(), **request}, source)
        run_pass(
            store,
            dataset_pass,
            lambda images: _predict_and_explain(images[0].model_of(dataset_pass), explainer, stacked(images), maps),
            lambda image, output: _prediction_and_map_row(dataset_pass, explainer, image, output),
            progress,
        )
    return Mistakes(store.path, wrapped, data)


def _predict_and_explain(
    model: Model, explainer: MethodExplainer, batch: Tensor, maps: bool
) -> Sequence[tuple[Tensor, Tensor | None]]:
    """Return the scores `(k,)` of each image, and its map `(h, w)` for the predicted class, or None."""
    methods = [explainer.request] if maps else []
    attribution = attributions(
        model, batch, AttributionRequest(targets=[None], layers=explainer.layers, methods=methods)
    )
    maps_or_none = attribution.maps[0][0][0] if maps else [None] * len(batch)
    return list(zip(attribution.output, maps_or_none, strict=True))


def _prediction_and_map_row(
    dataset_pass: DatasetPass, explainer: MethodExplainer, image: LoadedImage, output: tuple[Tensor, Tensor | None]
) -> Row:
    """Return the row of an image from its scores `(k,)` and its map `(h, w)` or None."""
    logits, saliency = output[0].float().cpu(), output[1]
    row = prediction_row(dataset_pass, image, logits)
    label = row["label_index"]
    row["rank"] = None if label is None else 1 + int((logits > logits[label]).sum())
    row["logits"] = logits.tolist()
    if saliency is not None:
        model_input = image.model_input(dataset_pass, logits, row["predicted_index"])
        row |= _map_statistics(MetricInputs(model_input, explainer, saliency.detach()))
    return row


def _map_statistics(inputs: MetricInputs) -> Row:
    """Return the statistics of one map; those that are undefined are left out."""
    row: Row = {}
    for name in ("entropy", "energy"):
        metric = find_metric(name).metric
        if not inputs.first_missing(metric.needs):
            scores = metric(*inputs.arguments(metric.needs))
            row |= {key: score.value for key, score in scores.items() if score.value == score.value}
    return row
