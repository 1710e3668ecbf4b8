"""A saved HTML file, opened from the disk in Chromium: its controls work, and it makes no request."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import camlucida as cl
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.data import toybox

from .conftest import PATIENCE

HOSTILE = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def explanations() -> ExplanationSet:
    image = toybox.scene(seed=4, kinds=["cat", "dog"], objects=2, size=120).picture().crop((0, 0, 120, 80))
    return cl.explain("toybox", image, target=["cat", "cat rather than dog"], layer=["layer3", "layer4"])


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that saves explanations and opens the file; fails on any error, and on any request."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def open_(explanations: Any, context: dict[str, Any] | None = None, **style: Any) -> Any:
        (path,) = explanations.save(tmp_path / "view.html", **style)
        made = chromium.new_context(viewport={"width": 1200, "height": 900}, **(context or {}))
        contexts.append(made)
        page = made.new_page()
        page.set_default_timeout(PATIENCE)
        page.on(
            "request",
            lambda asked: asked.url.startswith((path.as_uri(), "data:", "blob:")) or wrong.append(asked.url),
        )
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda said: said.type in ("error", "warning") and wrong.append(f"console: {said.text}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_
    for made in contexts:
        made.close()
    assert not wrong, wrong


def drawn(page: Any) -> np.ndarray[Any, Any]:
    """Return the pixels of the canvas after the next frame."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    uri = page.evaluate("document.getElementById('view').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")).astype(int)


def expected(e: Any, **style: Any) -> np.ndarray[Any, Any]:
    return np.asarray(e.overlay(**style)).astype(int)


@pytest.mark.parametrize(
    "style",
    [
        {},
        {"opacity": 0.8, "colormap": "jet", "blend": "uniform"},
        {"colormap": "signed"},
        {"contour": 0.5},
    ],
    ids=str,
)
def test_file_draws_the_overlay_of_python(
    style: dict[str, Any], explanations: ExplanationSet, opened: Callable[..., Any]
) -> None:
    for e in (explanations[0], explanations[-1]):
        difference = np.abs(drawn(opened(e, **style)) - expected(e, **style))
        assert (difference > 3).mean() < 0.002
        assert difference.mean() < 0.5


def test_opacity_is_changed_with_the_keyboard(explanations: ExplanationSet, opened: Callable[..., Any]) -> None:
    page = opened(explanations[0])
    before = drawn(page)
    page.focus("#opacity")
    page.keyboard.press("End")
    assert page.inner_text("#opacity-value") == "100 %"
    assert np.abs(drawn(page) - expected(explanations[0], opacity=1.0)).mean() < 0.5
    page.keyboard.press("Home")
    assert np.abs(drawn(page) - np.asarray(explanations[0].image)).max() <= 1
    assert not np.array_equal(drawn(page), before)


def test_class_layer_and_palette_are_chosen(explanations: ExplanationSet, opened: Callable[..., Any]) -> None:
    page = opened(explanations)
    assert page.locator("#choices select").count() == 2
    page.select_option("#axis-target", "cat rather than dog")
    page.select_option("#axis-layer", "layer4")
    page.select_option("#colormap", "viridis")
    (e,) = explanations.select(target="cat rather than dog", layer="layer4")
    assert np.abs(drawn(page) - expected(e, colormap="viridis")).mean() < 0.5
    assert page.inner_text("h1") == "cat rather than dog"
    assert "layer4" in page.inner_text("#subtitle")


def test_lines_are_copied_and_the_view_is_saved(explanations: ExplanationSet, opened: Callable[..., Any]) -> None:
    page = opened(explanations[0], {"accept_downloads": True})
    page.get_by_role("button", name="Copy: Python").click()
    page.wait_for_function("document.getElementById('status').textContent !== ''")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    assert download.value.suggested_filename.endswith(".png")
    with Image.open(download.value.path()) as image:
        assert image.size == explanations[0].image.size


def test_dark_mode_is_legible(explanations: ExplanationSet, opened: Callable[..., Any]) -> None:
    page = opened(explanations, {"color_scheme": "dark"})
    paper, ink = (page.evaluate(f"getComputedStyle(document.body).{key}") for key in ("backgroundColor", "color"))
    assert paper == "rgb(23, 24, 28)"
    assert ink == "rgb(236, 236, 240)"


def test_file_and_class_names_are_text(explanations: ExplanationSet, opened: Callable[..., Any]) -> None:
    from dataclasses import replace

    page = opened(replace(explanations[0], source=HOSTILE, target=HOSTILE, method=HOSTILE))
    assert page.inner_text("h1") == HOSTILE
    assert page.locator("img:not(#classes-image)").count() == 0


def test_no_accessibility_violation(
    explanations: ExplanationSet, opened: Callable[..., Any], violations: Callable[..., list[str]]
) -> None:
    assert violations(opened(explanations), tags=()) == []
