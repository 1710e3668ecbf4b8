"""Write frontend/openapi.json, from which the front end's types are made: npm run types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset
from camlucida.models.load import load

OUT = Path(__file__).resolve().parents[1] / "frontend" / "openapi.json"


def described() -> str:
    """The API of a page, as OpenAPI."""
    app = create_app(Page([load("toybox")], open_dataset("toybox", count=1)))
    with TestClient(app, base_url="http://localhost") as client:
        found: dict[str, Any] = client.get("/api/openapi.json").json()
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OUT.write_text(described(), encoding="utf-8")
    print(OUT)
