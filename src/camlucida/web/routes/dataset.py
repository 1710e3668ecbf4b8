"""The tab Data set."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["dataset"])
