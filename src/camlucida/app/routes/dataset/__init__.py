"""The tab Data set: the behaviour of a model over many images.

runs         the list of runs, and computing one in the app
subsets      images that a search finds or that are selected, for all views
scatter      the embedding as points, their neighbours and thumbnails
mistakes     accuracy, calibration, the most confident errors
confusion    the confusion matrix and the images of its cells
evaluations  tables and curves of an evaluation
common       types that these share
"""

from __future__ import annotations

from fastapi import APIRouter

from camlucida.app.routes.dataset import confusion, evaluations, mistakes, runs, scatter, subsets

router = APIRouter(tags=["dataset"])
for part in (runs, subsets, scatter, mistakes, confusion, evaluations):
    router.include_router(part.router)
