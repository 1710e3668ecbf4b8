"""The tab Trust: tests of whether a map can be trusted.

common     the request type of all tests: one image, model, method, layer and class
verdict    POST /api/trust: the verdict as text, with its numbers
curves     POST /api/curves: insertion and deletion curves, point by point
occlude    POST /api/cover: the image with a region occluded
stability  POST /api/vary: the image rotated, shifted, blurred, brightened, or with noise
"""

from __future__ import annotations

from fastapi import APIRouter

from camlucida.app.routes.trust import curves, occlude, stability, verdict

router = APIRouter(tags=["trust"])
for part in (verdict, curves, occlude, stability):
    router.include_router(part.router)
