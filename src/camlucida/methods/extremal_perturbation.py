"""Extremal perturbation: the mask of a given area that maximises the score of the masked input."""

from __future__ import annotations

from typing import Annotated

import torch

from camlucida.methods.common.area_masks import area_gradient, full_parameters, smooth_mask
from camlucida.methods.common.infill import Infill, infill_image, require_images
from camlucida.methods.common.optimization import MaskOptimizer, score_and_gradient
from camlucida.methods.registry import method
from camlucida.options import Between, Count, Positive
from camlucida.types import Gradients, Images, Map, ProgressCallback, Report


@method(
    paper="Fong, Patrick & Vedaldi, ICCV 2019, eq. 4-8: m_a = argmax_m f(m * x) - lambda |vecsort(m) - r_a|^2",
    deviation="blended with one infill, not through a pyramid of blurs; the smooth maximum is taken on the grid of"
    " parameters and upsampled; Adam and fewer steps, over which lambda grows to the same value; no mirrored images",
    relu=False,
)
def extremal_perturbation(
    inputs: Images,
    input_gradients: Gradients,
    report: Report,
    progress: ProgressCallback,
    *,
    areas: tuple[Annotated[float, Between(0, 1, above=True, below=True)], ...] = (0.1,),
    steps: Count = 200,
    infill: Infill = "blur",
    rate: Positive = 0.05,
) -> Map:
    """Optimise a smooth mask of a given area that maximises the score of the masked input.

    inputs           (b, c, H, W)        network inputs
    input_gradients  variants -> chunks  scores and gradients at other network inputs
    report           name, (b,) -> None  reports "masked_score": the score of the masked input, for the last area
    progress         done, total -> None called after every step
    areas            areas of the mask, as fractions of the input's; the map is the mean of the masks
    steps            steps of Adam per area; each is one forward and backward pass
    infill           what replaces the masked pixels: "blur" or "mean" (the mean colour)
    rate             learning rate of Adam
    returns          (b, H, W)           visibility of each pixel, in [0, 1]
    """
    require_images(inputs, "extremal_perturbation", "occlusion or rise")
    size, hidden = (inputs.shape[-2], inputs.shape[-1]), infill_image(inputs, infill)
    mask_of, total = smooth_mask(size), torch.zeros_like(inputs[:, 0], dtype=torch.float64)
    for i, area in enumerate(areas):
        optimizer = MaskOptimizer(full_parameters(inputs), rate)
        for step in range(steps):
            with torch.enable_grad():
                mask = mask_of(optimizer.at)
            score, gradient = score_and_gradient(input_gradients, hidden + (inputs - hidden) * mask.detach()[:, None])
            optimizer.step(mask, ((inputs - hidden) * gradient).sum(1) + area_gradient(mask, area, step / steps))
            optimizer.at.data.clamp_(0, 1)
            progress(i * steps + step + 1, len(areas) * steps)
        total += mask.detach() / len(areas)
    report("masked_score", score)
    return total.to(gradient.dtype)
