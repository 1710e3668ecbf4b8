"""The registry of methods. A method's signature is its request.

A method is a function whose positional parameters are what it asks for, like pytest's fixtures; the engine
computes only what is named. Options are keyword-only. Decorating it with `@method` is all there is to do: its
command-line choice, its row in the docs and its contract tests follow from the entry made here.

At a layer:
    activations   (b, c, h, w)      what the layer gave out
    gradients     (b, c, h, w)      d score / d activations
    ablate        infill -> (c, b)  the score with each channel in turn set to `infill`
    head_weights          (b, c)            the target's weights where average pooling and a linear layer follow
    score_activations         variants -> (n, b)   the scores for other activations (n, b, c, h, w)
    hvp     (b, c, h, w) -> (b, c, h, w)   the second derivative at the activations along a direction
    layer_at          pictures -> (activations, gradients)   the layer on other pictures
    layer_relevance   rule -> ((b, c, h, w), (b,))   as `relevance`, at the layer
    competing_classes        n -> (gradients (n, b, c, h, w), scores (n, b))   of the n classes nearest in score to the target's
Anywhere:
    inputs        (b, c, H, W)      the pictures, as the network wants them
    score         (b,)              the target on the untouched pictures, in its own units
    score_inputs       variants -> (n, b)   the scores of other pictures (n, b, c, H, W)
    input_gradients        variants -> chunks   their gradients: (which (n,), scores (n, b), gradients (n, b, c, H, W)) a chunk
    guided, deconvolved   as `slopes`, with another way back through ReLUs; refuses networks without any
    attention            Attention     what a transformer's tokens looked at, block by block; refuses other networks
    attention_gradients  (b, heads, t, t) a block   d score / d its weights
    multipliers   (b, c, H, W) -> the same   baseline pictures in, DeepLIFT's slopes of the score from there out
    bias_gradients   () -> (b, c, H, W), list   the score's gradient, and what each bias adds: (b, c, h, w) or (b,)
    relevance     rule -> ((b, c, H, W), (b,))   relevance propagated to the pictures, and what the score gave in all
    report          name, (b,) -> None   a number an image, reported beside the map
    progress      done, total -> None  how far it is, told by a method that asks for one run after the other

Those that take variants take a function from variant numbers (n,) to variants, and how many there are; the engine
chooses the chunks. A method that names none of the first group maps the picture itself, at its full size.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from camlucida.errors import MethodError, nearest
from camlucida.options import check_all, options_of
from camlucida.types import Display, Map

MapSize: TypeAlias = Literal["layer", "picture"]

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
"""Those that run the rest of the network again."""
RELU_INPUTS = frozenset({"guided", "deconvolved"})
"""Those that only networks with ReLUs have."""
ATTENTION_INPUTS = frozenset({"attention", "attention_gradients"})
"""Those that only networks with attention between all tokens have."""
PIXEL_GRADIENT_INPUTS = RELU_INPUTS | {"input_gradients", "multipliers", "bias_gradients", "relevance"}
"""Those with gradients that come back through the whole network."""
METHOD_INPUTS = (
    LAYER_INPUTS | ATTENTION_INPUTS | PIXEL_GRADIENT_INPUTS | {"inputs", "score", "score_inputs", "report", "progress"}
)
"""What a method may ask for."""

LAYER_DISPLAY = Display()
"""The positive part, scaled by its largest value: as the papers show maps of a layer."""
PIXEL_DISPLAY = Display(signed=True, percentile=99)
"""Both signs, scaled by the 99th percentile: a few single pixels stand out so far that all others would be dark."""


@dataclass(frozen=True)
class Method:
    """One entry of the registry, and still the function it was made of.

    needs       the positional parameters, in order
    options     keyword -> default
    relu        whether the paper cuts off what is below zero; done by the caller, so that the signed map is kept
    at          which size its maps have: the layer's grid, or the picture the network sees
    display     how the map becomes colours
    class_free  whether the map is the same for every target
    class_blind whether it is the same, or may be nearly so
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

    def __call__(self, *args: Any, **options: Any) -> Map:
        return self.function(*args, **self.with_options(options))

    @property
    def summary(self) -> str:
        """The method in plain words: the first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def class_free(self) -> bool:
        """Whether the map is the same for every class, since nothing of the class is asked for."""
        return set(self.needs) <= {"activations", "attention", "inputs"}

    @property
    def class_blind(self) -> bool:
        """Whether it cannot be relied on to tell classes apart, so that where the map lies proves nothing of a class.

        Of methods that ask for a class these are the ones drawn back through changed ReLUs, whose maps were found to be
        nearly the same for all (Mahendran & Vedaldi, ECCV 2016; Adebayo et al., NeurIPS 2018), in some networks more
        than in others; unless a layer's map, which does know the class, is multiplied in.
        """
        return self.class_free or (bool(RELU_INPUTS & set(self.needs)) and not self.needs_layer)

    @property
    def needs_layer(self) -> bool:
        """Whether it maps a layer; otherwise the picture itself."""
        return bool(LAYER_INPUTS & set(self.needs))

    @property
    def fuses_layers(self) -> bool:
        """Whether it makes one map of several layers; combinators do (methods/combined.py)."""
        return False

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return textwrap.dedent(inspect.getdoc(self.function) or "")

    def with_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option of the method: `options`, checked, and the defaults of the others.

        Raises:
            MethodError: For an option that the method does not have, or a value that it may not have.
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

    paper       where it stands, with the equation
    deviation   where ours differs from the paper's, and why; "none" where it does not
    relu        whether the paper's map is the positive part of what the function returns
    at          "picture" for a method that asks for a layer, but returns maps of the picture's size
    display     how the map becomes colours: COARSE, or FINE for maps of single pixels
    """

    def register(function: Callable[..., Map]) -> Method:
        name = function.__name__
        parameters = inspect.signature(function).parameters.values()
        needs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        unknown = set(needs) - set(METHOD_INPUTS)
        if unknown or name in _methods:
            raise MethodError(f"method {name}: registered twice, or asks for unknown {sorted(unknown)}.")
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        resolved_size: MapSize = map_size or ("layer" if LAYER_INPUTS & set(needs) else "picture")
        _methods[name] = Method(name, function, needs, options, paper, deviation, relu, resolved_size, display)
        return _methods[name]

    return register


def methods() -> dict[str, Method]:
    """All methods by name, in the order in which they are listed."""
    return dict(_methods)


def find(name: str | Method) -> Method:
    """The method of that name (`grad-cam` and `GradCAM` are understood); `MethodError` offers the nearest."""
    if isinstance(name, Method):
        return name
    if not isinstance(name, str):
        raise MethodError(f"a method is asked for by name, not by {type(name).__name__}. Known: {', '.join(_methods)}.")
    normalized = {key.replace("_", ""): key for key in _methods}
    key = normalized.get(name.lower().replace("-", "").replace("_", "").replace("++", "plusplus"))
    if key is None:
        raise MethodError(f"no method {name!r}.{nearest(name, _methods)} Known: {', '.join(_methods)}.")
    return _methods[key]
