"""The tab Look, as people use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_it_opens_with_a_sample_and_its_map(tab: Callable[..., Any], screenshot: Callable[..., None]) -> None:
    page = tab()
    page.wait_for_selector(".look[data-drawn]")
    assert page.locator(".look .tile").count() == 20
    assert page.locator(".look .guess").count() == 5
    screenshot(page, "look")
