"""The registry of metrics. A metric's signature is its request, as a method's is.

A metric judges one map of one picture. It is a function whose positional parameters are what it asks for; options
are keyword-only. It returns one number, a `Score` with a curve beside it, or a dict of several; NaN means that the map
cannot be judged by it (a map without any relevance), which is counted and never becomes a NaN average.

The map:
    shown       (height, width)   on the original picture, at least 0 as the paper shows it, 0 where not looked at
    relevance   (H, W)            on the network's input, as the paper has it (ReLU'd where the method is)
    signed      (H, W)            on the network's input, with what the paper's ReLU cuts off
    raw         (h, w)            on its own grid, signed
What is true:
    region      (height, width)   bool: the object's mask on the original picture, or its boxes where no mask is known
    mask        (height, width)   bool: its mask; only where one is known
    boxes       (n, 4)            left, top, right, bottom in pixels of the original picture, right and bottom exclusive
    region_seen (H, W)            bool: the region as the network sees it
    boxes_seen  (n, 4)            the boxes on the network's input
    label       int               the class it truly shows
    present     (k, ...)          all classes it truly shows, whether it is known where or not
    other_objects_mask  (height, width)   bool: the objects of other classes
    parts       name -> (height, width)   bool: what the object consists of
    effects     (parts,)          how far the target's score falls when each part is not drawn
The model:
    inputs      (c, H, W)         the picture as the network wants it
    logits      (k,)              what it says about it
    target      int               the class that the map is about
    predict     variants, count -> (count, k)   class scores of other pictures: numbers (n,) in, (n, c, H, W) out
    explain     (n, c, H, W) -> (n, H, W)       the same kind of map, for the same class, of other pictures
    explain_class   classes -> (n, H, W)        the same kind of map of this picture for other classes
    pixel       (c, 1, 1)         how much of the network's input one step from black to white is
    black       (c, 1, 1)         a black pixel, in units of the network's input
    random      torch.Generator   seeded by the picture and the metric, so that all methods meet the same chance
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from torch import Tensor

from camlucida.errors import MetricError, nearest
from camlucida.options import shown

Better: TypeAlias = Literal["high", "low", "neither"]

SCENE_INPUTS = frozenset({"other_objects_mask", "parts", "part_score_drops"})
"""What only pictures tell that were drawn, or outlined with more than one class or part."""
GROUND_TRUTH_INPUTS = SCENE_INPUTS | {
    "region",
    "mask",
    "boxes",
    "region_seen",
    "boxes_seen",
    "label",
    "present_classes",
}
NETWORK_CALLS = frozenset({"predict", "explain", "explain_class", "part_score_drops"})
"""Those that run the network."""
METRIC_INPUTS = (
    GROUND_TRUTH_INPUTS
    | NETWORK_CALLS
    | {"shown", "relevance", "signed", "raw", "inputs", "logits", "target", "pixel_scale", "black_level", "random"}
)
"""What a metric may ask for."""


@dataclass(frozen=True)
class Score:
    """One number, and the vector (m,) it was made of, where it is worth keeping: a curve, hits a threshold."""

    value: float
    curve: Tensor | None = None


@dataclass(frozen=True)
class DatasetReduction:
    """A number of all pictures at once that is made of a mean over them, so that redrawing them is a weighted mean.

    each    the vectors (n, m) of n pictures in, what is averaged out: (n, q)
    whole   means (..., q) in, the numbers (...) out
    """

    per_image: Callable[[Tensor], Tensor]
    from_mean: Callable[[Tensor], Tensor]

    def __call__(self, curves: Tensor) -> float:
        return float(self.from_mean(self.per_image(curves.double()).mean(0)))


@dataclass(frozen=True)
class MetricOutput:
    """One number that a metric gives.

    better  which way is good: high, low, or neither for what only describes
    worst   what counts where the map cannot be judged; of what only describes such maps are left out
    pool    the vectors (n, m) of n pictures in, the number for all of them out; None for the mean over the pictures.
            A `Pool` is redrawn quickly
    mean    over pictures, or first within every class and then over classes
    axes    what a curve runs along, from 0 to 1, and what it says there, in words; None where it is nothing to look at
    """

    better: Better
    worst: float = 0.0
    pool: Callable[[Tensor], float] | None = None
    mean: Literal["pictures", "classes"] = "pictures"
    axes: tuple[str, str] | None = None


@dataclass(frozen=True)
class Metric:
    """One entry of the registry, and still the function it was made of."""

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    options: Mapping[str, Any]
    outputs: Mapping[str, MetricOutput]
    paper: str
    deviation: str

    def __call__(self, *inputs: Any, **options: Any) -> dict[str, Score]:
        """Every number by its name."""
        result = self.function(*inputs, **options)
        parts = result if isinstance(result, dict) else {self.name: result}
        return {name: part if isinstance(part, Score) else Score(float(part)) for name, part in parts.items()}

    @property
    def summary(self) -> str:
        """In plain words: the first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return inspect.getdoc(self.function) or ""

    @property
    def group(self) -> str:
        """What kind of question it asks; seen from what it needs."""
        needs = set(self.needs)
        if needs & SCENE_INPUTS:
            return "ground_truth"
        if needs & GROUND_TRUTH_INPUTS:
            return "localisation"
        if "predict" in needs:
            return "faithfulness"
        return "robustness" if needs & {"explain", "explain_class"} else "complexity"

    @property
    def runs_network(self) -> bool:
        """Whether it costs more than arithmetic."""
        return bool(NETWORK_CALLS & set(self.needs))


