"""Explain the targets of one image: its boxes, regions, prompts and words, and its similarity to another image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from camlucida._ambient import plain_arithmetic
from camlucida.attribution.attributions import attributions
from camlucida.attribution.bind_targets import bind_targets, region_on_image, spec_on_image
from camlucida.attribution.build_explanations import each_map
from camlucida.attribution.error_context import error_context, input_context, source_name
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.load_input import ImageInput, LoadedInput, load_input
from camlucida.attribution.load_volume_input import Loaded
from camlucida.attribution.request import AttributionRequest
from camlucida.attribution.similarity_targets import both_ways
from camlucida.errors import ModelError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.model import Model


def explain_image_targets(
    model: Model, weights: str, source: str, request: AttributionRequest, loaded: Loaded
) -> Explanation | ExplanationSet:
    """Explain the boxes, regions, prompts or words of one image, each as a target of a model that is bound to it."""
    if not isinstance(loaded, LoadedInput):
        raise ModelError(
            "boxes, regions, prompts, words and similarities are explained on images, and this is a volume or a video."
        )
    with input_context(loaded):
        targets = bind_targets(model, loaded.inputs, request.targets, loaded.geometry)
    items = [item for bound in targets for item in _each_bound(model, bound, weights, source, request, loaded)]
    methods = list(dict.fromkeys(item.method for item in items))
    items.sort(key=lambda item: methods.index(item.method))  # by method, then target and layer, as of all sets
    return ExplanationSet(tuple(items)) if request.several or len(items) > 1 else items[0]


def _each_bound(
    model: Model, bound: BoundTarget, weights: str, source: str, request: AttributionRequest, loaded: LoadedInput
) -> Iterator[Explanation]:
    """Yield every map of one target that is bound to its image."""
    with input_context(loaded):
        result = attributions(bound.model, loaded.inputs[None], replace(request, targets=[bound.target]))
    region, spec = region_on_image(bound.region, loaded.geometry), spec_on_image(bound.spec, loaded.geometry)
    for explanation in each_map(bound.model, weights, source, loaded, request, result):
        label = spec_on_image(bound.label, loaded.geometry) or explanation.target
        yield replace(explanation, target=label, region=region, spec=spec, model=model.name)


@plain_arithmetic()
def explained_both_ways(
    model: Model, image: ImageInput, like: ImageInput, request: AttributionRequest
) -> ExplanationSet:
    """Return the explanations of the similarity of two images: of the first to the second, and of the second to it.

    Args:
        model: The model.
        image: The first image.
        like: The second image.
        request: Methods and layers; its target is replaced by the similarity.

    Raises:
        CamlucidaError: As in `explain`; the embedding of the network is unknown.
    """
    names = [source_name(image), source_name(like)]
    if names[0] == names[1]:
        names = [f"{names[0]} (1)", f"{names[1]} (2)"]
    with error_context(model, image):
        weights, both = model.weights_hash, both_ways(model, image, like)
    items: list[Explanation] = []
    for own, source, name, other in zip(both, (image, like), names, reversed(names), strict=True):
        with error_context(model, source):
            bound = BoundTarget(own, 0, f"similarity to {other}")
            loaded = load_input(model.preprocessing, source)
            maps = _each_bound(model, bound, weights, source_name(source), request, loaded)
            items += [replace(explanation, input=name) for explanation in maps]
    return ExplanationSet(tuple(items))
