"""The engine: run a copy of a network, read and change what its layers return, and never modify the network itself."""

from camlucida.engine.backward.attention import AttentionTrace, trace_attention
from camlucida.engine.backward.relu_rules import ReluRule, ReluRuleName
from camlucida.engine.call_profile import CallProfile
from camlucida.engine.influence import require_influence
from camlucida.engine.input_variants import InputVariants
from camlucida.engine.layer_specs import resolve
from camlucida.engine.layers import Layer, candidates, default_layer
from camlucida.engine.module_calls import profile_calls
from camlucida.engine.network_copy import NetworkCopy, compared_once, copy_of
from camlucida.engine.suffix import GapLinearHead, NetworkSuffix, gap_linear_head
from camlucida.engine.trace import LayerTrace, Trace, trace
from camlucida.layer_names import LayerSpec

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
    "require_influence",
    "resolve",
    "profile_calls",
    "trace",
    "compared_once",
    "copy_of",
]
