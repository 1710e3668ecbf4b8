"""The tab Doubt: can this map be believed?

asking     one picture, model, method, layer and class: what every question here is about
verdicts   POST /api/trust: the verdict in words, with its numbers
curves     POST /api/curves: insertion and deletion, point by point
covering   POST /api/cover: the picture with a part of it painted out
varying    POST /api/vary: the picture turned, shifted, blurred, lit, made noisy
"""

from __future__ import annotations

from fastapi import APIRouter

from camlucida.app.routes.trust import curves, occlude, stability, verdict

router = APIRouter(tags=["doubting"])
for part in (verdict, curves, occlude, stability):
    router.include_router(part.router)
