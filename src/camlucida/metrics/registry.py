"""The registry of metrics. The signature of a metric declares its inputs, as that of a method does.

A metric scores one map of one image. It is a function whose positional parameters name its inputs; options are
keyword-only. It returns one number, a `Score` with a curve, or a dict of several. NaN means that the map cannot be
scored (for example because it is zero everywhere); such maps are counted, and never turn a mean into NaN.

Of volumes and videos, (H, W) is (D, H, W), and `pixel_scale` and `black_level` are `(c, 1, 1, 1)`. Metrics that are
defined for images only raise a `MetricError`.

The map:

- `display_map` `(height, width)`: on the original image, non-negative as the paper displays it, 0 outside the crop that
  the network processes.
- `relevance` `(H, W)`: at input resolution, as defined in the paper (after its ReLU, if it has one).
- `signed` `(H, W)`: at input resolution, before the paper's ReLU.
- `raw` `(h, w)`: at layer resolution, signed.

Ground truth:

- `region` `(height, width)`: bool mask of the object on the original image, or of its boxes where there is no mask.
- `mask` `(height, width)`: bool mask of the object; only where there is one.
- `boxes` `(n, 4)`: left, top, right, bottom in pixels of the original image, right and bottom exclusive.
- `input_region` `(H, W)`: bool mask of the region on the network input.
- `input_boxes` `(n, 4)`: the boxes on the network input.
- `label`: the true class, an int.
- `present_classes` `(k, ...)`: all classes that the image shows, whether or not their location is known.
- `other_objects_mask` `(height, width)`: bool mask of the objects of other classes.
- `parts`: dict from part names to bool masks `(height, width)`.
- `part_score_drops` `(parts,)`: drop of the target's score when each part is not rendered.

The model:

- `inputs` `(c, H, W)`: the network input.
- `logits` `(k,)`: the class scores.
- `target`: the explained class, an int.
- `activation`: an `OutputActivation`, how class scores become probabilities.
- `predict(variants, n)`: class scores `(n, k)` of modified inputs; `variants` maps indices `(n,)` to inputs
  `(n, c, H, W)`.
- `explain(inputs)`: maps `(n, H, W)` of other inputs `(n, c, H, W)` by the same method for the same class.
- `explain_class(classes)`: maps `(n, H, W)` of the same image by the same method for other classes.
- `pixel_scale` `(c, 1, 1)`: the range from black to white in units of the network input.
- `black_level` `(c, 1, 1)`: a black pixel in units of the network input.
- `random`: a `torch.Generator` seeded by the image and the metric, so that all methods get the same random numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida.errors import MetricError, nearest
from camlucida.options import shown

Better: TypeAlias = Literal["high", "low", "neither"]

SCENE_INPUTS = frozenset({"other_objects_mask", "parts", "part_score_drops"})
"""Inputs that exist only for rendered scenes, or for images annotated with more than one class or part."""
GROUND_TRUTH_INPUTS = SCENE_INPUTS | {
    "region",
    "mask",
    "boxes",
    "input_region",
    "input_boxes",
    "label",
    "present_classes",
}
MAP_INPUTS = frozenset({"display_map", "relevance", "signed", "raw", "explain", "explain_class"})
"""Inputs that depend on the explainer."""
METRIC_INPUTS = (
    GROUND_TRUTH_INPUTS
    | MAP_INPUTS
    | {"inputs", "logits", "target", "activation", "predict", "pixel_scale", "black_level", "random"}
)
"""All inputs that a metric may declare."""


@dataclass(frozen=True)
class Score:
    """A number, and optionally the vector `(m,)` from which it is computed: a curve, or hits per threshold."""

    value: float
    curve: Tensor | None = None


@dataclass(frozen=True)
class DatasetReduction:
    """A data set value computed from a mean over images, so that resampling images is a weighted mean.

    Attributes:
        per_image: Maps the vectors `(n, m)` of n images to the quantities `(n, q)` that are averaged.
        from_mean: Maps means `(..., q)` to data set values `(...)`.
    """

    per_image: Callable[[Tensor], Tensor]
    from_mean: Callable[[Tensor], Tensor]

    def __call__(self, curves: Tensor) -> float:
        return float(self.from_mean(self.per_image(curves.double()).mean(0)))


@dataclass(frozen=True)
class MetricOutput:
    """The meaning of one number that a metric returns.

    Attributes:
        better: Whether high or low values are better, or neither for descriptive numbers.
        worst: The value of maps that cannot be scored. For descriptive numbers such maps are left out.
        pool: Maps the vectors `(n, m)` of n images to the data set value; None for the mean over images. A
            `DatasetReduction` is resampled efficiently.
        mean: Whether the mean is over images, or within each class first and then over classes.
        axes: Labels of the curve's x axis, which runs from 0 to 1, and y axis; None for curves that are not plotted.
    """

    better: Better
    worst: float = 0.0
    pool: Callable[[Tensor], float] | None = None
    mean: Literal["images", "classes"] = "images"
    axes: tuple[str, str] | None = None


@dataclass(frozen=True)
class Metric:
    """An entry of the registry; calling it calls the metric function.

    Attributes:
        name: Name of the metric.
        function: The metric function.
        needs: Names of the inputs that it declares.
        options: Names and default values of its options.
        outputs: The numbers that it returns, by name.
        paper: Reference with the equation.
        deviation: Differences from the paper, with reasons.
        aliases: Further names by which the metric is found: those of papers and of other libraries.
    """

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    options: Mapping[str, Any]
    outputs: Mapping[str, MetricOutput]
    paper: str
    deviation: str
    aliases: tuple[str, ...] = ()

    @plain_arithmetic()
    def __call__(self, *inputs: Any, **options: Any) -> dict[str, Score]:
        """Compute all numbers of the metric, by name."""
        result = self.function(*inputs, **options)
        parts = result if isinstance(result, dict) else {self.name: result}
        return {name: part if isinstance(part, Score) else Score(float(part)) for name, part in parts.items()}

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return inspect.getdoc(self.function) or ""

    @property
    def group(self) -> str:
        """The group of the metric, derived from its inputs."""
        needs = set(self.needs)
        if needs & SCENE_INPUTS:
            return "ground_truth"
        if needs & GROUND_TRUTH_INPUTS:
            return "localisation"
        if "predict" in needs:
            return "faithfulness"
        return "robustness" if needs & {"explain", "explain_class"} else "complexity"


_metrics: dict[str, Metric] = {}


def metric(
    *,
    paper: str,
    outputs: Mapping[str, MetricOutput] | MetricOutput,
    deviation: str = "none",
    aliases: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], Metric]:
    """Register the decorated function as a metric under its own name.

    Args:
        paper: Reference with the equation.
        outputs: The meaning of the metric's number, or of each of its numbers by name.
        deviation: Differences from the paper, with reasons.
        aliases: Further names by which `find` returns the metric; results contain the name of the function.
    """

    def register(function: Callable[..., Any]) -> Metric:
        name = function.__name__
        parameters = inspect.signature(function).parameters.values()
        needs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        unknown = set(needs) - METRIC_INPUTS
        if unknown or {_normalized(n) for n in (name, *aliases)} & set(_normalized_names()):
            raise MetricError(f"metric {name}: registered twice, or declares unknown inputs {sorted(unknown)}.")
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        values = {name: outputs} if isinstance(outputs, MetricOutput) else dict(outputs)
        _metrics[name] = Metric(name, function, needs, options, values, paper, deviation, tuple(aliases))
        return _metrics[name]

    return register


def metrics() -> dict[str, Metric]:
    """Return all metrics by name, in registration order."""
    return dict(_metrics)


def groups() -> dict[str, list[str]]:
    """Return the names of the metrics in each group."""
    by_group: dict[str, list[str]] = {}
    for entry in _metrics.values():
        by_group.setdefault(entry.group, []).append(entry.name)
    return by_group


@dataclass(frozen=True)
class Preset:
    """A metric with fixed options under a citable name; presets never change after a release.

    Attributes:
        name: Name of the preset.
        metric: The metric.
        options: The options that differ from the metric's defaults.
    """

    name: str
    metric: Metric
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """All options, including defaults."""
        return {**self.metric.options, **self.options}


_presets: dict[str, Preset] = {}


def preset(name: str, base: Metric, **options: Any) -> Preset:
    """Register a metric with fixed options under a name, e.g. `preset("deletion/rise", deletion, step=224)`."""
    unknown = set(options) - set(base.options)
    if unknown or name in _presets:
        raise MetricError(f"preset {name}: registered twice, or with unknown options {sorted(unknown)}.")
    _presets[name] = Preset(name, base, options)
    return _presets[name]


def presets() -> dict[str, Preset]:
    """Return all presets by name."""
    return dict(_presets)


def find(name: str | Metric | Preset) -> Preset:
    """Return a preset or metric by its name or an alias; a metric is returned as a preset with its defaults.

    Case, hyphens and underscores of a metric's name are ignored.

    Raises:
        MetricError: For an unknown name; the message suggests the nearest one.
    """
    if isinstance(name, Preset):
        return name
    if isinstance(name, Metric):
        return Preset(name.name, name)
    if not isinstance(name, str):
        raise MetricError(f"a metric is given by name, not {shown(name)}. Known: {', '.join(_metrics)}.")
    if name in _presets:
        return _presets[name]
    key = _normalized_names().get(_normalized(name))
    if key is None:
        known = [*_metrics, *_presets]
        names = [*known, *(alias for entry in _metrics.values() for alias in entry.aliases)]
        raise MetricError(f"no metric {name!r}.{nearest(name, names)} Known: {', '.join(known)}.")
    return Preset(key, _metrics[key])


def _normalized(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _normalized_names() -> dict[str, str]:
    """Return the metrics' names by their normalised names and aliases."""
    return {_normalized(name): entry.name for entry in _metrics.values() for name in (entry.name, *entry.aliases)}
