"""The page /docs: local files only, under the policy of the app."""

from __future__ import annotations

import re
import sys

import pytest
from starlette.testclient import TestClient


def test_the_page_refers_to_files_of_the_app_only(client: TestClient) -> None:
    pytest.importorskip("fastapi_offline", reason="no fastapi-offline")
    page = client.get("/docs")
    assert page.status_code == 200
    assert "script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 4
    for path in named:
        assert path.startswith("/")
        assert client.get(path).status_code == 200, path
    assert "<script>" not in page.text


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2f__init__.py", "core.py"])
def test_other_files_of_the_package_are_not_served(name: str, client: TestClient) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_a_missing_package_is_named(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi_offline", None)
    answer = client.get("/docs")
    assert answer.status_code == 422
    assert "camlucida[web]" in answer.json()["detail"]
