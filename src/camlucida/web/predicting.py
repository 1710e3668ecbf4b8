"""What a model says about samples: asked in batches, remembered, and searched by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from camlucida.analysing.passing import PART, Pass, judged, rows
from camlucida.engine import twin_of
from camlucida.outputs import class_scores, placed
from camlucida.web.served import Said, Served


def said(served: Served, indices: Sequence[int]) -> Iterator[tuple[int, Said]]:
    """What the model says about each sample, in order; those it was never asked about go through it in batches."""
    for start in range(0, len(indices), PART):
        part = indices[start : start + PART]
        if unknown := [index for index in part if index not in served.said]:
            served.said.update(_asked(served, unknown))
        yield from ((index, served.said[index]) for index in part)


def _asked(served: Served, indices: Sequence[int]) -> dict[int, Said]:
    model = served.model
    run = Pass(model, served.data, indices, served.outputs)

    def ask(batch: Tensor) -> Sequence[Tensor]:
        with torch.inference_mode(False), torch.no_grad():
            output = twin_of(model.network).module(placed(model.network, batch))
            return list(class_scores(output, model.output).cpu())

    found = rows(run, indices, ask, lambda one, logits: judged(run, one, logits))
    return {row["index"]: _read(row) for row in found}


def _read(row: dict[str, Any]) -> Said:
    if error := row.get("error"):
        return Said(error=error)
    return Said(row["said"], row["confidence"], row["correct"])
