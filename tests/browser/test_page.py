"""Every tab: keyboard, accessible names, narrow screens, links, errors of the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camlucida.app.app_state import Page
from camlucida.data import toybox
from camlucida.data.open import open_dataset
from camlucida.models.load import load

from .conftest import PHONE, WCAG_21

TABS = ("explain", "compare", "trust", "activations", "dataset", "study")


@pytest.mark.parametrize("name", TABS)
def test_accessibility(
    tab: Callable[..., Any], violations: Callable[..., list[str]], screenshot: Callable[..., None], name: str
) -> None:
    """axe-core finds no violation of WCAG 2 A and AA: names, roles, contrast, order; and contrast in the dark."""
    page = tab(f"#{name}", color_scheme="light")
    page.wait_for_selector(f".panel.{name}:visible")
    page.wait_for_load_state("networkidle")
    wrong = violations(page, WCAG_21)
    screenshot(page, f"{name}-light")
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.wait_for_function("document.getAnimations().length === 0")
    wrong += violations(page, rules=["color-contrast"])
    screenshot(page, f"{name}-dark")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", TABS)
def test_no_horizontal_scrolling_on_a_phone(
    tab: Callable[..., Any], screenshot: Callable[..., None], name: str
) -> None:
    page = tab(f"#{name}", viewport=PHONE, has_touch=True)
    page.wait_for_load_state("networkidle")
    screenshot(page, f"{name}-phone")
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, page.evaluate(
        """[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join(' | ')"""
    )


def test_tabs_by_arrow_keys(tab: Callable[..., Any]) -> None:
    page = tab()
    page.locator("#tab-explain").focus()
    seen = []
    for _ in TABS:
        page.keyboard.press("ArrowRight")
        seen.append(page.evaluate("document.activeElement.id"))
        name = seen[-1].removeprefix("tab-")
        assert page.locator(f"#panel-{name}").is_visible()
        assert page.locator(f"#tab-{name}").get_attribute("aria-selected") == "true"
    assert seen == [f"tab-{name}" for name in (*TABS[1:], "explain")]
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.id") == "tab-study"
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.id") == "tab-explain"


def test_browser_history(tab: Callable[..., Any]) -> None:
    page = tab("#explain")
    page.locator("#tab-trust").click()
    page.locator("#tab-compare").click()
    assert page.locator("#panel-compare").is_visible()
    page.go_back()
    page.wait_for_selector("#panel-trust:visible")
    page.go_back()
    page.wait_for_selector("#panel-explain:visible")


def test_invalid_link_opens_the_app(tab: Callable[..., Any]) -> None:
    page = tab("#nowhere?image=..%2Fetc&opacity=many&model=none&compare.x=%00&layer=%3Cscript%3E")
    page.wait_for_selector("#panel-explain:visible")
    page.wait_for_selector(".explain-tab .tile:visible")  # fails after a while if no image is offered


def test_theme_is_stored(tab: Callable[..., Any]) -> None:
    page = tab(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("button.theme").click()
    page.locator("button.theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate(ground) == dark


def test_partly_invalid_link_shows_a_sample(tab: Callable[..., Any]) -> None:
    page = tab("#lok?seed=-1.5&opacity=99&threshold=x")
    page.wait_for_selector(".explain-tab[data-drawn]")
    assert page.evaluate("location.hash").startswith("#explain?")
    assert "opacity=1&" in page.evaluate("location.hash") + "&"
    assert page.locator(".explain-tab .pictures img").count() >= 20


def test_unreachable_server_and_reconnection(tab: Callable[..., Any], image_file: Callable[..., Path]) -> None:
    """The message says that the server does not respond, and disappears afterwards."""
    page = tab()
    page.wait_for_selector(".explain-tab[data-drawn]")
    page.context.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.locator(".explain-tab .pictures img").nth(19).click()
    page.wait_for_selector(".explain-tab .trouble p")
    assert "does not respond" in page.locator(".explain-tab .trouble").inner_text()
    page.locator("input[type=file]").first.set_input_files(image_file())
    page.wait_for_selector("#said.error")
    page.context.unroute("**/api/**")
    page.get_by_role("button", name="Shuffle").click()
    page.wait_for_selector("#said:not(.error)", state="attached")
    page.locator(".explain-tab .pictures img").nth(7).click()
    page.wait_for_selector(".explain-tab .trouble p", state="detached")
    assert not page.locator(".explain-tab.stale").count()


def test_unreadable_image_shows_its_error(
    app_page: Callable[..., Any], serve: Callable[[Page], str], tmp_path: Path
) -> None:
    """Also if its map is cached, or fails later than the image."""
    (tmp_path / "cut.jpg").write_bytes(b"")
    toybox.scene(seed=4).picture().save(tmp_path / "whole.png")
    address = serve(Page([load("toybox")], open_dataset(str(tmp_path))))
    page = app_page(address, {})
    page.goto(f"{address}/#explain?image=s0")
    page.wait_for_selector(".explain-tab .trouble >> text=the file is empty")
