"""Evidence that boxes or masks give: whether a cue lies on the object, and whether the class survives without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from camlucida.audits.hypotheses.candidates import Indices
from camlucida.audits.hypotheses.regions import Regions
from camlucida.audits.hypotheses.scoring import Scorer
from camlucida.evaluation.model_input import fill_in, valid_region


@dataclass(frozen=True)
class ObjectEvidence:
    """What the boxes or masks of the members tell.

    Attributes:
        n: Number of members with a box or mask.
        outside: Mean fraction of the region outside the object.
        n_predicted: Number of them whose class is predicted.
        n_survived: Number of these whose class is still predicted when the bounding box of the object is replaced by
            the mean colour of the rest, the region of the cue excepted.
    """

    n: int
    outside: float
    n_predicted: int
    n_survived: int


def object_evidence(scorer: Scorer, images: Indices, targets: Tensor, regions: Regions) -> ObjectEvidence | None:
    """Measure where the region lies, and whether the class is still predicted with the object masked.

    Args:
        scorer: Runs the model.
        images: Indices of the images in the data set.
        targets: Class of each image.
        regions: Region of each image.
    """
    masks = [object_mask(scorer, index) for index in images.tolist()]
    known = [i for i, mask in enumerate(masks) if mask is not None and bool(mask.any())]
    if not known:
        return None
    objects = torch.stack([masks[i] for i in known])  # type: ignore[misc]
    cue = regions.masks()[known]
    outside = 1 - (objects & cue).flatten(1).double().mean(1) / cue.flatten(1).double().mean(1)
    indices, own = images[known].tolist(), targets[known]
    inputs = scorer.inputs(indices)
    hidden = torch.stack([_bounding_box(mask) for mask in objects]) & ~cue
    rest = (~hidden)[:, None].to(inputs.dtype)
    colour = (inputs * rest).sum((2, 3), keepdim=True) / rest.sum((2, 3), keepdim=True).clamp_min(1)
    predicted = scorer.is_predicted(scorer.scores(inputs, indices), own)
    edited = torch.where(hidden[:, None], colour, inputs)
    survived = scorer.is_predicted(scorer.scores(edited, indices), own) & predicted
    return ObjectEvidence(len(known), float(outside.mean()), int(predicted.sum()), int(survived.sum()))


def object_mask(scorer: Scorer, index: int) -> Tensor | None:
    """Return the mask or the boxes of an image on the network input `(H, W)`; None if they are not known."""
    item, geometry = scorer.item(index), scorer.load(index).geometry
    if item.mask is not None:
        return valid_region(torch.as_tensor(item.mask()), geometry)
    if item.boxes is not None and len(item.boxes):
        return valid_region(fill_in(torch.as_tensor(item.boxes).double(), geometry.original), geometry)
    return None


def _bounding_box(mask: Tensor) -> Tensor:
    rows, columns = (np.flatnonzero(mask.any(axis).numpy()) for axis in (1, 0))
    box = torch.zeros_like(mask)
    box[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1] = True
    return box
