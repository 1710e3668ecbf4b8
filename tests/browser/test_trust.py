"""The tab Trust in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import camlucida as cl
from camlucida.app.app_state import Page
from camlucida.data.images import load_image
from camlucida.data.open import open_dataset
from camlucida.render.text import format_p

PHONE = {"width": 390, "height": 844}
Open = Callable[..., Any]
Shoot = Callable[[Any, str], None]
IMAGE = "s1"
BOAT = 5
"""A scene in which a boat is recognised by its watermark."""


def part(name: str, **more: str) -> str:
    rest = "".join(f"&{key}={value}" for key, value in more.items())
    return f"#trust?image={IMAGE}&trust.part={name}{rest}"


def started(page: Any, selector: str) -> Any:
    """Wait for the result; on a busy machine the network seems slow, and the tab asks before it starts."""
    page.wait_for_selector(".trust-tab[data-drawn]")
    page.wait_for_selector(f".start button:visible, .task progress:visible, {selector}")
    button = page.locator(".start button:visible")
    if button.count():
        button.click()
    return page.wait_for_selector(selector)


def number(page: Any, selector: str, name: str) -> float:
    return float(page.get_attribute(selector, f"data-{name}"))


def test_verdict_equals_library(tab: Open, site: tuple[str, Page], screenshot: Shoot) -> None:
    page = tab("#trust?image=s1")
    started(page, ".verdict[data-level]")
    image = site[1].images.find("s1")
    true = cl.trust("toybox", image.image)
    assert page.get_attribute(".verdict", "data-level") == true.verdict.level
    assert page.locator(".banner h2").inner_text().lower().endswith(true.verdict.level)
    assert page.locator(".banner .sign").count() == 1
    assert page.locator(".banner li").count() == len(true.verdict.reasons)
    assert true.position_test is not None
    assert f"p = {format_p(true.position_test.p)}" in page.locator(".verdict .cards").inner_text()
    assert page.locator(".verdict .card .answer").count() >= 5  # the number first
    for help_ in page.locator(".verdict .card .help").all():  # how to read it is behind a question mark
        assert not help_.locator(".note").is_visible()
        help_.locator("summary").click()
        assert len(help_.locator(".note").inner_text()) > 60
    assert page.locator(".compared .view").count() == 5
    screenshot(page, "doubt-verdict")


def test_watermark_is_reported(tab: Open, screenshot: Shoot, site: tuple[str, Page]) -> None:
    """The Clever Hans network recognises boats by their watermark; the verdict reports the border."""
    boat = open_dataset("toybox:watermark", count=60)[BOAT].image
    given = site[1].images.add_upload(load_image(boat))
    page = tab(f"#trust?image={given.id}&model=toybox:cleverhans")
    started(page, ".verdict[data-level]")
    assert "the prediction depends on the border of the image" in page.locator(".banner").inner_text().lower()
    assert page.locator(".figure .warned").count() == 1
    screenshot(page, "doubt-watermark")


def test_curves_are_drawn_and_can_be_scrubbed(tab: Open, screenshot: Shoot) -> None:
    page = tab(part("curves"))
    started(page, ".curves[data-deletion]")
    assert number(page, ".curves", "insertion") > number(page, ".curves", "deletion")
    assert page.locator(".walk polyline").count() == 6
    scrub = page.locator(".curves input[type=range]")
    scrub.focus()
    scrub.press("Home")
    assert "\n0 % removed" in page.locator(".stills").inner_text()
    box = page.locator(".walk").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + box["height"] / 2)
    assert "100 % removed" in page.locator(".stills").inner_text()
    screenshot(page, "doubt-curves")


def test_occluding_the_object_lowers_the_probability(tab: Open, screenshot: Shoot) -> None:
    page = tab(part("cover"))
    page.wait_for_selector('.cover[data-share="0.0000"]')
    before = number(page, ".cover", "after")
    canvas = page.locator(".brush canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    for row in range(4):
        for column in (0.25, 0.75):
            page.mouse.move(box["x"] + column * box["width"], box["y"] + (0.3 + 0.13 * row) * box["height"], steps=6)
    page.mouse.up()
    page.wait_for_selector(".cover:not([aria-busy]):not([data-share='0.0000'])")
    painted = number(page, ".cover", "share")
    assert 0.15 < painted < 0.6
    assert number(page, ".cover", "after") < 0.5 * before
    assert "the occluded region is important" in page.locator(".cover .outcome").inner_text()
    screenshot(page, "doubt-cover")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_selector('.cover[data-share="0.0000"]')
    assert number(page, ".cover", "after") == before


def test_occluding_the_highlighted_region(tab: Open) -> None:
    page = tab(part("cover", **{"trust.infill": "grey"}))
    page.wait_for_selector('.cover[data-share="0.0000"]')
    before = number(page, ".cover", "after")
    page.get_by_role("button", name="Occlude the highlighted region").click()
    page.wait_for_selector(".cover:not([data-share='0.0000'])")
    assert 0.05 < number(page, ".cover", "share") <= 0.2005
    assert number(page, ".cover", "after") < before
    assert page.locator(".cover select").input_value() == "grey"
    page.get_by_role("button", name="Use the occluded image").click()
    page.wait_for_selector(".trust-tab[data-drawn^='u']")
    assert "image=u" in page.url


def test_painted_mask_stays_when_the_tab_is_left(tab: Open) -> None:
    page = tab(part("cover"))
    page.wait_for_selector('.cover[data-share="0.0000"]')
    page.get_by_role("button", name="Occlude the highlighted region").click()
    page.wait_for_selector(".cover:not([data-share='0.0000'])")
    share = page.locator(".cover").get_attribute("data-share")
    page.click("#tab-explain")
    page.wait_for_selector(".explain-tab[data-drawn]")
    page.click("#tab-trust")
    page.wait_for_selector(f".cover[data-share='{share}']")
    page.get_by_role("button", name="Stability").click()
    page.get_by_role("button", name="Occlude", exact=True).click()
    page.wait_for_selector(f".cover[data-share='{share}']")
    image = re.search(r"image=(s\d+)", page.url)
    assert image
    page.evaluate("location.hash = location.hash.replace(/image=s\\d+/, 'image=s7')")
    page.wait_for_selector(".trust-tab[data-drawn^='s7 ']")
    page.wait_for_selector('.cover[data-share="0.0000"]')  # another image has a mask of its own
    page.go_back()
    page.wait_for_selector(f".cover[data-share='{share}']")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_selector('.cover[data-share="0.0000"]')


def test_occluding_by_keyboard(tab: Open) -> None:
    page = tab(part("cover"))
    page.wait_for_selector('.cover[data-share="0.0000"]')
    canvas = page.locator(".brush canvas")
    canvas.focus()
    for key in ("ArrowLeft", "Shift+ArrowUp", "+"):
        canvas.press(key)
    assert "Box at 47 % from the left, 35 % from the top, 35 % wide" in page.locator(".brush").inner_text()
    canvas.press("Enter")
    page.wait_for_selector(".cover:not([data-share='0.0000'])")
    assert number(page, ".cover", "share") == pytest.approx(0.35**2, abs=0.01)
    canvas.press("Control+z")
    page.wait_for_selector('.cover[data-share="0.0000"]')


def test_tap_occludes(tab: Open) -> None:
    page = tab(part("cover"), viewport=PHONE, has_touch=True, is_mobile=True)
    page.wait_for_selector('.cover[data-share="0.0000"]')
    page.locator(".brush canvas").tap()
    page.wait_for_selector(".cover:not([data-share='0.0000'])")
    assert 0.005 < number(page, ".cover", "share") < 0.03


def test_rotating_the_image(tab: Open, screenshot: Shoot) -> None:
    page = tab(part("stability"))
    page.wait_for_selector('.stability[data-at^="0 "]')
    assert number(page, ".stability", "correlation") == 1
    dial = page.get_by_role("slider", name="Rotation")
    dial.focus()
    for _ in range(3):
        dial.press("ArrowRight")
    page.wait_for_selector('.stability[data-at^="3 "]')
    assert 0.5 < number(page, ".stability", "correlation") < 1
    page.wait_for_url("**trust.angle=3*")
    page.get_by_role("button", name="Sweep").click()
    page.wait_for_selector(".stability[data-swept=angle]")
    page.wait_for_selector('.stability[data-at^="3 "]')
    points = page.locator(".trace polyline.first").get_attribute("points").split()
    assert len(points) >= 15
    screenshot(page, "doubt-stability")


def test_link_restores_the_perturbation(tab: Open) -> None:
    page = tab(part("stability", **{"trust.angle": "-20", "trust.noise": "0.02"}))
    page.wait_for_selector('.stability[data-at^="-20 0.02"]')
    assert page.get_by_role("slider", name="Rotation").input_value() == "-20"
    assert "Unmodified" in page.locator(".stability .views").inner_text()


def test_another_class_is_tested(tab: Open) -> None:
    page = tab(part("cover"))
    page.wait_for_selector('.cover[data-share="0.0000"]')
    name = page.locator(".guesses .guess").nth(1).locator(".name").inner_text()
    page.locator(".guesses .guess").nth(1).click()
    page.wait_for_selector(f".trust-tab[data-drawn$=' {name}']")
    page.wait_for_selector(f".stands .target:has-text('{name}')")


def test_contrast_is_refused(tab: Open) -> None:
    page = tab("#trust?image=s1&target=3%20rather%20than%205")
    page.wait_for_selector(".trust-tab[data-drawn]")
    page.wait_for_selector(".start button:visible, .trust-tab .trouble:not(:empty)")
    button = page.locator(".start button:visible")
    if button.count():
        button.click()
    assert "is a comparison. Choose a class." in page.wait_for_selector(".task .trouble").inner_text()
    assert "does not explain a single class" in page.locator(".trust-tab aside").first.inner_text()


@pytest.mark.parametrize("name", ["verdict", "curves", "cover", "stability"])
def test_fits_a_phone(tab: Open, screenshot: Shoot, name: str) -> None:
    page = tab(part(name), viewport=PHONE, color_scheme="dark")
    drawn = {"verdict": "level", "curves": "deletion", "cover": "share", "stability": "at"}[name]
    started(page, f".{name}[data-{drawn}]")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    screenshot(page, f"doubt-{name}-phone-dark")


def test_every_control_has_a_name(tab: Open) -> None:
    for name in ("cover", "stability", "curves"):
        page = tab(part(name))
        page.wait_for_selector(".trust-tab[data-drawn]")
        nameless = page.evaluate(
            """() => [...document.querySelector('.trust-tab').querySelectorAll('button, input, select, canvas')]
            .filter((e) => e.offsetParent && !(e.getAttribute('aria-label') || e.textContent.trim()
              || e.labels?.[0]?.textContent.trim())).map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert nameless == []


