"""FEM: where channels are far above their own mean."""

from __future__ import annotations

from camlucida.methods.registry import method
from camlucida.types import Features, Map


@method(
    paper="Fuad et al., IPTA 2020: L = sum_k m_k [A^k >= m_k + K s_k], m_k and s_k the mean and deviation of A^k",
    deviation="a channel that is the same everywhere (s = 0) counts nowhere, not everywhere",
    relu=False,
)
def fem(activations: Features, *, k: float = 2.0) -> Map:
    """How strong the channels are that stand out at a place: no class, no gradient.

    activations  (b, c, h, w)  what the layer gave out
    k            how many standard deviations above its mean a channel must be (the paper: 2)
    returns      (b, h, w)     at least 0 after a ReLU; negative where channels with a negative mean stand out
    """
    exact = activations.double()
    mean, deviation = exact.mean((2, 3), keepdim=True), exact.std((2, 3), correction=0, keepdim=True)
    varies = exact.amax((2, 3), keepdim=True) > exact.amin((2, 3), keepdim=True)
    is_strong = (exact >= mean + k * deviation) & varies
    return (mean * is_strong).sum(1).to(activations.dtype)
