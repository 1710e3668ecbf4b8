"""The tab Data set: what a model does over many pictures.

looking      which runs there are, and making one on the page
scatter      the embedding as points, their neighbours
mistakes     accuracy, confusion, the surest errors
evaluations  tables and curves of what was measured
over         what their answers share
"""

from __future__ import annotations

from fastapi import APIRouter

from camlucida.app.routes.dataset import evaluations, mistakes, runs, scatter

router = APIRouter(tags=["dataset"])
for part in (runs, scatter, mistakes, evaluations):
    router.include_router(part.router)
