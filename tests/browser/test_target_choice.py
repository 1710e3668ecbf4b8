"""Targets of an image in Explain, Compare and Trust: default methods, overlaps, contrasts, questions and texts."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from camlucida import explain
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset
from camlucida.models.image_targets import BoundTarget
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.types import Region

sys.path.append(str(Path(__file__).parents[1] / "app"))
from asking_models import question_model, text_model, written_answers
from test_image_targets import Quarter, fake

WIDE, LAPTOP, PHONE = ({"width": width, "height": 900} for width in (1440, 1024, 390))
Open = Callable[..., Any]


@dataclass(frozen=True)
class Overlapping:
    """Six detections of one class, each shifted by a pixel, and one of another class within them."""

    kind: str = "detection"

    def bind(self, model: Model, inputs: object, spec: object) -> tuple[BoundTarget, ...]:
        boxes = [(4.0 + i, 4.0 + i, 22.0 + i, 22.0 + i) for i in range(6)] + [(8.0, 8.0, 14.0, 14.0)]
        found = []
        for i, box in enumerate(boxes):
            name, probability = ("a", "b")[i == 6], 0.95 - 0.1 * i
            region = Region(box, name=f"box {i + 1}", probability=probability)
            bound = replace(model, output=Quarter(i % 4), image_targets=None)
            found.append(BoundTarget(bound, 0, f"{name} (box {i + 1})", f"box {i + 1}", region))
        if spec is None:
            return tuple(found)
        return (found[int(spec[4:]) - 1],) if isinstance(spec, str) and spec.startswith("box ") else ()


@pytest.fixture(scope="module")
def site(serve: Callable[[Page], str]) -> tuple[str, Page]:
    overlapping = replace(fake("segmentation"), image_targets=Overlapping(), spec="overlapping")
    names = ("toybox:detector", "toybox:segmenter", "toybox:captioner", "toybox")
    models = [*map(load, names), question_model(), written_answers(), text_model(), overlapping]
    page = Page(models, open_dataset("toybox:2", count=6))
    return serve(page), page


@pytest.fixture
def open_tab(app_page: Open, site: tuple[str, Page]) -> Iterator[Open]:
    """Return a function that opens a tab; errors in the console and failed requests fail the test."""
    wrong: list[str] = []

    def open_(tab: str, view: str, ready: str = "[data-drawn]:not([aria-busy])", **context: Any) -> Any:
        listeners = {
            "pageerror": lambda error: wrong.append(str(error)),
            "response": lambda got: got.status >= 400 and wrong.append(f"{got.status} {got.url}"),
        }
        page = app_page(site[0], listeners, **({"viewport": WIDE} | context))
        page.goto(f"{site[0]}/#{tab}?image=s3&{view}")
        page.wait_for_selector(f".{tab}-tab{ready}")
        return page

    yield open_
    assert not wrong


def caption(page: Any) -> str:
    return str(page.locator(".view.overlay figcaption").first.inner_text())


def waits_for(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('.view.overlay figcaption')?.innerText.startsWith(text)", arg=text
    )


def image_of(site: tuple[str, Page]) -> Any:
    return site[1].images.find("s3").image


def model_of(site: tuple[str, Page], name: str) -> Model:
    return site[1].model(name).model


def test_each_model_starts_with_its_method(open_tab: Open) -> None:
    page = open_tab("explain", "model=toybox:detector")
    assert "· HiResCAM ·" in caption(page)
    for model, method in (("toybox:captioner", "LayerCAM"), ("toybox", "Grad-CAM"), ("toybox:detector", "HiResCAM")):
        page.get_by_label("Model").select_option(model)
        page.wait_for_function(
            "name => document.querySelector('.view.overlay figcaption').innerText.includes(`· ${name} ·`)", arg=method
        )
        assert page.get_by_label("Method", exact=True).locator("option:checked").inner_text() == method
    page.get_by_label("Method", exact=True).select_option("grad_cam")
    waits_for(page, "Map: ")
    page.wait_for_function("() => document.querySelector('.view.overlay figcaption').innerText.includes('Grad-CAM')")
    assert "method=grad_cam" in page.url


def test_method_of_the_address_counts(open_tab: Open) -> None:
    page = open_tab("explain", "model=toybox:detector&method=grad_cam")
    assert "· Grad-CAM ·" in caption(page)
    page.get_by_label("Model").select_option("toybox:captioner")
    waits_for(page, "Map: a (word 1) · Grad-CAM")


def rectangles(page: Any, selector: str) -> list[tuple[float, float, float, float]]:
    return [
        (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        for box in (one.bounding_box() for one in page.locator(selector).all() if one.is_visible())
    ]


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_labels_of_overlapping_boxes(open_tab: Open, viewport: Any, screenshot: Any) -> None:
    page = open_tab("explain", "model=overlapping", viewport=viewport)
    labels = rectangles(page, ".target-label")
    assert len(labels) == 7
    for i, a in enumerate(labels):
        for b in labels[i + 1 :]:
            assert a[2] <= b[0] + 0.5 or b[2] <= a[0] + 0.5 or a[3] <= b[1] + 0.5 or b[3] <= a[1] + 0.5
    orders = page.locator(".targets-on-image .place").evaluate_all("all => all.map((one) => Number(one.style.zIndex))")
    assert orders == sorted(orders, reverse=True)  # the most probable above the others
    texts = page.get_by_role("group", name="Detections").get_by_role("button").all_inner_texts()
    assert [text.replace("\n", " ") for text in texts[:2]] == ["a 1 · 95 %", "a 2 · 85 %"]
    assert len(set(texts)) == 7
    page.get_by_role("group", name="Detections").get_by_role("button").nth(4).click()
    waits_for(page, "Map: a (box 5)")
    assert max(page.locator(".targets-on-image .place").evaluate_all("all => all.map((o) => +o.style.zIndex)")) == int(
        page.locator('.targets-on-image .place[aria-pressed="true"]').evaluate("one => one.style.zIndex")
    )
    screenshot(page, f"target-choice-overlapping-{viewport['width']}")


def test_box_rather_than_another_class(open_tab: Open, site: tuple[str, Page]) -> None:
    page = open_tab("explain", "model=toybox:detector")
    first, *_ = explain(model_of(site, "toybox:detector"), image_of(site))
    name = first.target.split(" (")[0]
    field = page.get_by_label("Rather than").first
    field.fill("boat")
    field.press("Enter")
    waits_for(page, f"Map: box 1: {name} rather than boat · HiResCAM")
    assert page.locator('.target[aria-pressed="true"]').inner_text().startswith(f"{name} 1")
    field.fill("")
    waits_for(page, f"Map: {name} (box 1)")


def test_region_rather_than_another_class(open_tab: Open) -> None:
    page = open_tab("explain", "model=toybox:segmenter&target=class:mug")
    field = page.get_by_label("Rather than").first
    field.fill("boat")
    field.press("Enter")
    waits_for(page, "Map: mug rather than boat")
    assert page.locator('.target[aria-pressed="true"]').inner_text() == "mug"


def test_word_rather_than_another(open_tab: Open, site: tuple[str, Page], screenshot: Any) -> None:
    page = open_tab("explain", "model=toybox:captioner")
    sentence = page.get_by_role("group", name="Caption")
    words = [e.target.split(" (")[0] for e in explain(model_of(site, "toybox:captioner"), image_of(site))]
    assert sentence.get_by_role("button").all_inner_texts() == words
    sentence.get_by_role("button", name=words[1], exact=True).click()
    waits_for(page, f"Map: {words[1]} (word 2) · LayerCAM")
    field = page.get_by_label(f"“{words[1]}” rather than")
    field.fill("dog")
    field.press("Enter")
    waits_for(page, f"Map: {words[1]} rather than dog (word 2)")
    assert page.get_by_role("heading", name="Class of the whole image").count() == 0
    screenshot(page, "target-choice-word-contrast")


def test_question_and_its_answers(open_tab: Open, site: tuple[str, Page], screenshot: Any) -> None:
    page = open_tab("explain", "model=answers", ready="")
    assert page.get_by_text("Enter a question first.").is_visible()
    assert page.get_by_role("heading", name="Answer").count() == 0
    assert not page.locator(".trouble, [role=alert]").filter(has_text=re.compile(".")).count()
    page.wait_for_function("() => document.querySelector('.view.overlay canvas').width > 1")  # the image is there
    screenshot(page, "target-choice-no-question")
    field = page.get_by_label("Question about the image")
    field.fill("is it blue?")
    field.press("Enter")
    truth = explain(model_of(site, "answers").with_question("is it blue?"), image_of(site))
    waits_for(page, f"Map: {truth.target} · Grad-CAM")
    assert page.locator(".bars .guess .name").all_inner_texts() == [p.name for p in truth.predictions]
    assert page.get_by_role("heading", name="Answer").is_visible()
    assert "true class" not in page.locator(".headline").inner_text()
    second = truth.predictions[1].name
    page.locator(".bars .guess").nth(1).click()
    waits_for(page, f"Map: {second} · Grad-CAM")
    page.get_by_text("Reproduce this map").click()
    assert '.with_question("is it blue?")' in page.locator(".reproduce pre").first.inner_text()
    assert "--question 'is it blue?'" in page.locator(".reproduce pre").nth(1).inner_text()
    page.reload()
    waits_for(page, f"Map: {second} · Grad-CAM")
    assert field.input_value() == "is it blue?"


def test_written_answer_has_words(open_tab: Open) -> None:
    page = open_tab("explain", "model=words", ready="")
    page.get_by_role("button", name="What animal is this?").click()
    answer = page.get_by_role("group", name="Answer")
    answer.get_by_role("button").nth(2).click()
    page.wait_for_function("() => document.querySelector('.view.overlay figcaption').innerText.includes('(word 3)')")
    assert answer.get_by_role("button").count() == 3


def test_text_is_asked_for_without_an_error(open_tab: Open, screenshot: Any) -> None:
    page = open_tab("explain", "model=texts", ready="")
    assert page.get_by_text("Enter a text first.").is_visible()
    assert not page.locator(".trouble, [role=alert]").filter(has_text=re.compile(".")).count()
    example = page.locator(".prompt .example button")
    text = example.inner_text()
    screenshot(page, "target-choice-no-text")
    example.click()
    waits_for(page, f"Map: {text} · Grad-CAM")
    page.get_by_text("Compare with other texts").click()
    other = page.get_by_label("Rather than")
    other.fill("a blue sky")
    other.press("Enter")
    waits_for(page, f"Map: {text} rather than a blue sky")
    page.locator(".strip .tile").nth(1).click()  # a text belongs to no image
    page.wait_for_function("() => !document.querySelector('.explain-tab').hasAttribute('aria-busy')")
    assert caption(page).startswith(f"Map: {text} rather than a blue sky")


@pytest.mark.parametrize("tab", ["compare", "trust"])
@pytest.mark.parametrize(("model", "what"), [("answers", "question"), ("texts", "text")])
def test_other_tabs_ask_as_well(open_tab: Open, tab: str, model: str, what: str) -> None:
    page = open_tab(tab, f"model={model}", ready="")
    assert page.get_by_text(f"Enter a {what} first.").is_visible()
    assert not page.locator(".trouble, [role=alert]").filter(has_text=re.compile(".")).count()


def compared(page: Any) -> list[str]:
    page.wait_for_selector(".compare-tab[data-drawn]:not([aria-busy])")
    keys = page.locator(".compare button.cell").evaluate_all("all => all.map((one) => one.dataset.key)")
    return list(dict.fromkeys(key.split("|")[2] for key in keys if key.split("|")[2]))


def test_compare_boxes_by_click(open_tab: Open, site: tuple[str, Page], screenshot: Any) -> None:
    page = open_tab("compare", "model=toybox:detector&compare.methods=hires_cam,grad_cam&compare.targets=box 1")
    assert compared(page) == ["box 1"]
    _, second, *_ = explain(model_of(site, "toybox:detector"), image_of(site))
    left, top, right, bottom = second.region.box
    box = page.locator(".image-targets .view canvas").bounding_box()
    width, height = image_of(site).size
    page.mouse.click(
        box["x"] + box["width"] * (left + right) / 2 / width, box["y"] + box["height"] * (top + bottom) / 2 / height
    )
    page.wait_for_selector('[data-key*="|box 2|"]')
    assert compared(page) == ["box 1", "box 2"]
    for method in ("hires_cam", "grad_cam"):
        for spec in ("box 1", "box 2"):
            truth = explain(model_of(site, "toybox:detector"), image_of(site), target=spec, method=method)
            cell = page.locator(f'[data-key*="|{method}|{spec}|"]')
            assert truth.target in cell.get_attribute("aria-label")
            assert f"logit {truth.score:.3g}" in cell.inner_text()
    screenshot(page, "target-choice-compare-boxes")
    toggle = page.get_by_role("group", name="Detections").get_by_role("button").first
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.press("Space")
    page.wait_for_function("() => !document.querySelector('[data-key*=\"|box 1|\"]')")
    assert compared(page) == ["box 2"]


def test_compare_written_target_and_link(open_tab: Open) -> None:
    page = open_tab("compare", "model=toybox:detector&compare.methods=hires_cam&compare.targets=box 1")
    field = page.get_by_label("Other targets, classes of the whole image: search")
    field.fill("boat at 20,30")
    field.press("Enter")
    page.wait_for_selector('[data-key*="|boat at 20,30|"]')
    assert compared(page) == ["box 1", "boat at 20,30"]
    page.reload()
    assert compared(page) == ["box 1", "boat at 20,30"]


@pytest.mark.parametrize(
    ("model", "group"), [("toybox:segmenter", "Regions"), ("toybox:captioner", "Caption"), ("texts", "Texts")]
)
def test_compare_regions_words_and_texts(open_tab: Open, model: str, group: str, screenshot: Any) -> None:
    start = "&compare.targets=text:a dog" if model == "texts" else ""
    page = open_tab("compare", f"model={model}&compare.methods=grad_cam{start}")
    before = compared(page)
    if model == "texts":
        field = page.get_by_label("Texts: search")
        field.fill("a cat, asleep")
        field.press("Enter")
    else:
        page.get_by_role("group", name=group).get_by_role("button", pressed=True).last.click()
    page.wait_for_function("n => document.querySelectorAll('.compare button.cell').length !== n", arg=len(before))
    after = compared(page)
    assert after == ([*before, "text:a cat, asleep"] if model == "texts" else before[:-1])
    screenshot(page, f"target-choice-compare-{group.lower()}")


def test_trust_target_is_visible_and_changed(open_tab: Open, site: tuple[str, Page], screenshot: Any) -> None:
    page = open_tab("trust", "model=toybox:detector")
    first, second, *_ = explain(model_of(site, "toybox:detector"), image_of(site))
    assert caption(page).startswith(f"Map: {first.target} · HiResCAM")
    page.get_by_role("group", name="Detections").get_by_role("button").nth(1).press("Enter")
    waits_for(page, f"Map: {second.target}")
    places = page.get_by_role("group", name="Targets on the image").get_by_role("button")
    places.first.focus()
    page.keyboard.press("Enter")
    waits_for(page, f"Map: {first.target}")
    screenshot(page, "target-choice-trust")


MODELS = ("toybox:detector", "toybox:segmenter", "toybox:captioner", "answers", "texts")
CONTEXTS: tuple[dict[str, Any], ...] = ({}, {"viewport": PHONE}, {"color_scheme": "dark", "viewport": LAPTOP})
# Each model in each tab, and each of them in another context.
VIEWS = [
    (tab, model, CONTEXTS[(i + j) % 3])
    for i, tab in enumerate(("compare", "trust", "explain"))
    for j, model in enumerate(MODELS)
]


@pytest.mark.parametrize(("tab", "model", "context"), VIEWS)
def test_accessibility(
    open_tab: Open, violations: Open, tab: str, model: str, context: dict[str, Any], screenshot: Any
) -> None:
    asks = model in ("answers", "texts")
    page = open_tab(tab, f"model={model}&compare.methods=grad_cam", **({"ready": ""} if asks else {}), **context)
    if tab == "compare":
        page.locator("details.controls").evaluate("one => { one.open = true; }")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.locator(".target-list .target, .image-targets button, .image-targets input").evaluate_all(
        "all => all.filter((o) => o.offsetParent && !o.closest('.targets-on-image'))"
        ".map((o) => [o.textContent, o.offsetWidth, o.offsetHeight]).filter(([, w, h]) => Math.min(w, h) < 24)"
    )
    assert small == []
    screenshot(page, f"target-choice-{tab}-{model.split(':')[-1]}-{page.viewport_size['width']}")
