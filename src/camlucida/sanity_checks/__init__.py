"""Does a map notice when the network is no longer itself? The sanity checks of Adebayo et al. and their kin.

    cascading     weights are drawn anew from the class scores down, stage by stage: an honest map changes
    independent   one stage alone at a time
    smooth        as cascading from the picture up, with maps averaged over noisy pictures (Hedström et al., 2023)
    random_logit  the map of another class: one that is the same for every class explains none (Sixt et al., 2020)
    labels        toybox only: a network that learnt labels drawn by lot has learnt nothing of the world

The network itself is never touched: every step is a copy that shares what is not drawn anew.
"""

from camlucida.sanity_checks.result import Sanity
from camlucida.sanity_checks.run import sanity
from camlucida.sanity_checks.verdict import MAX_CORRELATION, MAX_UPPER_HALF, SanityVerdict, Step

__all__ = ["MAX_CORRELATION", "MAX_UPPER_HALF", "Sanity", "Step", "SanityVerdict", "sanity"]
