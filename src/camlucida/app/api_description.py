"""The OpenAPI description of the app, in which each model has an example."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI


@lru_cache(maxsize=1)
def api_examples() -> dict[str, Any]:
    """Return an example of each model by its name, as `scripts/api_examples.py` recorded them from the toybox."""
    text = files("camlucida.app").joinpath("api_examples.json").read_text(encoding="utf-8")
    examples: dict[str, Any] = json.loads(text)
    return examples


class DescribedApp(FastAPI):
    """A FastAPI application whose description has the examples.

    They are added to the finished description, because FastAPI removes null from what the models describe, and an
    example without a required field that may be null is not valid.
    """

    def openapi(self) -> dict[str, Any]:
        """Return the description as JSON."""
        description = super().openapi()
        for name, model in description["components"]["schemas"].items():
            if name in api_examples():
                model["examples"] = [api_examples()[name]]
        return description
