"""Make the explanations of an image, a volume or a video from the maps of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor

from camlucida.attribution.attributions import Attribution
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.load_volume_input import Loaded, LoadedVideo, LoadedVolume
from camlucida.attribution.predictions import check_finite, top_predictions
from camlucida.attribution.reproduction import versions
from camlucida.attribution.request import INPUT, AttributionRequest
from camlucida.attribution.video_explanation import VideoExplanation
from camlucida.attribution.volume_explanation import VolumeExplanation
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.render.volume_views import grey_image
from camlucida.targets import ClassScore, Target
from camlucida.tasks import OutputActivation
from camlucida.types import Geometry


def each_map(
    model: Model,
    weights: str,
    source: str,
    loaded: Loaded,
    request: AttributionRequest,
    result: Attribution,
    input_name: str = "",
    i: int = 0,
) -> Iterator[Explanation]:
    """Yield the explanation of every map of one image of a run.

    Args:
        model: The model that was run.
        weights: Hash of its weights.
        source: Name of the image.
        loaded: What was loaded of the image.
        request: The request.
        result: The maps of the run.
        input_name: Name of the image among the inputs of a network that takes several.
        i: Index of the image in the batch.

    Raises:
        ModelError: A class score is NaN or infinite.
    """
    activation = result.activation
    predictions = top_predictions(check_finite(result.output[i]), model.labels, activation)
    targets = [target.of(i) for target in result.targets]
    for m, (method, options) in enumerate(request.methods):
        for t, target in enumerate(targets):
            for l, layer in enumerate(result.layers[m]):
                yield _explanation(
                    loaded,
                    raw=result.maps[m][l][t][i].float().cpu().clone(),  # so that pickling stores this map only
                    relu=method.relu,
                    target=target.label(model.labels),
                    index=target_class(target),
                    score=float(result.scores[t, i]),
                    score_kind=_score_kind(target, request.score, activation),
                    predictions=predictions,
                    method=method.name,
                    method_reason=request.method_reason,
                    options=dict(options),
                    run_options=request.run_options,
                    colour=_colour(model.preprocessings.get(input_name, model.preprocessing), result, m, l, t, i),
                    paper=method.paper,
                    layer=layer.label if layer else INPUT,
                    model=model.name,
                    source=source,
                    input=input_name,
                    weights_hash=weights,
                    versions=dict(versions()),
                    display=method.display,
                    activation=activation,
                    notes={name: float(value[i]) for name, value in result.notes[m][l][t].items()},
                )


def _colour(preprocessing: Preprocessing, result: Attribution, m: int, l: int, t: int, i: int) -> Tensor | None:
    """Return a map in colour, whose channels are those of an RGB image also where the network takes blue first."""
    colour = result.colours[m][l][t] if result.colours else None
    if colour is None:
        return None
    own = colour[i].float().cpu().clone()
    return preprocessing.reorder_channels(own) if own.ndim == 3 else own


def _explanation(loaded: Loaded, **values: Any) -> Explanation:
    """Return the explanation of an image, a volume or a video."""
    if isinstance(loaded, LoadedVolume):
        return _volume_explanation(loaded, values)
    if isinstance(loaded, LoadedVideo):
        explanation = VideoExplanation(
            **values, image=loaded.video.frames[0], geometry=loaded.geometry, video=loaded.video
        )
        return replace(explanation, image=loaded.video.frames[explanation.peak_frame])
    return Explanation(**values, image=loaded.image, geometry=loaded.geometry, array=loaded.array)


def _volume_explanation(loaded: LoadedVolume, values: dict[str, Any]) -> VolumeExplanation:
    preprocessing, has_position = loaded.preprocessing, loaded.volume.affine is not None
    orientation = preprocessing.orientation if preprocessing is not None and has_position else ""
    middle = loaded.voxels[0, loaded.voxels.shape[1] // 2]
    image = grey_image(middle, loaded.windows[0])
    return VolumeExplanation(
        **values,
        image=image,
        geometry=Geometry(image.size, image.size, (1.0, 1.0), (0.0, 0.0)),
        volume=loaded.volume,
        voxels=loaded.voxels,
        orientation=orientation,
        volume_geometry=loaded.geometry,
        windows=loaded.windows,
        preprocessing={} if preprocessing is None else preprocessing.record(),
    )


def _score_kind(target: Target, score: str, activation: OutputActivation) -> str:
    """Return what the score of a target is: "score" for targets that are no class."""
    if not isinstance(target, ClassScore):
        return "score"
    if score == "logit" and activation.is_probability:
        return "probability"
    return "value" if score == "logit" and not activation.has_probabilities else score


def target_class(target: Target) -> int | None:
    """Return the class that a target scores; None if it is not a single class, as for "cat rather than dog"."""
    if not isinstance(target, ClassScore):
        return None
    return target.index if isinstance(target.index, int) else int(target.index[0])
