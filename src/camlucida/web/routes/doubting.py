"""The tab Doubt."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["doubting"])
