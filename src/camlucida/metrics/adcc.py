"""ADCC: average drop, coherency and complexity combined in one score."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from camlucida.maps import pearson
from camlucida.metrics.average_drop import masked, minmax_scale
from camlucida.metrics.common.perturbation import Predict, probability
from camlucida.metrics.common.ranking import is_rankable
from camlucida.metrics.registry import MetricOutput, metric, preset
from camlucida.tasks import MULTICLASS, OutputActivation

NAMES = ("adcc", "adcc_coherency", "adcc_complexity")


@metric(
    paper="Poppi et al., CVPR workshop 2021, sec. 3",
    deviation="the drop is that of the explained class; the authors' code has the probability of the first class on "
    "the whole image, which is equal for target='predicted'; the score is 0 if one of its parts is 0",
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
    activation: OutputActivation = MULTICLASS,
) -> dict[str, float]:
    """Compute the harmonic mean of coherency, 1 - complexity and 1 - average drop.

    With M the map scaled to [0, 1], x the network input and p the probability of the target,
    `ADCC = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))` (Poppi et al., 2021).

    Args:
        relevance: `(H, W)` the map at input resolution. A constant map cannot be scored.
        inputs: `(c, H, W)` the network input. It is multiplied by the map scaled to [0, 1].
        logits: `(k,)` the class scores of the unmodified input.
        target: The explained class.
        predict: Computes class scores of modified inputs.
        explain: Computes maps of other inputs for the same class.
        activation: How class scores become probabilities.

    Returns:
        Three numbers in [0, 1]. `adcc`: higher is better. `adcc_coherency`: (r + 1) / 2 with r the Pearson
        correlation between the map and the map of the masked input; chance level 0.5. `adcc_complexity`: the mean of
        the scaled map; lower is better.

    forwards per map: 1, and one more map
    """
    if not is_rankable(relevance):
        return dict.fromkeys(NAMES, float("nan"))
    saliency = minmax_scale(relevance)
    masked_input = masked(inputs, saliency)
    coherence, complexity = coherency(saliency, explain, masked_input), float(saliency.double().mean())
    before = float(probability(logits, target, activation))
    after = float(
        probability(predict(lambda which: masked_input.expand(len(which), *inputs.shape), 1), target, activation)
    )
    retained = 1 - max(0.0, before - after) / before if before else 0.0
    return dict(zip(NAMES, (harmonic_mean(coherence, 1 - complexity, retained), coherence, complexity), strict=True))


preset("adcc/poppi", adcc)


def coherency(saliency: Tensor, explain: Callable[[Tensor], Tensor], masked_input: Tensor) -> float:
    """Compute the coherency of a map with the map of the input it masks.

    Args:
        saliency: `(H, W)` the map, scaled to [0, 1].
        explain: Computes maps `(n, H, W)` of inputs `(n, c, H, W)`.
        masked_input: `(1, c, H, W)` the input multiplied by the map.

    Returns:
        (r + 1) / 2 with r the Pearson correlation of both maps; 0 if one of them is constant.
    """
    masked_map = explain(masked_input)[0]
    score = float((pearson(saliency.flatten()[None], masked_map.to(saliency).flatten()[None]) + 1) / 2)
    return score if score == score else 0.0


def harmonic_mean(*parts: float) -> float:
    """Compute the harmonic mean; 0 if one of the values is 0."""
    return len(parts) / sum(1 / part for part in parts) if all(part > 0 for part in parts) else 0.0
