"""Sanity checks for saliency maps (Adebayo et al., 2018) and their variants.

- `cascading`: Cascading weight randomisation. The weights are re-initialised from the class scores downwards, stage by
  stage; a map that depends on the weights changes.
- `independent`: Independent weight randomisation of one stage at a time.
- `smooth`: As cascading, from the input upwards, with maps averaged over noisy images (Hedström et al., 2023).
- `random_logit`: The map of another class; a map that is the same for every class explains none (Sixt et al., 2020).
- `labels`: Toybox only. The data randomisation test: the map of a network that was trained on random labels.

The network itself is not modified: every step is a copy that shares the weights that are not re-initialised.
"""

from camlucida.sanity_checks.result import Sanity
from camlucida.sanity_checks.run import sanity
from camlucida.sanity_checks.verdict import MAX_CORRELATION, MAX_UPPER_HALF, SanityVerdict, Step

__all__ = ["MAX_CORRELATION", "MAX_UPPER_HALF", "Sanity", "Step", "SanityVerdict", "sanity"]
