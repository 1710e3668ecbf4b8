"""Evidence images of a hypothesis: members with the region outlined, their maps, the covered and the pasted image."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camlucida._files import write_image
from camlucida.audits.audit_result import FINDINGS_FOLDER, Audit
from camlucida.audits.hypotheses.candidates import Candidate
from camlucida.audits.hypotheses.edits import paste, remove
from camlucida.audits.hypotheses.regions import Box
from camlucida.audits.hypotheses.verification import Verification, Verifier
from camlucida.maps import max_scale, upsample
from camlucida.render.boxes import draw_boxes
from camlucida.render.canvas import GUTTER_PT, MUTED_COLOUR, SMALL_PT, Sheet, line_height
from camlucida.render.overlay import overlay

IMAGES_FOLDER = "images"
N_MEMBERS = 5
CELL_PX = 200
GAP_PT = 8.0
COLUMNS = ("image, region", "map", "covered", "pasted elsewhere")


def write_evidence(
    audit: Audit, verifier: Verifier, candidate: Candidate, outcome: Verification, rank: int
) -> tuple[str, ...]:
    """Write the sheet of evidence images of a hypothesis as findings/images/hypothesis-RANK.jpg.

    Args:
        audit: The audit.
        verifier: What tested the hypothesis.
        candidate: The group of images.
        outcome: What the interventions showed.
        rank: Rank of the hypothesis.

    Returns:
        The names of the files.
    """
    name = f"hypothesis-{rank:02d}.jpg"
    file = audit.path / FINDINGS_FOLDER / IMAGES_FOLDER / name
    write_image(lambda: evidence_sheet(verifier, candidate, outcome), file)
    return (name,)


def evidence_sheet(verifier: Verifier, candidate: Candidate, outcome: Verification) -> Image.Image:
    """Return the sheet: one row per member, the columns of `COLUMNS`, all as the network receives them.

    The last column is left out if nothing was pasted.
    """
    rows = outcome.rows.tolist()
    chosen = sorted(range(len(rows)), key=lambda i: rows[i] != candidate.medoid)[:N_MEMBERS]
    indices = verifier.arrays.column("index")[[rows[i] for i in chosen]].astype(int).tolist()
    inputs, masks = verifier.scorer.inputs(indices), outcome.regions.masks()[chosen]
    has_pasted = bool(outcome.pasted.n_recipients.any())
    columns = COLUMNS if has_pasted else COLUMNS[:3]
    recipients = verifier.recipients_for(candidate, len(chosen)) if has_pasted else inputs
    maps = verifier.arrays.maps(candidate.explained)[[rows[i] for i in chosen]]
    grids = torch.from_numpy(np.nan_to_num(maps.astype(np.float32)))
    saliency = max_scale(upsample(grids, inputs.shape[-2:])).numpy()
    tall = np.array(inputs.shape[-2:]) * CELL_PX // max(inputs.shape[-2:])
    size = int(tall[1]), int(tall[0])
    sheet = Sheet(len(columns) * (size[0] + GAP_PT) - GAP_PT + 2 * GUTTER_PT, 1.0)
    for column, title in enumerate(columns):
        sheet.text(GUTTER_PT + column * (size[0] + GAP_PT), GUTTER_PT / 2, title, SMALL_PT, MUTED_COLOUR)
    y = GUTTER_PT / 2 + line_height(SMALL_PT) + 2
    edited, pasted = remove(inputs, masks), paste(recipients, inputs, masks)
    for i, k in enumerate(chosen):
        box: list[Box] = [] if outcome.regions.is_border else [outcome.regions.boxes[k]]
        plain, onto = _drawn(verifier, inputs[i], size), _drawn(verifier, pasted[i], size)
        scaled = [_scaled(each, inputs.shape[-2:], size) for each in box]
        landed = upsample(torch.from_numpy(saliency[i])[None], (size[1], size[0]))[0].clamp(0, 1).numpy()
        cells = (
            draw_boxes(plain, (), scaled),
            overlay(plain, landed),
            draw_boxes(_drawn(verifier, edited[i], size), (), scaled),
            draw_boxes(onto, (), scaled),
        )
        for column, cell in enumerate(cells[: len(columns)]):
            sheet.draw_image(GUTTER_PT + column * (size[0] + GAP_PT), y, cell)
        y += size[1] + GAP_PT
    return sheet.trimmed(y + GUTTER_PT / 2)


def _drawn(verifier: Verifier, inputs: Tensor, size: tuple[int, int]) -> Image.Image:
    """Return a network input as an RGB image of a size."""
    pixels = verifier.scorer.model.preprocessing.denormalise(inputs[None])[0].clamp(0, 1)
    rgb = pixels[:3] if len(pixels) >= 3 else pixels[:1].expand(3, -1, -1)
    image = Image.fromarray((rgb.permute(1, 2, 0) * 255).round().byte().cpu().numpy())
    return image.resize(size, Image.Resampling.BICUBIC)


def _scaled(box: Box, grid: torch.Size, size: tuple[int, int]) -> list[float]:
    x, y = size[0] / grid[1], size[1] / grid[0]
    return [box[0] * x, box[1] * y, box[2] * x, box[3] * y]