def test_verdict_is_about_the_map(tab: Open, site: tuple[str, Page], screenshot: Shoot) -> None:
    """It says what was tested, and that the prediction is not judged."""
    image = site[1].images.find("s1").image
    page = tab("#trust?image=s1&layer=layer1&method=random_cam")
    started(page, ".verdict[data-level]")
    true = cl.trust("toybox", image, layer="layer1", method="random_cam")
    assert true.position_test is not None
    p = true.position_test.p
    text = page.locator(".banner").inner_text()
    how = "Better" if p <= 0.05 else "Hardly better" if p <= 0.2 else "Not better"
    assert f"{how} than random placement, p = {format_p(p)}." in text
    assert page.locator(".banner h2").inner_text() == (
        "The tests cannot tell" if true.verdict.level == "cannot tell" else f"The map is {true.verdict.level}"
    )
    assert "Tested: the map for" in text
    assert "is not judged" in text
    screenshot(page, "trust-not-supported")


def test_cards_say_what_will_be_tested(tab: Open, site: tuple[str, Page]) -> None:
    """Before and while the tests run: grey cards with the tests, and how long they take."""
    page = tab("#trust?image=s1&method=rise")
    page.wait_for_selector(".trust-tab[data-drawn]")
    cards = page.locator(".planned .card")
    assert cards.count() == 5
    assert "109 runs" in cards.nth(1).inner_text()
    assert re.search(r"about [\d.]+ (s|min) here", page.locator(".verdict .start").inner_text())
    assert page.locator(".banner").count() == 0


def test_failed_test_can_be_retried(tab: Open) -> None:
    page = tab("#trust?image=s1")
    page.wait_for_selector(".trust-tab[data-drawn]")
    page.context.route("**/api/trust", lambda route: route.fulfill(status=500, body="{}"))
    page.evaluate("location.hash = '#trust?image=s2'")
    page.wait_for_selector(".trust-tab[data-drawn^='s2']")
    page.wait_for_selector(".start button:visible, .task .trouble button:visible")
    if page.locator(".start button:visible").count():
        page.locator(".start button").click()
    page.wait_for_selector(".task .trouble button >> text=Retry")
    assert page.locator(".banner").count() == 0  # that of the other image is gone
    page.context.unroute("**/api/trust")
    page.get_by_role("button", name="Retry").click()
    page.wait_for_selector(".verdict[data-level]")
