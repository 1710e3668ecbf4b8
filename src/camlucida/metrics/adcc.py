"""ADCC: one number for three wishes: the class stays, the map stays, and it is small."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from camlucida.maps import pearson
from camlucida.metrics.average_drop import masked, minmax_scale
from camlucida.metrics.common.perturbation import Predict, probability
from camlucida.metrics.common.ranking import is_rankable
from camlucida.metrics.registry import MetricOutput, metric, preset

NAMES = ("adcc", "adcc_coherency", "adcc_complexity")


@metric(
    paper="Poppi et al., CVPR workshop 2021, sec. 3",
    deviation="the drop is that of the explained class; the authors' code has the probability of the first class on "
    "the whole picture, which is the same with target='predicted'. 0 where a part is 0",
    outputs={
        "adcc": MetricOutput("high", worst=0.0),
        "adcc_coherency": MetricOutput("high", worst=0.0),
        "adcc_complexity": MetricOutput("low", worst=1.0),
    },
)
def adcc(
    relevance: Tensor,
    inputs: Tensor,
    logits: Tensor,
    target: int,
    predict: Predict,
    explain: Callable[[Tensor], Tensor],
) -> dict[str, float]:
    """The harmonic mean of three: what the masked picture keeps of the class, how alike its map is, how small the map.

    relevance  (H, W)     the map on the network's input; of one that is the same everywhere nothing can be said
    inputs     (c, H, W)  the picture; masked, it is multiplied by the map from 0 to 1
    returns    all from 0 to 1. adcc, high is good; adcc_coherency (r + 1) / 2, r the correlation of the map and the
               masked picture's, chance level 0.5; adcc_complexity, the mean of the map, low is good
    forwards   1 and one more map
    """
    if not is_rankable(relevance):
        return dict.fromkeys(NAMES, float("nan"))
    saliency = minmax_scale(relevance)
    masked_input = masked(inputs, saliency)
    coherence, complexity = coherency(saliency, explain, masked_input), float(saliency.double().mean())
    before = float(probability(logits, target))
    after = float(probability(predict(lambda which: masked_input.expand(len(which), -1, -1, -1), 1), target))
    retained = 1 - max(0.0, before - after) / before if before else 0.0
    return dict(zip(NAMES, (harmonic_mean(coherence, 1 - complexity, retained), coherence, complexity), strict=True))


preset("adcc/poppi", adcc)


def coherency(saliency: Tensor, explain: Callable[[Tensor], Tensor], masked_input: Tensor) -> float:
    """How alike the map (H, W) and that of what it lets through (1, c, H, W) are: (r + 1) / 2, 0 where one is even."""
    masked_map = explain(masked_input)[0]
    score = float((pearson(saliency.flatten()[None], masked_map.to(saliency).flatten()[None]) + 1) / 2)
    return score if score == score else 0.0


def harmonic_mean(*parts: float) -> float:
    """0 where a part is 0."""
    return len(parts) / sum(1 / part for part in parts) if all(part > 0 for part in parts) else 0.0
