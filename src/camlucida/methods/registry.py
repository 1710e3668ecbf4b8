"""The registry of methods: the signature of a method is its request.

The positional parameters of a method name its inputs, as pytest's fixtures do, and only the named inputs are computed.
Its keyword-only parameters are its options. `@method` registers the function; the choices of the command line, the
section in the docs and the contract tests follow from the entry.

Inputs at a layer, which replace the forward and backward hooks of other packages. Every layout of a layer, tokens of a
transformer included, is converted to `(b, c, h, w)` (what `reshape_transform` does in pytorch-grad-cam):
    activations        (b, c, h, w)      activations of the layer
    gradients          (b, c, h, w)      d score / d activations
    ablate             infill -> (c, b)  the score with channel c set to `infill`
    head_weights       (b, c)            the target's weights, where average pooling and one linear layer follow
    score_activations  variants -> (n, b)  scores for other activations (n, b, c, h, w)
    hvp                (b, c, h, w) -> (b, c, h, w)  Hessian-vector product at the activations with a direction
    layer_at           (b, c, H, W) -> (activations, gradients)  of the layer, at other network inputs
    layer_relevance    rule -> ((b, c, h, w), (b,))  as `relevance`, at the layer
    competing_classes  n -> (gradients (n, b, c, h, w), scores (n, b))  of the n classes nearest in score
Other inputs:
    inputs               (b, c, H, W)        network inputs, normalised as the network requires
    score                (b,)                score of the target on the unmodified inputs, in its own units
    score_inputs         variants -> (n, b)  scores of other network inputs (n, b, c, H, W)
    input_gradients      variants -> chunks  of (indices (n,), scores (n, b), gradients (n, b, c, H, W))
    guided, deconvolved  as `input_gradients`, with another rule at ReLUs; networks without ReLUs raise an error
    attention            `Attention`: attention weights of every block of a transformer; other networks raise an error
    attention_gradients  (b, heads, t, t) per block  d score / d attention weights
    multipliers          (b, c, H, W) -> (b, c, H, W)  baseline inputs to DeepLIFT multipliers
    bias_gradients       () -> (b, c, H, W), list  input gradient; contribution of each bias, (b, c, h, w) or (b,)
    relevance            rule -> ((b, c, H, W), (b,))  relevance of the inputs; total relevance at the output
    report               name, (b,) -> None  reports one number per image beside the map
    progress             done, total -> None  reports progress, for methods that run the network step by step

An input that takes variants takes a function from variant numbers `(n,)` to variants, and their number; the engine
chooses the chunks. A method without an input of the first group maps the network input itself, at its full size.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from camlucida._ambient import plain_arithmetic
from camlucida.errors import MethodError, nearest
from camlucida.methods.common.channel_reduction import KEEP, reduce_channels
from camlucida.options import check_all, options_of
from camlucida.types import Display, Map

MapSize: TypeAlias = Literal["layer", "input"]

LAYER_INPUTS = frozenset(
    {
        "activations",
        "gradients",
        "ablate",
        "head_weights",
        "score_activations",
        "hvp",
        "layer_at",
        "competing_classes",
        "layer_relevance",
    }
)
SUFFIX_INPUTS = frozenset({"ablate", "head_weights", "score_activations", "hvp"})
"""Inputs that run the suffix of the network again."""
RELU_INPUTS = frozenset({"guided", "deconvolved"})
"""Inputs that only networks with ReLUs have."""
ATTENTION_INPUTS = frozenset({"attention", "attention_gradients"})
"""Inputs that only networks with attention between all tokens have."""
PIXEL_GRADIENT_INPUTS = RELU_INPUTS | {"input_gradients", "multipliers", "bias_gradients", "relevance"}
"""Inputs that need a backward pass through the whole network."""
ANY_NETWORK_INPUTS = frozenset({"inputs", "score", "score_inputs", "report", "progress"})
"""Inputs that need no more of a network than its scores: all that a black box has."""
METHOD_INPUTS = LAYER_INPUTS | ATTENTION_INPUTS | PIXEL_GRADIENT_INPUTS | ANY_NETWORK_INPUTS
"""All inputs that a method can name."""

LAYER_DISPLAY = Display()
"""The positive part, scaled by its maximum: the display of layer maps in the papers."""
PIXEL_DISPLAY = Display(signed=True, percentile=99)
"""Both signs, scaled by the 99th percentile, since the maximum of a pixel map is an outlier."""


@dataclass(frozen=True)
class Method:
    """An entry of the registry, callable like the function it was made from.

    Attributes:
        name: Name of the method.
        function: The decorated function.
        needs: Names of the positional parameters, in order.
        options: Default values of the options, by name.
        paper: Paper with its equation.
        deviation: Difference from the paper, and the reason; "none" without one.
        relu: Whether the paper applies a ReLU to the map. The caller applies it, so that the signed map is kept.
        map_size: Size of the maps: the grid of the "layer", or the size of the network input ("input").
        display: How the map is converted to colours.
    """

    name: str
    function: Callable[..., Map]
    needs: tuple[str, ...]
    options: Mapping[str, Any]
    paper: str
    deviation: str
    relu: bool
    map_size: MapSize
    display: Display

    @plain_arithmetic()
    def __call__(self, *args: Any, **options: Any) -> Map:
        return self.function(*args, **self.with_options(options))

    @plain_arithmetic()
    def colour(self, *args: Any, **options: Any) -> tuple[Map, Map]:
        """Compute a map and the map in colour of which it is the reduction.

        Args:
            *args: The inputs that the method needs.
            **options: Options of the method.

        Returns:
            The map `(b, H, W)`, and the signed map of every colour channel `(b, c, H, W)`.
        """
        options = self.with_options(options)
        colour = self.function(*args, **{**options, "reduce": KEEP})
        return reduce_channels(colour, options["reduce"]), colour

    @property
    def has_colour(self) -> bool:
        """Whether the map is a reduction over the colour channels, so that there is one in colour, too."""
        return "reduce" in self.options

    @property
    def summary(self) -> str:
        """Summary of the method: the first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def class_free(self) -> bool:
        """Whether the map is the same for every class, because no input depends on the class."""
        return set(self.needs) <= {"activations", "attention", "inputs"}

    @property
    def class_blind(self) -> bool:
        """Whether the map is not reliably class-specific, so that its location is no evidence for a class.

        True of class-free methods, and of methods that change the rule at ReLUs: their maps were found to be nearly the
        same for all classes (Mahendran & Vedaldi, ECCV 2016; Adebayo et al., NeurIPS 2018), to a degree that depends on
        the network. False where the map is multiplied by the class-specific map of a layer.
        """
        return self.class_free or (bool(RELU_INPUTS & set(self.needs)) and not self.needs_layer)

    @property
    def needs_layer(self) -> bool:
        """Whether the method maps a layer; otherwise it maps the network input."""
        return bool(LAYER_INPUTS & set(self.needs))

    @property
    def fuses_layers(self) -> bool:
        """Whether the method fuses several layers into one map; only combinators do (`combinators/base.py`)."""
        return False

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return textwrap.dedent(inspect.getdoc(self.function) or "")

    def with_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options of the method: `options`, checked, and the defaults of the others.

        Args:
            options: Values by name.

        Raises:
            MethodError: An option does not exist, or its value is invalid.
        """
        return {**self.options, **check_all(self.name, options_of(self.function), options)}


_methods: dict[str, Method] = {}


def method(
    *,
    paper: str,
    deviation: str = "none",
    relu: bool,
    map_size: MapSize | None = None,
    display: Display = LAYER_DISPLAY,
) -> Callable[[Callable[..., Map]], Method]:
    """Register the decorated function as a method under its own name.

    Args:
        paper: Paper with its equation.
        deviation: Difference from the paper, and the reason; "none" without one.
        relu: Whether the paper's map is the positive part of what the function returns.
        map_size: "input" for a method with inputs of a layer that returns maps of the network input's size.
        display: How the map is converted to colours: `LAYER_DISPLAY`, or `PIXEL_DISPLAY` for maps of single pixels.

    Returns:
        The decorator, which returns the `Method`.

    Raises:
        MethodError: The name is registered already, or an input is unknown.
    """

    def register(function: Callable[..., Map]) -> Method:
        name = function.__name__
        parameters = inspect.signature(function).parameters.values()
        needs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        unknown = set(needs) - set(METHOD_INPUTS)
        if unknown or name in _methods:
            raise MethodError(f"method {name}: registered twice, or unknown inputs {sorted(unknown)}.")
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        resolved_size: MapSize = map_size or ("layer" if LAYER_INPUTS & set(needs) else "input")
        _methods[name] = Method(name, function, needs, options, paper, deviation, relu, resolved_size, display)
        return _methods[name]

    return register


def methods() -> dict[str, Method]:
    """Return all methods by name, in the order of registration."""
    return dict(_methods)


def find(name: str | Method) -> Method:
    """Return the method with a name; `grad-cam` and `GradCAM` are accepted spellings of `grad_cam`.

    Raises:
        MethodError: There is no such method; the message suggests similar names.
    """
    if isinstance(name, Method):
        return name
    if not isinstance(name, str):
        raise MethodError(f"a method is selected by name, not by {type(name).__name__}. Known: {', '.join(_methods)}.")
    normalized = {key.replace("_", ""): key for key in _methods}
    key = normalized.get(name.lower().replace("-", "").replace("_", "").replace("++", "plusplus"))
    if key is None:
        raise MethodError(f"no method {name!r}.{nearest(name, _methods)} Known: {', '.join(_methods)}.")
    return _methods[key]
