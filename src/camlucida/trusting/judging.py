"""A model and a picture in, a verdict on the map out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camlucida.data.images import Source, load_image
from camlucida.engine import LayerSpec
from camlucida.error_context import name_of, of_this
from camlucida.errors import CamlucidaError, DataError, MethodError, TargetError
from camlucida.evidence import Evidence
from camlucida.explaining import as_model
from camlucida.explanation import Explanation
from camlucida.methods import Combined, find
from camlucida.model_input import Sight
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments, shown
from camlucida.request import INPUT, MethodSpec
from camlucida.targets import class_label
from camlucida.tensors import land
from camlucida.trusting.agreement import Likeness, of_classes, of_noise, of_shifts, other_classes
from camlucida.trusting.asking import evidence_of
from camlucida.trusting.certainty import certainty, edge
from camlucida.trusting.place import place
from camlucida.trusting.value import Trust, in_colours
from camlucida.trusting.verdict import Region
from camlucida.types import ProgressCallback


@checked_arguments(MethodError)
def trust(
    model: Model | nn.Module | str,
    image: Source | Explanation,
    *,
    method: MethodSpec = "grad_cam",
    layer: LayerSpec | Sequence[LayerSpec] = None,
    target: str | int | None = None,
    region: NDArray[np.bool_] | None = None,
    moves: Count = 128,
    seed: Seed = 0,
    progress: ProgressCallback | None = None,
) -> Trust:
    """Put one map to the test: can it be believed?

    Is the model sure, or guessing? Does the place matter: does the class fall when what the map marks is blurred out,
    against the same shape in other places? Is the map about this class? Is it stable? Does the picture's edge decide?

    model    as of `explain`
    image    a picture; or an `Explanation`, whose method, layer and class are taken then
    method, layer, target   as of `explain`; one of each, and the target is a class; options of the method are written
             into it, as in "rise(n=500)"
    region   (height, width) bool, on the picture: where the evidence should lie, such as the mask of the object.
             Whether a model is right for the right reason cannot be seen without one
    moves    in how many places the map is tried: 128, or for slow networks 64 or 32, which find less
    seed     of every choice by chance
    progress told how many of how many runs are done

    About 145 runs of the network. Raises `CamlucidaError`s as `explain` does.
    """
    wrapped = as_model(model)
    how: dict[str, Any]
    source: Source
    if isinstance(image, Explanation):
        if image.index is None:
            raise TargetError(f"trust is about a class, and this explanation is about {image.target!r}.")
        how = _asked_again(image)
        source, name = image.picture, image.source
    else:
        how = {"method": method, "layer": layer, "target": target}
        source, name = image, name_of(image)
    with of_this(wrapped, source):
        return _judged(wrapped, source, name, how, region, moves, seed, progress)


def _asked_again(explanation: Explanation) -> dict[str, Any]:
    """The arguments that give the same map again."""
    method = find(explanation.method)
    layer: Any = re.sub(r" \(call \d+ of \d+\)", "", explanation.layer)
    if explanation.layer == INPUT:
        layer = None
    elif method.fuses:
        layer = layer.split("+")
    options = {} if isinstance(method, Combined) else dict(explanation.options)
    return {"method": method, "layer": layer, "target": explanation.index, "options": options}


def trust_each(
    model: Model | nn.Module | str, images: Iterable[Source], **how: Any
) -> Iterator[tuple[Source, Trust | CamlucidaError]]:
    """`trust` for many pictures, one after the other; a picture that cannot be judged comes with its error."""
    wrapped = as_model(model)
    for image in images:
        try:
            yield image, trust(wrapped, image, **how)
        except CamlucidaError as error:
            yield image, error


def _judged(
    model: Model,
    source: Source,
    name: str,
    how: Mapping[str, Any],
    region: NDArray[np.bool_] | None,
    moves: int,
    seed: int,
    progress: ProgressCallback | None,
) -> Trust:
    picture = load_image(source)
    evidence = evidence_of(model, picture, **how, seed=seed, progress=progress, name=name)
    sight, explainer = evidence.sight, evidence.explainer
    map_ = evidence.relevance.cpu()
    tested = place(sight, map_, moves=moves, tick=progress)
    classes, noise, shifts = _relatives(evidence) if tested is not None else ((), (), ())
    plain = model.preprocessing
    infill = sight.inputs[0] if tested is None else _without(sight, tested.marked, tested.infill)
    return Trust(
        target=class_label(sight.target, model.labels),
        predicted=class_label(int(sight.logits.argmax()), model.labels),
        probability=float(sight.logits.softmax(0)[sight.target]),
        certainty=certainty(sight.logits),
        place=tested,
        edge=edge(sight, None if tested is None else tested.marked),
        classes=classes,
        noise=noise,
        shifts=shifts,
        region=None if region is None else _region(map_, sight, region),
        method=explainer.name,
        layer=str(how["layer"] if how["layer"] is not None else ""),
        model=model.name,
        source=name,
        seed=seed,
        picture=picture,
        geometry=sight.geometry,
        map=map_,
        seen=in_colours(sight.inputs[0], plain.mean, plain.std),
        blurred=in_colours(infill, plain.mean, plain.std),
    )


def _relatives(evidence: Evidence) -> tuple[tuple[Likeness, ...], ...]:
    others = other_classes(evidence)
    names = [class_label(k, evidence.sight.model.labels) for k in others]
    return of_classes(evidence, others, names), of_noise(evidence), of_shifts(evidence)


def _without(sight: Sight, marked: Tensor, infill: Tensor) -> Tensor:
    share = marked.to(sight.inputs)
    return sight.inputs[0] * (1 - share) + infill.to(sight.inputs) * share


def _region(map_: Tensor, sight: Sight, region: NDArray[np.bool_]) -> Region:
    """Counted on the picture, over what the network saw of it."""
    try:
        given = torch.as_tensor(np.asarray(region)).bool()
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"a region is True and False for each pixel of the image, not {shown(region)}.") from None
    width, height = sight.geometry.original
    if tuple(given.shape) != (height, width):
        raise DataError(f"the region is {tuple(given.shape)}, the picture {height} high and {width} wide: one size.")
    landed = land(map_, sight.geometry)
    seen = ~landed.isnan()
    heat = landed.nan_to_num().clamp_min(0).double()
    total = float(heat.sum())
    inside = float(heat[given].sum()) / total if total > 0 else 0.0
    return Region(inside, float(given[seen].double().mean()))
