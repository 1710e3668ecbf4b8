"""Layer-wise relevance propagation: the score handed back through whatever functions a network runs.

run         a run of a network, and relevance at its picture or a layer from any score
mode        which function shares out its relevance in which way
shares      the ways
functions   the names of functions, by their kind
calls, norms   a function as one of what relevance may reach; norms with their spread held constant
"""

from camlucida.engine.backward.lrp.mode import RULES, RelevanceMode, RelevanceRule
from camlucida.engine.backward.lrp.propagate import LrpRun, register_reader

__all__ = ["RULES", "RelevanceMode", "RelevanceRule", "LrpRun", "register_reader"]
