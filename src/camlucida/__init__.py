"""Camlucida: see why a vision model decided, and whether to believe the picture of it."""

from __future__ import annotations

__version__ = "0.1.0"
