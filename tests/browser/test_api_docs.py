"""/docs in Chromium: Swagger UI starts under the policy of the app, without another host, and sends a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from camlucida.app.app_state import Page

pytest.importorskip("fastapi_offline", reason="no fastapi-offline")


@pytest.fixture
def docs(app_page: Callable[..., Any], site: tuple[str, Page]) -> Iterator[Callable[..., Any]]:
    """Return a function that opens /docs; fails on any message in the console, and on any request to another host."""
    address, _ = site
    wrong: list[str] = []

    def open_(path: str = "/docs") -> Any:
        listeners = {
            "request": lambda asked: asked.url.startswith((address, "data:", "blob:")) or wrong.append(asked.url),
            "pageerror": lambda error: wrong.append(f"error: {error}"),
            "console": lambda said: said.type in ("error", "warning") and wrong.append(said.text),
        }
        page = app_page(address, listeners, viewport={"width": 1300, "height": 1000})
        page.goto(address + path)
        return page

    yield open_
    assert not wrong, wrong


def test_operations_are_shown_without_another_host(docs: Callable[..., Any], site: tuple[str, Page]) -> None:
    page = docs()
    page.wait_for_selector(".opblock")
    described = page.evaluate("fetch('/api/openapi.json').then(answer => answer.json())")
    assert page.locator(".opblock").count() == sum(len(methods) for methods in described["paths"].values())
    assert page.inner_text(".opblock-summary-post .opblock-summary-path >> nth=0").startswith("/api/")


def test_the_example_of_a_request_can_be_sent(docs: Callable[..., Any]) -> None:
    page = docs()
    block = page.locator("#operations-explain-explain_api_explain_post")
    block.locator("button.opblock-summary-control").click()
    block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table tbody .response-col_status").first
    status.wait_for()
    assert status.inner_text().strip().startswith("200")


def test_the_app_does_not_load_it(docs: Callable[..., Any]) -> None:
    page = docs("/")
    page.wait_for_selector("html[data-ready]")
    names = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert not [name for name in names if "/docs" in name]
