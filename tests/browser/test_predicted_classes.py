"""The predicted classes of a segmentation network in the tab Explain: colours, legend, and clicks on both."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from camlucida import explain
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset
from camlucida.models.load import load
from camlucida.render.class_mask import draw_classes
from camlucida.targets import class_label
from camlucida.types import Region

IMAGE = "s3"
SIZES = {"wide": (1440, 900), "middle": (1024, 768), "phone": (390, 844)}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def segmenter(serve: Callable[[Page], str]) -> tuple[str, Page]:
    page = Page([load("toybox:segmenter"), load("toybox")], open_dataset("toybox:2", count=6))
    return serve(page), page


@pytest.fixture(scope="module")
def truth(segmenter: tuple[str, Page]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The predicted class at every pixel of the image."""
    model, image = segmenter[1].models[0], segmenter[1].images.find(IMAGE).image
    with torch.no_grad():
        return np.asarray(model.network(model.preprocessing(image)[0][None])[0].argmax(0))


@pytest.fixture
def open_image(app_page: Open, segmenter: tuple[str, Page]) -> Iterator[Open]:
    """Return a function that opens the tab Explain; errors in the console fail the test."""
    wrong: list[str] = []

    def open_(model: str = "toybox:segmenter", view: str = "", **context: Any) -> Any:
        context = {"viewport": {"width": 1440, "height": 900}} | context
        page = app_page(segmenter[0], {"pageerror": lambda error: wrong.append(str(error))}, **context)
        page.goto(f"{segmenter[0]}/#explain?image={IMAGE}&model={model}{view}")
        page.wait_for_selector(".explain-tab[data-drawn]:not([aria-busy])")
        if model == "toybox:segmenter":
            page.wait_for_selector(".class-legend button")
        return page

    yield open_
    assert not wrong


def waits_for(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('.view.overlay figcaption')?.innerText.startsWith(text)", arg=text
    )


def pixels(page: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the colours of the view `(height, width, 3)`."""
    content = page.locator(".view.classes canvas").evaluate("canvas => canvas.toDataURL()").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def click_classes(page: Any, x: float, y: float) -> None:
    """Click the view at fractions of the image."""
    canvas = page.locator(".view.classes canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def middle_of(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[float, float]:
    """Return the pixel of a mask that is nearest to its centre, in fractions of the image."""
    rows, columns = np.nonzero(mask)
    i = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return (columns[i] + 0.5) / mask.shape[1], (rows[i] + 0.5) / mask.shape[0]


def test_colours_are_those_of_the_panel(open_image: Open, segmenter: tuple[str, Page], truth: Any) -> None:
    page = open_image()
    image = segmenter[1].images.find(IMAGE).image
    region = explain(segmenter[1].models[0], image)[0].region
    found = pixels(page)
    factor = found.shape[0] // truth.shape[0]
    assert found.shape[:2] == tuple(n * factor for n in truth.shape)
    of_panel = np.asarray(draw_classes(image, Region(mask=region.mask, classes=region.classes))).astype(int)
    centres = found[factor // 2 :: factor, factor // 2 :: factor].astype(int)
    # The panel's outline is in its pixels, that of the page is above them.
    mask = Image.fromarray(region.mask.numpy().astype(np.uint8))
    edge = np.asarray(mask.filter(ImageFilter.MaxFilter(7))) != np.asarray(mask.filter(ImageFilter.MinFilter(7)))
    assert (~edge).mean() > 0.5
    assert np.abs(centres - of_panel)[~edge].max() <= 2


def test_clicks_explain_the_class(open_image: Open, segmenter: tuple[str, Page], truth: Any, screenshot: Any) -> None:
    page = open_image()
    labels = segmenter[1].models[0].labels
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    legend = page.locator(".class-legend")
    counts = {class_label(k, labels): (truth == k).mean() for k in np.unique(truth)}
    names = sorted(counts, key=lambda name: -counts[name])
    assert [text.split()[0] for text in legend.get_by_role("button").all_inner_texts()] == names
    screenshot(page, "predicted-classes-before")
    before = pixels(page)
    for name in reversed(names):
        click_classes(page, *middle_of(truth == labels.index(name)))
        waits_for(page, f"Map: {name} · ")
        assert legend.locator('[aria-pressed="true"]').inner_text().split()[0] == name
        if name != names[1]:
            assert (pixels(page) != before).any()
    assert f"target=class%3A{names[0]}" in page.url
    button = legend.get_by_role("button", name=names[1])
    button.focus()
    page.keyboard.press("Enter")
    waits_for(page, f"Map: {names[1]} · ")
    assert page.locator(".view.classes .region-in-question path").count() == 2
    assert not [url for url in asked if "/api/targets" in url]


def test_view_follows_zoom_and_reads_names(open_image: Open, segmenter: tuple[str, Page], truth: Any) -> None:
    page = open_image(view="&explain.zoom=2,0.25,0.25")
    frame = page.locator(".view.classes .frame").bounding_box()
    outline = page.locator(".region-in-question svg").bounding_box()
    assert outline["width"] == pytest.approx(2 * frame["width"], abs=1)
    assert outline["x"] == pytest.approx(frame["x"] - 0.5 * frame["width"], abs=1)
    page.locator(".view.classes canvas").focus()
    page.keyboard.press("ArrowRight")
    height, width = truth.shape
    name = class_label(int(truth[height // 2, width // 2]), segmenter[1].models[0].labels)
    assert page.locator(".view.classes .reading").inner_text() == name


def test_part_at_a_point(open_image: Open, segmenter: tuple[str, Page], truth: Any, screenshot: Any) -> None:
    labels = segmenter[1].models[0].labels
    counts = {k: int((truth == k).sum()) for k in np.unique(truth)}
    first, second = sorted(counts, key=lambda k: -counts[k])[:2]
    x, y = middle_of(truth == first)
    at = f"{x * truth.shape[1]:.1f},{y * truth.shape[0]:.1f}"
    page = open_image(view=f"&target=class:{labels[second]} at {at}")
    assert page.locator(".region-in-question span").count() == 1
    assert page.locator(".class-legend [aria-pressed=true]").count() == 0
    screenshot(page, "predicted-classes-point")


def test_models_without_regions_have_no_such_view(open_image: Open) -> None:
    page = open_image("toybox")
    assert page.locator(".view.classes, .class-legend").count() == 0


@pytest.mark.parametrize("size", sorted(SIZES))
def test_accessibility(open_image: Open, violations: Open, size: str, screenshot: Any) -> None:
    width, height = SIZES[size]
    page = open_image(viewport={"width": width, "height": height})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_function("document.getAnimations().length === 0")
        assert violations(page) == [], scheme
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        buttons = page.locator(".class-legend button").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect()).map((box) => Math.min(box.width, box.height))"
        )
        assert min(buttons) >= 24
        screenshot(page, f"predicted-classes-{size}-{scheme}")
