"""Layer-wise relevance propagation (LRP): the score propagated back through all functions that a network runs.

Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation",
PLoS ONE 2015; the rules are those of Montavon et al., "Layer-Wise Relevance Propagation: An Overview", 2019.

    propagate   a run of a network, and relevance at its input or a layer for any score
    mode        which rule applies to which function
    rules       the rules as autograd functions
    op_types    the names of functions, by type
    op_call     a call as a function of the tensors that relevance may reach
    norms       norms with a constant standard deviation
"""

from camlucida.engine.backward.lrp.mode import RULES, RelevanceMode, RelevanceRule
from camlucida.engine.backward.lrp.propagate import LrpRun, register_reader

__all__ = ["RULES", "RelevanceMode", "RelevanceRule", "LrpRun", "register_reader"]
