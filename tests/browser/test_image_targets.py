"""Boxes, regions and words of one image in the tabs Explain and Trust: clicked, by keyboard, and written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camlucida import explain
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset
from camlucida.models.load import load

from .conftest import PATIENCE

sys.path.append(str(Path(__file__).parents[1] / "app"))
from test_image_targets import fake

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def detectors(serve: Callable[[Page], str]) -> tuple[str, Page]:
    models = [load("toybox:detector"), fake("segmentation"), fake("caption"), load("toybox")]
    page = Page(models, open_dataset("toybox:2", count=6))
    return serve(page), page


@pytest.fixture
def open_image(app_page: Open, detectors: tuple[str, Page]) -> Iterator[Open]:
    """Return a function that opens the tab Explain with a model; errors in the console fail the test."""
    wrong: list[str] = []

    def open_(model: str = "toybox:detector", view: str = "", tab: str = "explain", **context: Any) -> Any:
        context = {"viewport": WIDE} | context
        page = app_page(detectors[0], {"pageerror": lambda error: wrong.append(str(error))}, **context)
        page.goto(f"{detectors[0]}/#{tab}?image=s3&model={model}{view}")
        page.wait_for_selector(f".{tab}-tab[data-drawn]:not([aria-busy])")
        return page

    yield open_
    assert not wrong


def caption(page: Any) -> str:
    return str(page.locator(".view.overlay figcaption").inner_text())


def waits_for(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('.view.overlay figcaption')?.innerText.startsWith(text)", arg=text
    )


def pixels(page: Any) -> Any:
    return page.locator(".view.heat canvas").evaluate("canvas => canvas.toDataURL()")


def click_image(page: Any, x: float, y: float) -> None:
    """Click the overlay at fractions of the image."""
    box = page.locator(".view.overlay canvas").bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_click_on_a_box_explains_it(open_image: Open, detectors: tuple[str, Page], screenshot: Any) -> None:
    page = open_image()
    image = detectors[1].images.find("s3").image
    first, second, *_ = explain(detectors[1].models[0], image)
    assert caption(page).startswith(f"Map: {first.target} · HiResCAM · ")  # the default method of detectors
    assert "method=" not in page.url
    before = pixels(page)
    left, top, right, bottom = second.region.box
    click_image(page, (left + right) / 2 / image.width, (top + bottom) / 2 / image.height)
    waits_for(page, f"Map: {second.target} · ")
    assert pixels(page) != before
    pressed = page.locator('[aria-pressed="true"].target')
    assert pressed.inner_text().split() == [
        *(second.target.split(" (")[0], "2", "·"),
        *f"{second.region.probability:.0%}".replace("%", " %").split(),
    ]
    assert page.locator(".predictions h3").first.inner_text() == "Prediction at box 2"
    assert "true class" not in page.locator(".headline").inner_text()
    assert "target=box" in page.url
    screenshot(page, "image-targets-boxes")
    page.go_back()
    waits_for(page, f"Map: {first.target} · ")


def test_boxes_by_keyboard(open_image: Open, detectors: tuple[str, Page]) -> None:
    page = open_image()
    places = page.get_by_role("group", name="Targets on the image").get_by_role("button")
    second = list(explain(detectors[1].models[0], detectors[1].images.find("s3").image))[1]
    assert places.nth(1).get_attribute("aria-label") == f"{second.target}, {second.region.probability:.0%}".replace(
        "%", " %"
    )
    page.locator(".view.overlay canvas").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    assert places.nth(1).evaluate("one => one === document.activeElement")
    page.keyboard.press("Enter")
    waits_for(page, f"Map: {second.target} · ")
    assert places.nth(1).get_attribute("aria-pressed") == "true"


def test_boxes_lie_on_the_image_also_enlarged(open_image: Open, detectors: tuple[str, Page]) -> None:
    page = open_image(view="&explain.zoom=2,0.1,0.2")
    image = detectors[1].images.find("s3").image
    first, *_ = explain(detectors[1].models[0], image)
    left, top, *_ = first.region.box
    frame = page.locator(".view.overlay .frame").bounding_box()
    box = page.locator(".targets-on-image .place").first.bounding_box()
    assert box["x"] == pytest.approx(frame["x"] + frame["width"] * 2 * (left / image.width - 0.1), abs=1.5)
    assert box["y"] == pytest.approx(frame["y"] + frame["height"] * 2 * (top / image.height - 0.2), abs=1.5)


def test_target_is_written(open_image: Open) -> None:
    page = open_image()
    field = page.get_by_label("Target", exact=True)
    assert field.get_attribute("placeholder") == "dog at 120,80"
    field.fill("edge left of box 1")
    field.press("Enter")
    waits_for(page, "Map: left edge of box 1 · ")
    field.fill("box 77")
    field.press("Enter")
    page.get_by_text("there is no box 77: the detector found box 1").wait_for()
    page.get_by_role("button", name="Back to the first target").click()
    waits_for(page, "Map: ")


def test_another_class_at_the_box(open_image: Open) -> None:
    page = open_image()
    other = page.locator(".bars .guess").nth(1)
    name = other.locator(".name").inner_text()
    other.click()
    waits_for(page, f"Map: box 1: {name} · ")


def test_click_on_a_mask(open_image: Open, screenshot: Any) -> None:
    page = open_image("segmentation")
    assert page.locator(".targets-on-image svg").count() == 4
    click_image(page, 0.75, 0.25)
    waits_for(page, "Map: b1 · ")
    click_image(page, 0.25, 0.75)
    waits_for(page, "Map: b2 · ")
    screenshot(page, "image-targets-masks")


def test_words_of_a_caption(open_image: Open, screenshot: Any) -> None:
    page = open_image("caption")
    sentence = page.get_by_role("group", name="Caption")
    assert sentence.get_by_role("button").all_inner_texts() == ["b0", "b1", "b2", "b3"]
    sentence.get_by_role("button", name="b2").click()
    waits_for(page, "Map: b2 (word 3) · ")
    assert page.locator(".targets-on-image").count() == 0
    screenshot(page, "image-targets-words")


def test_models_without_image_targets(open_image: Open) -> None:
    page = open_image("toybox")
    assert page.locator(".image-targets, .targets-on-image").count() == 0
    assert page.get_by_role("heading", name="Class", exact=True).is_visible()


def test_trust_follows_the_box(open_image: Open, detectors: tuple[str, Page], screenshot: Any) -> None:
    page = open_image(view="&target=box+2", tab="trust")
    assert "(box 2)" in caption(page)
    page.wait_for_selector(".start button:visible, .task progress:visible, .verdict[data-level]")
    start = page.get_by_role("button", name="Run tests")
    if start.count():
        start.click()
    page.wait_for_selector(".verdict[data-level]", timeout=4 * PATIENCE)
    screenshot(page, "image-targets-trust")


@pytest.mark.parametrize("context", [{}, {"viewport": PHONE}, {"color_scheme": "dark"}], ids=["wide", "phone", "dark"])
@pytest.mark.parametrize("model", ["toybox:detector", "caption"])
def test_accessibility(
    open_image: Open, violations: Open, model: str, context: dict[str, Any], screenshot: Any
) -> None:
    page = open_image(model, **context)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    name = "-".join(["image-targets", model.split(":")[-1], *map(str, context)])
    screenshot(page, name)


def test_tap_on_a_phone(open_image: Open, detectors: tuple[str, Page]) -> None:
    page = open_image(viewport=PHONE, has_touch=True)
    image = detectors[1].images.find("s3").image
    second = list(explain(detectors[1].models[0], image))[1]
    left, top, right, bottom = second.region.box
    box = page.locator(".view.overlay canvas").bounding_box()
    x, y = (left + right) / 2 / image.width, (top + bottom) / 2 / image.height
    page.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])
    waits_for(page, f"Map: {second.target} · ")
