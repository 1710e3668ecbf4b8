from __future__ import annotations

from typing import Annotated

import torch

from camlucida.methods.common.infill import Infill, infill_image
from camlucida.methods.common.masks import rise_masks
from camlucida.methods.registry import method
from camlucida.options import MAX_COUNT, Between, Count, Seed
from camlucida.types import Images, Map, Report, ScoreInputs


@method(
    paper="Petsiuk et al., BMVC 2018, eq. 6: S = 1 / (E[M] N) sum_i f(I M_i) M_i, E[M] = p; masks as in sec. 3.2",
    deviation="the mean score is subtracted from every score, for far less noise in the map (centred=False is eq. 6):"
    " this omits the mean score times the mean mask / p, constant in expectation; the authors score probabilities",
    relu=False,
)
def rise(
    inputs: Images,
    score_inputs: ScoreInputs,
    report: Report,
    *,
    n: Annotated[int, Between(2, MAX_COUNT)] = 1000,
    cells: Count = 7,
    p: Annotated[float, Between(0, 1, above=True, below=True)] = 0.5,
    infill: Infill = "mean",
    centred: bool = True,
    seed: Seed = 0,
) -> Map:
    """Average random soft masks weighted by the score of the masked input (RISE); for any network.

    inputs        (b, c, H, W)        network inputs
    score_inputs  variants -> (n, b)  scores of other network inputs
    report        name, (b,) -> None  reports "standard_error" of the map, and "noise": error / std of the map
    n             number of masks (the paper: 4000 to 8000); the error decreases with its square root
    cells         cells of a mask per side, before it is upsampled to the size of the input
    p             probability that a cell is visible: the expected coverage, by which the sum is divided
    infill        what replaces masked pixels: "mean" (0, as the authors) or "blur"
    centred       whether 0 means "no difference"; else the map is the mean score while the pixel is visible
    seed          seed of the masks, which are the same for every image and target
    returns       (b, H, W)           signed, in units of the score
    """
    masks, hidden = rise_masks(inputs.shape[2:], n, cells, p, seed), infill_image(inputs, infill)
    key = ("rise", n, cells, p, infill, seed)
    scores = score_inputs(
        lambda i: hidden + masks(i).to(inputs)[:, None, None] * (inputs - hidden), n, shared=key
    ).double()
    scores = scores - scores.mean(0) if centred else scores
    total, squares = torch.zeros(2, len(inputs), *inputs.shape[2:], dtype=torch.float64, device=inputs.device)
    for indices in torch.split(torch.arange(n), 64):
        visible = masks(indices).to(scores) - (p if centred else 0)  # centred scores sum to 0: less variance
        total += torch.einsum("nb,n...->b...", scores[indices], visible)
        squares += torch.einsum("nb,n...->b...", scores[indices].square(), visible.square())
    map_: Map = total / (n * p)
    error = ((squares - total.square() / n).clamp_min(0) / (n - 1) / n).flatten(1).mean(1).sqrt() / p
    report("standard_error", error)
    report("noise", error / map_.flatten(1).std(1).clamp_min(1e-12))
    return map_.to(torch.promote_types(inputs.dtype, torch.float32))
