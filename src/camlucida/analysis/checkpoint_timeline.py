"""Explanations of the same images at every checkpoint of a training, in `film`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn

from camlucida._ambient import plain_arithmetic
from camlucida.analysis.checkpoints import checkpoints
from camlucida.analysis.film_result import Film, Frame
from camlucida.attribution.error_context import source_name
from camlucida.attribution.explain import explain
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.load_input import iterated
from camlucida.attribution.request import one_layer, one_target
from camlucida.data.datasets import Dataset, Item, ListDataset
from camlucida.data.images import Source
from camlucida.errors import CamlucidaError, DataError
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.model_input import fill_in
from camlucida.features.common import shrink_geometry, shrink_image
from camlucida.maps import max_scale, to_image_grid
from camlucida.methods import find as find_method
from camlucida.metrics import find as find_metric
from camlucida.models.load import as_model, load
from camlucida.models.model import Model
from camlucida.options import checked_arguments
from camlucida.render.film_strip import StripFrame
from camlucida.render.text import EMPTY_MAP, format_percent
from camlucida.targets import TargetSpec
from camlucida.types import ProgressCallback

Checkpoint: TypeAlias = Model | nn.Module | str | os.PathLike[str]
"""A model, or anything that `load` accepts."""


@checked_arguments(DataError)
@plain_arithmetic()
def film(
    models: Sequence[Checkpoint] | Mapping[str, Checkpoint] | str | os.PathLike[str],
    images: Dataset | Iterable[Source],
    *,
    method: str = "grad_cam",
    layer: str | int | None = None,
    target: TargetSpec = "true",
    arch: str | None = None,
    trust_code: bool = False,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    **preprocess: Any,
) -> Film:
    """Explain the same images at every checkpoint of a training.

    Args:
        models: Checkpoints in the order of the training: models, networks, or what `load` accepts, loaded one after the
            other; or a folder of checkpoints; or a mapping from names to any of these.
        images: Images, or a data set, whose labels, boxes and masks are used where available.
        method: Name of the attribution method.
        layer: Layer to explain (called `target_layer` in pytorch-grad-cam); None for the model's default layer.
        target: "true" for the labelled class, or for the class that the last model predicts where there is no label;
            "predicted" for the class that each model predicts; or any target that `explain` accepts.
        arch: Architecture of checkpoint files that do not name theirs.
        trust_code: As in `load`: whether the checkpoints of a training run may execute the code that the run names.
        device: As in `load`: where checkpoints that are named by file or specification run.
        progress: Called with the number of maps done and the total number of maps.
        **preprocess: As in `load`, for checkpoints that are loaded: size, fit, task, probabilities, …

    Returns:
        The numbers and the frames of all images at all checkpoints. Images that cannot be read are listed in
        `failures`.

    Raises:
        DataError: If there are no images, or none could be explained.
        ModelError: If there are no checkpoints, or one cannot be loaded.
    """
    one_target(target, "film explains")
    one_layer(layer, "film explains")
    named_models = checkpoints(models)
    dataset = _as_dataset(images)
    method_ = find_method(method)
    takes: dict[tuple[int, str], tuple[Frame, StripFrame]] = {}
    failures: dict[str, str] = {}
    load_options = {"arch": arch, "trust_code": trust_code, "device": device, **preprocess}
    last = _load_checkpoint(named_models[-1][1], load_options)
    targets = [_resolve_target(last, dataset, i, target) for i in range(len(dataset))]
    for number, (name, spec) in enumerate(named_models):
        model = last if number == len(named_models) - 1 else _load_checkpoint(spec, load_options)
        dataset_pass = DatasetPass.of(model, dataset, range(len(dataset)))
        for i in dataset_pass.indices:
            try:
                takes[i, name] = _make_frame(
                    dataset_pass, dataset[i], name, targets[i], {"method": method_, "layer": layer}
                )
            except CamlucidaError as error:
                failures.setdefault(dataset[i].name, str(error))
            if progress:
                progress(number * len(dataset) + i + 1, len(named_models) * len(dataset))
    if not takes:
        raise DataError(f"no image could be explained: {next(iter(failures.values()))}")
    ordered = sorted(takes, key=lambda key: key[0])
    return Film(
        tuple(name for name, _ in named_models),
        tuple(takes[key][0] for key in ordered),
        {(takes[key][0].image, key[1]): takes[key][1] for key in ordered},
        tuple(failures.items()),
        method_.name,
        dataset.name,
    )


def _load_checkpoint(spec: Any, options: Mapping[str, Any]) -> Model:
    """Return a checkpoint as a model, loading it if needed."""
    if isinstance(spec, Model | nn.Module):
        return as_model(spec)
    return load(spec, **options)


def _as_dataset(images: Any) -> Dataset:
    """Return the images as a data set whose items have unique names."""
    if hasattr(images, "classes") and hasattr(images, "__getitem__"):
        dataset: Dataset = images
    else:
        sources: list[Any] = list(iterated(images))
        names = [source_name(source) for source in sources]
        unique_names = [name if names.count(name) == 1 else f"{name} {i}" for i, name in enumerate(names, start=1)]
        dataset = ListDataset("images", [Item(s, n) for s, n in zip(sources, unique_names, strict=True)])
    if not len(dataset):
        raise DataError("film needs one or more images; none were given.")
    return dataset


def _resolve_target(last: Model, data: Dataset, i: int, target: Any) -> Any:
    """Return the target of an image at every checkpoint; None for the class that each model predicts."""
    if isinstance(target, str) and target == "predicted":
        return None
    if not isinstance(target, str) or target != "true":
        return target
    item = data[i]
    output = DatasetPass.of(last, data, [i]).output_of(item.label)
    if output is not None:
        return output
    try:
        return explain(last, item.image, method="gradient").index
    except CamlucidaError:
        return None  # the same error occurs again in the main loop and is reported there


def _make_frame(
    dataset_pass: DatasetPass, item: Item, name: str, target: Any, options: Mapping[str, Any]
) -> tuple[Frame, StripFrame]:
    """Explain one image at one checkpoint."""
    explanation = explain(dataset_pass.model, item.image, target=target, **options)
    best, label = explanation.predictions[0], dataset_pass.output_of(item.label)
    share, lift = _energy_on_object(item, explanation)
    confidence = math.nan if best.probability is None else best.probability
    probability = (
        confidence
        if explanation.index is None
        else explanation.activation.probability_of(explanation.score, best.logit, confidence)
    )
    frame = Frame(
        item.name,
        name,
        explanation.target,
        best.name,
        confidence,
        probability,
        None if label is None else best.index in dataset_pass.correct_outputs(item),
        share,
        lift,
    )
    return frame, _strip_frame(explanation, frame, item)


def _energy_on_object(item: Item, explanation: Explanation) -> tuple[float, float]:
    """Return the fraction of the map on the object, and that fraction divided by the object's fraction of the image."""
    if item.mask is not None:
        region = torch.as_tensor(item.mask())
    elif item.boxes is not None:
        region = fill_in(torch.as_tensor(item.boxes), explanation.image.size)
    else:
        return math.nan, math.nan
    positive = torch.from_numpy(explanation.landed).nan_to_num(nan=0.0).clamp_min(0)
    scores = find_metric("energy").metric(positive, region)
    return scores["energy"].value, scores["energy_lift"].value


def _strip_frame(explanation: Explanation, frame: Frame, item: Item) -> StripFrame:
    """Return the frame that the figure draws, with a reduced image."""
    image = shrink_image(explanation.image, 240)
    saliency = max_scale(
        to_image_grid(explanation.map, shrink_geometry(explanation.geometry, image)).clamp_min(0)
    ).numpy()
    prediction = f"{frame.predicted} {format_percent(frame.confidence)}"
    localisation = "" if frame.share != frame.share else f"{100 * frame.share:.0f} % on the object, {frame.lift:.1f}×"
    localisation = EMPTY_MAP if explanation.is_empty else localisation
    scale = [image.width / explanation.image.width, image.height / explanation.image.height] * 2
    boxes = () if item.boxes is None else item.boxes * scale
    return StripFrame(saliency, frame.checkpoint, f"{prediction}\n{localisation}", frame.correct is False, image, boxes)