_metrics: dict[str, Metric] = {}


def metric(
    *, paper: str, outputs: Mapping[str, MetricOutput] | MetricOutput, deviation: str = "none"
) -> Callable[[Callable[..., Any]], Metric]:
    """Register the decorated function as a metric under its own name.

    paper       where it stands, with the equation
    gives       what its one number means, or that of each of its numbers by name
    deviation   where ours differs from the paper's, and why
    """

    def register(function: Callable[..., Any]) -> Metric:
        name = function.__name__
        parameters = inspect.signature(function).parameters.values()
        needs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        unknown = set(needs) - METRIC_INPUTS
        if unknown or name in _metrics:
            raise MetricError(f"metric {name}: registered twice, or asks for unknown {sorted(unknown)}.")
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        values = {name: outputs} if isinstance(outputs, MetricOutput) else dict(outputs)
        _metrics[name] = Metric(name, function, needs, options, values, paper, deviation)
        return _metrics[name]

    return register


def metrics() -> dict[str, Metric]:
    """All metrics by name, in the order in which they are listed."""
    return dict(_metrics)


def groups() -> dict[str, list[str]]:
    """The names of the metrics of each group."""
    by_group: dict[str, list[str]] = {}
    for entry in _metrics.values():
        by_group.setdefault(entry.group, []).append(entry.name)
    return by_group


@dataclass(frozen=True)
class Preset:
    """A metric with its options frozen under a name that can be quoted: it never changes after a release."""

    name: str
    metric: Metric
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Every option, the defaults too."""
        return {**self.metric.options, **self.options}


_presets: dict[str, Preset] = {}


def preset(name: str, base: Metric, **options: Any) -> Preset:
    """Freeze options under a name: preset("deletion/rise", deletion, step=224)."""
    unknown = set(options) - set(base.options)
    if unknown or name in _presets:
        raise MetricError(f"preset {name}: registered twice, or with unknown options {sorted(unknown)}.")
    _presets[name] = Preset(name, base, options)
    return _presets[name]


def presets() -> dict[str, Preset]:
    """All presets by name."""
    return dict(_presets)


def find(name: str | Metric | Preset) -> Preset:
    """A metric or preset by name (a metric stands for itself with its defaults); `MetricError` offers the nearest."""
    if isinstance(name, Preset):
        return name
    if isinstance(name, Metric):
        return Preset(name.name, name)
    if not isinstance(name, str):
        raise MetricError(f"a metric is asked for by name, not {shown(name)}. Known: {', '.join(_metrics)}.")
    if name in _presets:
        return _presets[name]
    normalized = {key.replace("_", ""): key for key in _metrics}
    key = normalized.get(str(name).lower().replace("-", "").replace("_", ""))
    if key is None:
        known = [*_metrics, *_presets]
        raise MetricError(f"no metric {name!r}.{nearest(str(name), known)} Known: {', '.join(known)}.")
    return Preset(key, _metrics[key])
