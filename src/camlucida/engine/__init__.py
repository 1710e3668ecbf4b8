"""The engine: run a network once, look inside, run the rest of it again; the network itself is never touched."""

from camlucida.engine.attention import AttentionTrace, trace_attention
from camlucida.engine.layers import Layer, LayerSpec, candidates, default_layer, resolve
from camlucida.engine.pictures import InputVariants
from camlucida.engine.relu import ReluRule, ReluRuleName
from camlucida.engine.rerun import GapLinearHead, NetworkSuffix, gap_linear_head
from camlucida.engine.survey import CallProfile, profile_calls
from camlucida.engine.trace import LayerTrace, Trace, trace
from camlucida.engine.twin import NetworkCopy, copy_of

__all__ = [
    "AttentionTrace",
    "Layer",
    "LayerSpec",
    "GapLinearHead",
    "InputVariants",
    "ReluRule",
    "NetworkSuffix",
    "ReluRuleName",
    "CallProfile",
    "Trace",
    "LayerTrace",
    "NetworkCopy",
    "trace_attention",
    "candidates",
    "default_layer",
    "gap_linear_head",
    "resolve",
    "profile_calls",
    "trace",
    "copy_of",
]
