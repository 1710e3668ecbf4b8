"""An app with built-in networks and scenes, and a client that sends requests to it without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset
from camlucida.models.load import load

SCENES = 24


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
