"""An app with built-in networks and scenes, and a client that sends requests to it without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastapi.routing
import pytest
from starlette.testclient import TestClient

from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset
from camlucida.models.load import load

SCENES = 24


@pytest.fixture(scope="session", autouse=True)
def _routes_once() -> Iterator[None]:
    """Build what validates the requests and responses of a route once, not for every app, which takes 0.1 s.

    All apps include the same routers with the same arguments.
    """
    contexts = getattr(fastapi.routing, "_EffectiveRouteContext", None)
    if contexts is None:  # another version of FastAPI
        yield
        return
    build, built = contexts.from_api_route, dict[tuple[int, str], Any]()

    def build_once(*, original_route: Any, include_context: Any) -> Any:
        key = (
            id(original_route),
            include_context.prefix,
        )  # what is built holds the route, so that its id stays its own
        if key not in built:
            built[key] = build(original_route=original_route, include_context=include_context)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contexts, "from_api_route", build_once)
        yield


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """Return the state of an app with two networks, 24 scenes and a folder for a study."""
    models = [load("toybox"), load("toybox:vgg")]
    return Page(models, open_dataset("toybox", count=SCENES), (), tmp_path / "study")


@pytest.fixture
def client(page: Page) -> Iterator[TestClient]:
    """Yield a client that sends requests as a browser on this machine does."""
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client
