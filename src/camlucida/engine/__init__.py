"""The engine: run a network once, look inside, run the rest of it again; the network itself is never touched."""

from camlucida.engine.attention import Attended, attend
from camlucida.engine.layers import Layer, LayerSpec, candidates, default_layer, resolve
from camlucida.engine.pictures import Pictures
from camlucida.engine.relu import ReluRule, Rule
from camlucida.engine.rerun import LinearEnd, Rest, linear_end
from camlucida.engine.survey import Survey, survey
from camlucida.engine.trace import Trace, Traced, trace
from camlucida.engine.twin import Twin, twin_of

__all__ = [
    "Attended",
    "Layer",
    "LayerSpec",
    "LinearEnd",
    "Pictures",
    "ReluRule",
    "Rest",
    "Rule",
    "Survey",
    "Trace",
    "Traced",
    "Twin",
    "attend",
    "candidates",
    "default_layer",
    "linear_end",
    "resolve",
    "survey",
    "trace",
    "twin_of",
]
