"""The one door: a model and a picture in, an explanation out."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida.attribution import INPUT, Attribution, attributions, check_layer, several_layers, several_targets
from camlucida.data.images import Source, load_image
from camlucida.engine import twin_of
from camlucida.engine.repeats import Precision, Repeats
from camlucida.errors import CamlucidaError, LayerError, MethodError, ModelError, TargetError
from camlucida.explanation import Explanation
from camlucida.explanations import Explanations
from camlucida.fixtures import Tick
from camlucida.methods import Combined, Method, find
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.outputs import class_scores, placed
from camlucida.targets import ClassScore, Target, class_label
from camlucida.types import Geometry, Prediction

TOP = 5
"""How many predictions an explanation carries."""


def explain(
    model: Model | nn.Module | str,
    image: Source,
    *,
    target: Any = None,
    layer: Any = None,
    method: Any = "grad_cam",
    score: str = "logit",
    options: Mapping[str, Any] | None = None,
    precision: Precision = "exact",
    batch: int | None = None,
    progress: Tick | None = None,
) -> Any:
    """Explain what a model says about one picture.

    model    from `load` or `wrap`, a spec for `load`, or a bare network (then 224 px and ImageNet's numbers)
    image    a path, file, bytes, PIL picture or array
    target   what to explain: None for the predicted class, a name ("tiger cat"), an index, "top3",
             "A rather than B", "not A" (what speaks against it), any callable; a list for several
    layer    a name, a glob ("layer?"), an index, "all", None for the default; a list for several
    method   by name, with combinators round it or not: "smooth(positive(hires_cam), n=4)"; a list for several
    score    what a class is scored by: logit (as in the papers), probability, log_probability
    options  of the method
    precision  "bf16" runs the network in bfloat16 where a method runs it on many other pictures without gradients
             (Score-CAM and its kin, occlusion, RISE, LIME, KernelSHAP): about twice as fast on a processor with
             bfloat16 units, slower on one without. Scores are off by about 1 %; maps are computed in float32
    batch    the most pictures such methods run at once: less memory; None is as many as help
    progress told how many of how many runs are done, by methods that run the network often

    Returns an `Explanation`, or `Explanations` where several targets, layers or methods were asked for; all of
    them come from one run of the network. Raises `CamlucidaError`s that name the model and the picture.
    """
    wrapped = as_model(model)
    with of_this(wrapped, image):
        repeats = Repeats(precision, batch)
        return _explained(wrapped, image, target, layer, method, score, dict(options or {}), repeats, progress)


def explain_each(
    model: Model | nn.Module | str, images: Iterable[Source], **how: Any
) -> Iterator[tuple[Source, Explanation | Explanations | CamlucidaError]]:
    """`explain` for many pictures, one after the other; a picture that cannot be explained comes with its error."""
    wrapped = as_model(model)
    for image in images:
        try:
            yield image, explain(wrapped, image, **how)
        except CamlucidaError as error:
            yield image, error


def _explained(
    model: Model,
    image: Source,
    target: Any,
    layer: Any,
    method: Any,
    score: str,
    options: dict[str, Any],
    repeats: Repeats,
    progress: Tick | None,
) -> Explanation | Explanations:
    methods = [find(m) for m in method] if isinstance(method, list | tuple) else [find(method)]
    _check(methods, target, layer, options)
    if len(methods) == 1:
        check_layer(methods[0], layer)
    picture = load_image(image)
    inputs, geometry = model.preprocessing(picture)
    layers = list(layer) if isinstance(layer, list | tuple) else [layer]
    run = attributions(
        model.network,
        inputs[None],
        targets=list(target) if isinstance(target, list | tuple) else [target],
        layers=layers,
        methods=[(m, m.with_options(_own(options, m, methods))) for m in methods],
        default=model.layer,
        names=model.labels,
        score=score,
        output=model.output,
        repeats=repeats,
        tick=progress,
    )
    made = Explanations(tuple(_each(model, name_of(image), picture, geometry, methods, options, run, score, repeats)))
    several = isinstance(method, list | tuple) or several_targets(target)
    several |= several_layers(layer) and not methods[0].fuses
    return made if several or len(made) > 1 else made.items[0]


def _check(methods: Sequence[Method | Combined], target: Any, layer: Any, options: Mapping[str, Any]) -> None:
    """Refuse empty lists, and options that would be ignored or fail only inside the arithmetic."""
    for asked, kind, what in (
        (methods, MethodError, "method"),
        (target, TargetError, "target"),
        (layer, LayerError, "layer"),
    ):
        if isinstance(asked, list | tuple) and not asked:
            raise kind(f"an empty list of {what}s: there is nothing to explain.")
    for name, value in options.items():
        having = [m for m in methods if name in m.options]
        if not having and len(methods) > 1:
            raise MethodError(f"none of {', '.join(m.name for m in methods)} has an option {name!r}.")
        for m in having:
            if isinstance(m.options[name], int | float) and not isinstance(value, int | float):
                raise MethodError(f"{m.name}: {name} is a number (by default {m.options[name]:g}), not {value!r}.")
            if type(m.options[name]) is int and isinstance(value, float):
                raise MethodError(f"{m.name}: {name} is a whole number (by default {m.options[name]}), not {value!r}.")


def _own(options: Mapping[str, Any], method: Method | Combined, methods: Sequence[Method | Combined]) -> dict[str, Any]:
    """The options that belong to `method`; with one method all of them, so that a wrong one is named."""
    if len(methods) == 1:
        return dict(options)
    return {key: value for key, value in options.items() if key in method.options}


def _each(
    model: Model,
    source: str,
    picture: Image.Image,
    geometry: Geometry,
    methods: Sequence[Method | Combined],
    options: Mapping[str, Any],
    run: Attribution,
    score: str,
    repeats: Repeats,
) -> Iterator[Explanation]:
    predictions = top_predictions(_numbers(run.output[0]), model.labels)
    for m, method in enumerate(methods):
        for t, target in enumerate(run.targets):
            for l, layer in enumerate(run.layers[m]):
                yield Explanation(
                    raw=run.maps[m][l][t][0].float().cpu(),
                    relu=method.relu,
                    picture=picture,
                    geometry=geometry,
                    target=target.label(model.labels),
                    index=class_of(target),
                    score=float(run.scores[t, 0]),
                    score_kind=score if isinstance(target, ClassScore) else "score",
                    predictions=predictions,
                    method=method.name,
                    options=method.with_options(_own(options, method, methods)),
                    repeats=repeats,
                    paper=method.paper,
                    layer=layer.label if layer else INPUT,
                    model=model.name,
                    source=source,
                    weights_hash=lambda: model.weights_hash,
                    versions=versions(),
                    display=method.display,
                    notes={name: float(value[0]) for name, value in run.notes[m][l][t].items()},
                )


def scores_of(model: Model, image: Source) -> Tensor:
    """What a model says about one picture, with no map: its class scores (k,). Raises as `explain` does."""
    with of_this(model, image), torch.inference_mode(False), torch.no_grad():
        inputs, _ = model.preprocessing(load_image(image))
        output = twin_of(model.network).module(placed(model.network, inputs[None]))
        return _numbers(class_scores(output, model.output)[0].cpu())


def _numbers(scores: Tensor) -> Tensor:
    """Scores (k,) as they are. Raises `ModelError` where one is NaN or infinite; -inf only rules a class out."""
    wrong = int((scores.isnan() | scores.isposinf()).sum())
    if wrong:
        raise ModelError(
            f"the network's answer is no number: {wrong} of its {len(scores)} scores are NaN or infinite. Look for a "
            "division by 0, a root or logarithm of 0, or weights that are NaN themselves."
        )
    return scores


def top_predictions(scores: Tensor, names: Sequence[str], count: int = TOP) -> tuple[Prediction, ...]:
    """The `count` likeliest classes of one picture's scores (k,), best first."""
    chances = scores.softmax(0)
    best = torch.topk(scores, min(count, len(scores))).indices.tolist()
    return tuple(Prediction(i, class_label(i, names), float(chances[i]), float(scores[i])) for i in best)


@cache
def versions() -> dict[str, str]:
    """Versions of what takes part in an explanation."""
    found = {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "pillow", "numpy")}
    return {"camlucida": camlucida.__version__, **found}


def class_of(target: Target) -> int | None:
    """The class that a target scores, if it is one class; None for "cat rather than dog" and the like."""
    if not isinstance(target, ClassScore):
        return None
    return target.index if isinstance(target.index, int) else int(target.index[0])


def as_model(model: Model | nn.Module | str) -> Model:
    """A model as it is, a spec loaded, a bare network wrapped."""
    if isinstance(model, str):
        return load(model)
    return model if isinstance(model, Model) else Model(model)
