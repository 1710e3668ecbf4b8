"""The sanity checks of attribution methods, in `sanity`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor, nn

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.class_targets import ClassTarget, class_targets
from camlucida.attribution.error_context import source_name
from camlucida.attribution.load_input import ImageInput, LoadedInput, iterated, load_input
from camlucida.attribution.method_choice import default_method
from camlucida.attribution.outputs import to_network
from camlucida.attribution.request import MethodSpec, one_layer
from camlucida.engine import LayerSpec
from camlucida.errors import CamlucidaError, DataError, MethodError, ModelError, TargetError, nearest
from camlucida.evaluation.image_targets import check_run_target, specs_of
from camlucida.layer_names import layer_names
from camlucida.maps import pearson, rgb_channels, spearman, upsample
from camlucida.methods import Combined, Method, find
from camlucida.metrics.common.similarity import hog, ssim
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.opaque_networks import described, has_layers
from camlucida.options import Count, checked_arguments, shown
from camlucida.sanity_checks.perturbations import CHECK_STEPS, SanityInputs, n_steps
from camlucida.sanity_checks.result import Sanity
from camlucida.sanity_checks.verdict import CHECKS, Check, Step
from camlucida.types import ProgressCallback

SMOOTH_EXPRESSION = "smooth({}, n=50, noise=0.1)"
"""Method of the smooth variant, with the number of noisy images and the noise of Hedström et al. (2023)."""


MIN_SUPPORT = 4
"""Smallest number of positions at which the maps of a candidate are compared by ranks."""


@checked_arguments(MethodError)
@plain_arithmetic()
def sanity(
    model: Model | nn.Module | str,
    images: Sequence[ImageInput],
    *,
    methods: Sequence[MethodSpec] | None = None,
    checks: Sequence[Check] = ("cascading", "random_logit"),
    layer: LayerSpec = None,
    target: str | int | None = None,
    seeds: Count = 5,
    progress: ProgressCallback | None = None,
) -> Sanity:
    """Run the sanity checks of several methods on some images.

    The explained class is the one that the unmodified network predicts, unless a target is given. A region and a word
    keep their position while the weights change: the class scores are read over the same pixels, or at the same
    position of the same text. Random weights move the boxes of a detector: where its candidates have a fixed order
    (anchors, grid cells, learned object queries), the same candidate is read by its number; for others, such as Faster
    R-CNN, the candidate that overlaps with the box.

    Args:
        model: As in `explain`.
        images: About a dozen images are enough. Those that cannot be read are listed in `failures`.
        methods: Attribution methods by name, with or without combinators; None for the default one of `explain`.
        checks: Any of cascading, independent, smooth, random_logit and labels.
        layer: Layer to explain; None for the method's default layer.
        target: What to explain in every image, as in `explain`: a class, "box 1", "class:dog", "word 2", "text:a dog";
            or "all" for every box, region or word. None for the predicted class.
        seeds: How many times the weights are re-initialised.
        progress: Called with the number of steps done and the total number.

    Returns:
        All steps and their verdicts.

    Raises:
        DataError: If no image can be read.
        ModelError: If the weights of the model cannot be accessed.
        MethodError: If a method or check is unknown.
        TargetError: If no image can have the target, or `random_logit` has no other class to explain.
    """
    wrapped = as_model(model)
    if not has_layers(wrapped.network):
        raise ModelError(
            f"sanity re-initialises the weights of the model, and the model is {described(wrapped.network)}, whose "
            "weights cannot be accessed. Test its maps with trust and evaluate."
        )
    methods = [default_method(wrapped)] if methods is None else methods
    images = list(iterated(images))
    layer = layer_names(wrapped.network, layer)
    one_layer(layer, "the checks explain")
    for name, values in (("methods", methods), ("checks", checks)):
        if not isinstance(values, list | tuple) or not values:
            raise MethodError(f"sanity: {name} must be a non-empty list, not {shown(values)}.")
    for check in checks:
        if not isinstance(check, str) or check not in CHECKS:
            raise MethodError(f"no check {check!r}.{nearest(str(check), CHECKS)} Known: {', '.join(CHECKS)}.")
    chosen_methods = [find(method) for method in methods]
    explained = "predicted" if target is None else target
    check_run_target(wrapped, explained)
    if explained == "true":
        raise TargetError("sanity explains images without labels: the target is not 'true', but a class, or 'all'.")
    names, loaded, failures = _load_images(wrapped, images)
    if explained == "predicted":
        inputs = to_network(wrapped.network, torch.stack([image.inputs for image in loaded]))
        sanity_inputs = SanityInputs(wrapped, names, inputs, layer)
    else:
        sanity_inputs, failures = _with_targets(wrapped, names, loaded, layer, explained, failures)
    _check_has_other_classes(sanity_inputs, checks)
    total = sum(n_steps(sanity_inputs, check, seeds) for check in checks) * len(chosen_methods)
    steps: list[Step] = []
    strips: dict[tuple[str, Check], tuple[tuple[str, Tensor], ...]] = {}
    done = 0
    for method in chosen_methods:
        for check in checks:
            explained_method = find(SMOOTH_EXPRESSION.format(method.name)) if check == "smooth" else method
            original_maps = sanity_inputs.maps(wrapped.network, explained_method, sanity_inputs.classes)
            strip = [("original", _displayed_values(explained_method, original_maps[0]))]
            for stage, fraction, seed, maps in CHECK_STEPS[check](sanity_inputs, explained_method, seeds):
                steps += _compare_maps(sanity_inputs, method.name, check, stage, fraction, seed, original_maps, maps)
                strip += [(stage, _displayed_values(explained_method, maps[0]))] if seed == 0 else []
                done += 1
                if progress:
                    progress(done, total)
            strips[method.name, check] = tuple(strip)
    image = wrapped.preprocessing.denormalise(sanity_inputs.inputs[:1])[0]
    first_target = sanity_inputs.targets[0].label if sanity_inputs.targets else ""
    return Sanity(tuple(steps), strips, _to_pil(image), wrapped.name, failures, first_target)


def _compare_maps(
    inputs: SanityInputs,
    method: str,
    check: Check,
    stage: str,
    fraction: float,
    seed: int,
    original_maps: Tensor,
    maps: Tensor,
) -> Iterator[Step]:
    """Yield the similarities of the maps before and after a step, one per map."""
    height = max(original_maps.shape[1], 64)  # minimum size for SSIM's window and HOG's cells
    size = (height, max(1, round(height * original_maps.shape[2] / original_maps.shape[1])))
    original_large, maps_large = upsample(original_maps, size), upsample(maps, size)
    pinned = [target.is_pinned for target in inputs.targets] or [False] * len(maps)
    similarities = (
        _rank_correlation(original_maps, maps, pinned),
        _rank_correlation(original_maps.abs(), maps.abs(), pinned),
        ssim(original_large, maps_large),
        pearson(hog(original_large), hog(maps_large)),
        spearman(original_maps[inputs.neighbours], maps),
    )
    labels = [target.label for target in inputs.targets] or [""] * len(inputs.names)
    numbers = zip(*(values.tolist() for values in similarities), strict=True)
    for name, label, row in zip(inputs.names, labels, numbers, strict=True):
        signed, absolute, structure, gradients, pair = row
        yield Step(name, method, check, stage, fraction, seed, signed, absolute, structure, gradients, pair, label)


def _rank_correlation(original: Tensor, maps: Tensor, pinned: Sequence[bool]) -> Tensor:
    """Return the rank correlation of each pair of maps `(n, h, w)`.

    The candidate of a detector depends on the positions around it only, whatever the weights. Where the same one is
    read, all other positions are zero in both maps and are left out: they would be alike for every network.
    """
    correlations = spearman(original, maps)
    for i in (i for i, is_pinned in enumerate(pinned) if is_pinned):
        support = (original[i] != 0) | (maps[i] != 0)
        if int(support.sum()) >= MIN_SUPPORT:
            correlations[i] = spearman(original[i][support][None, None], maps[i][support][None, None])[0]
    return correlations


def _displayed_values(method: Method | Combined, map_: Tensor) -> Tensor:
    """Return the map as displayed: positive values, or absolute values for methods without a ReLU."""
    return map_.relu() if method.relu else map_.abs()


def _to_pil(image: Tensor) -> Image.Image:
    """Return an image `(c, h, w)` in [0, 1] as RGB."""
    pixels = rgb_channels(image).permute(1, 2, 0)
    return Image.fromarray((pixels * 255).round().byte().numpy())


Failures: TypeAlias = tuple[tuple[str, str], ...]
"""Names of images, each with the reason why there is no map."""


def _load_images(
    model: Model, images: Sequence[ImageInput]
) -> tuple[tuple[str, ...], tuple[LoadedInput, ...], Failures]:
    names, inputs, failures = [], [], []
    for number, image in enumerate(images, start=1):
        try:
            inputs.append(load_input(model.preprocessing, image))
            name = source_name(image)
            names.append(f"{name} {number}" if name in names or not isinstance(image, str | os.PathLike) else name)
        except CamlucidaError as error:
            failures.append((source_name(image), str(error)))
    if not inputs:
        reason = f" The first: {failures[0][1]}" if failures else ""
        raise DataError(f"none of the {len(images)} images could be read.{reason}")
    return tuple(names), tuple(inputs), tuple(failures)


def _with_targets(
    model: Model,
    names: Sequence[str],
    images: Sequence[LoadedInput],
    layer: LayerSpec,
    target: str | int,
    failures: Failures,
) -> tuple[SanityInputs, Failures]:
    """Return the inputs of all targets of the images, and the images without such a target with the reason."""
    found: list[tuple[str, Tensor, ClassTarget]] = []
    reasons: list[tuple[str, str]] = []
    specs = specs_of(model, target)
    for name, image in zip(names, images, strict=True):
        try:
            targets = class_targets(model, image.inputs, specs, image.geometry, pinned=True)
        except TargetError as error:
            reasons.append((name, str(error)))
        else:
            found += [(name, image.inputs, each) for each in targets]
    if not found:
        raise TargetError(f"none of the {len(images)} images has the target {target!r}. The first: {reasons[0][1]}")
    batch = to_network(model.network, torch.stack([inputs for _, inputs, _ in found]))
    own_names, own_targets = tuple(name for name, _, _ in found), tuple(each for _, _, each in found)
    return SanityInputs(model, own_names, batch, layer, own_targets), (*failures, *reasons)


def _check_has_other_classes(inputs: SanityInputs, checks: Sequence[Check]) -> None:
    """Raise `TargetError` if `random_logit` was asked for, and a target is the only output of its model."""
    if "random_logit" in checks and (alone := [each for each in inputs.targets if len(each.logits) < 2]):
        raise TargetError(
            f"the check random_logit explains other classes, and {alone[0].label!r} is compared with none. Leave it "
            "out: checks=['cascading'] (--checks cascading)."
        )
