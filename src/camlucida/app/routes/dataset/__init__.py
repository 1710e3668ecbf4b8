"""The tab Data set: the behaviour of a model over many images.

runs         the list of runs, and computing one in the app
scatter      the embedding as points, and their neighbours
mistakes     accuracy, the confusion matrix, the most confident errors
evaluations  tables and curves of an evaluation
common       types that these share
"""

from __future__ import annotations

from fastapi import APIRouter

from camlucida.app.routes.dataset import evaluations, mistakes, runs, scatter

router = APIRouter(tags=["dataset"])
for part in (runs, scatter, mistakes, evaluations):
    router.include_router(part.router)
