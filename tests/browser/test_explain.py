"""The tab Explain in a browser."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camlucida import explain
from camlucida.app.app_state import Page

Open = Callable[..., Any]
PHONE = {"width": 390, "height": 844}
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
HOLD = """(kind) => {
  window.held ??= {};
  return document.querySelector(`.look .view.${kind} canvas`).toDataURL();
}"""
DROP = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name));
  for (const what of ["dragenter", "dragover"])
    document.body.dispatchEvent(new DragEvent(what, { dataTransfer: carried, bubbles: true, cancelable: true }));
  const hint = !document.querySelector(".dropping").hidden;
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
  return [hint, document.querySelector(".dropping").hidden];
}"""
PASTE = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def look(tab: Open) -> Open:
    """Return a function that opens a view and waits for its map."""

    def open_(view: str = "picture=s3", **context: Any) -> Any:
        page = tab(f"#look?{view}", **context)
        page.wait_for_selector(".look[data-drawn]")
        page.evaluate(FRAMES)
        return page

    return open_


def drawn(page: Any, *parts: str) -> None:
    """Wait until the map of this image, method, layer or target is painted."""
    page.wait_for_selector(".look" + "".join(f'[data-drawn*="{part}"]' for part in parts))
    page.evaluate(FRAMES)


def canvas(page: Any, kind: str = "overlay") -> np.ndarray[Any, Any]:
    content = base64.b64decode(page.evaluate(HOLD, kind).partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def mapped(page: Any) -> list[str]:
    return [path for path in page.requests_seen if path.startswith("/api/explain")]


def carried(file: Path) -> list[str]:
    return [file.name, base64.b64encode(file.read_bytes()).decode()]


def test_first_view_shows_a_sample_and_its_map(tab: Open, screenshot: Callable[..., None]) -> None:
    page = tab()
    page.wait_for_selector(".look[data-drawn]")
    assert page.locator(".look .tile").count() == 20
    assert page.locator(".look .guess").count() == 5
    assert "true class:" in page.locator(".look .headline").inner_text()
    assert "12 × 12" in page.locator(".look .notes").inner_text()
    screenshot(page, "look")


def test_click_is_painted_within_a_tenth_of_a_second(look: Open) -> None:
    """In addition to the time of the network."""
    page = look()
    more = []
    for tile in (5, 7, 9, 11):
        page.locator(".look .tile").nth(tile).click()
        chosen = page.locator(".look .tile").nth(tile).get_attribute("data-id")
        drawn(page, f"{chosen} ")
        root = page.locator(".look")
        more.append(float(root.get_attribute("data-waited")) - 1000 * float(root.get_attribute("data-seconds")))
    assert min(more) < 100, more


def test_layer_slider_sends_no_requests(look: Open) -> None:
    page = look()
    page.wait_for_selector(".look[data-stages]")
    assert len(mapped(page)) == 2  # the map that was asked for first, then all layers at once
    slider = page.get_by_label("Layer", exact=True)
    seen = [canvas(page, "heat")]
    for layer in ("layer3", "layer2", "layer1"):
        slider.press("ArrowLeft")
        drawn(page, f" {layer} ")
        assert layer in slider.get_attribute("aria-valuetext")
        seen.append(canvas(page, "heat"))
    assert len(mapped(page)) == 2
    assert all((one != other).mean() > 0.2 for one, other in itertools.pairwise(seen))


def test_painting_sends_no_requests(look: Open) -> None:
    page = look()
    page.wait_for_selector(".look[data-stages]")
    before = len(page.requests_seen)
    seen = [canvas(page)]
    for name, key in (("Opacity", "PageUp"), ("Threshold", "PageUp"), ("Contour at the threshold", "PageUp")):
        page.get_by_label(name, exact=True).press(key)
        page.evaluate(FRAMES)
        seen.append(canvas(page))
    page.get_by_label("viridis").check()
    page.evaluate(FRAMES)
    seen.append(canvas(page))
    page.get_by_label("Blending").select_option("uniform")
    page.evaluate(FRAMES)
    seen.append(canvas(page))
    # Thumbnails come when they scroll into sight; Chromium looks after the icon at each new address.
    others = re.compile(r"/api/images/.*longest=160|/icon.svg")
    assert [path for path in page.requests_seen[before:] if not others.match(path)] == []
    assert all((one != other).any() for one, other in itertools.pairwise(seen))


def test_map_value_by_keyboard(look: Open, site: tuple[str, Page]) -> None:
    page = look()
    overlay = page.locator(".look .view.overlay canvas")
    overlay.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowUp"):  # the first shows it in the middle
        overlay.press(key)
    image = site[1].images.find("s3").image
    landed = explain(site[1].models[0], image).landed
    far = max(1, round(max(image.size) / 64))
    x, y = image.width // 2 + far, image.height // 2 - 3 * far
    for kind in ("photo", "heat", "overlay"):
        reading = page.locator(f".look .view.{kind} .reading")
        assert float(reading.inner_text().split(" · ")[0]) == pytest.approx(float(landed[y, x]), rel=6e-3, abs=1e-4)
    assert page.locator(".look .view.overlay .reading").get_attribute("aria-hidden") == "false"


def test_zoom_is_shared_by_the_three_views(look: Open) -> None:
    page = look()
    views = page.locator(".look .frame canvas")
    transforms = lambda: {view.evaluate("(c) => c.style.transform") for view in views.all()}  # noqa: E731
    assert transforms() == {""}
    page.get_by_role("button", name="Zoom in").click()
    (once,) = transforms()
    assert once.startswith("scale(1.5)")
    views.first.focus()
    views.first.press("+")
    views.first.press("Shift+ArrowRight")
    (moved,) = transforms()
    assert moved.startswith("scale(2.25)")
    box = page.locator(".look .view.overlay .frame").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 180)
    page.mouse.up()
    (dragged,) = transforms()
    assert dragged != moved
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    (wheeled,) = transforms()
    assert float(re.findall(r"[\d.]+", wheeled)[0]) > 2.25
    views.first.focus()
    views.first.press("0")
    assert transforms() == {""}


def test_class_by_name_and_contrast(look: Open, screenshot: Callable[..., None]) -> None:
    page = look()
    field = page.get_by_role("combobox", name="Explain another class")
    field.fill("bo")
    assert field.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    active = page.locator(f"#{field.get_attribute('aria-activedescendant')}")
    assert active.inner_text() == "boat"
    page.keyboard.press("Enter")
    drawn(page, " boat")
    page.get_by_role("combobox", name="Rather than").fill("dog")
    page.keyboard.press("Enter")
    drawn(page, " boat rather than dog")
    assert "target=8+rather+than+1" in page.url
    screenshot(page, "look-contrast")
    page.get_by_label("Negative evidence").check()
    drawn(page, " against boat")
    page.get_by_role("button", name="Back to the predicted class").click()
    drawn(page, "s3 ")
    assert "target" not in page.url
    field.fill("nothing like it")
    assert "No class contains" in page.locator(".combobox .options:visible").inner_text()
    page.keyboard.press("Escape")
    assert field.input_value() == ""


def test_bar_explains_its_class(look: Open) -> None:
    page = look()
    name = page.locator(".look .guess .name").nth(2).inner_text()
    page.locator(".look .guess").nth(2).click()
    drawn(page, f" {name}")
    assert page.locator(".look .guess").nth(2).get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("way", ["file", "drop", "paste"])
def test_upload(look: Open, image_file: Callable[..., Path], way: str) -> None:
    page = look()
    file = image_file(f"my {way}.png")
    if way == "file":
        page.set_input_files('.look input[type="file"]', str(file))
    elif way == "drop":
        assert page.evaluate(DROP, carried(file)) == [True, True]
    else:
        page.evaluate(PASTE, carried(file))
    page.wait_for_selector('.look[data-drawn^="u"]')
    assert page.locator(".look .view.photo figcaption").inner_text() == f"my {way}.png"
    assert page.locator(".look .tile").first.get_attribute("aria-selected") == "true"
    assert "true class" not in page.locator(".look .headline").inner_text()


def test_invalid_upload_keeps_the_view(look: Open, image_file: Callable[..., Path]) -> None:
    page = look()
    before = page.locator(".look").get_attribute("data-drawn")
    page.evaluate(DROP, carried(image_file("notes.txt", content=b"only words")))
    page.wait_for_selector("#said.error")
    assert "notes.txt" in page.locator("#said").inner_text()
    heavy = image_file("huge.png", content=b"\0" * (26 << 20))
    page.set_input_files('.look input[type="file"]', str(heavy))
    page.wait_for_selector("#said.error >> text=the limit is 25")
    assert page.locator(".look").get_attribute("data-drawn") == before
    assert "picture=s3" in page.url


def test_image_from_the_camera(look: Open) -> None:
    page = look()
    page.get_by_role("button", name="Camera").click()
    page.wait_for_selector("dialog.camera video")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector("dialog.camera", state="detached")
    page.get_by_role("button", name="Camera").click()
    video = page.wait_for_selector("dialog.camera video")
    page.evaluate("(v) => new Promise((done) => v.requestVideoFrameCallback(done))", video)
    live = page.evaluate_handle("(v) => v.srcObject.getTracks()[0]", video)
    page.get_by_role("button", name="Capture").click()
    page.wait_for_selector('.look[data-drawn^="u"]')
    assert live.evaluate("(track) => track.readyState") == "ended"


def test_unknown_image(tab: Open) -> None:
    page = tab("#look?picture=u0123456789")
    page.wait_for_selector(".look .trouble >> text=Select it or upload it again")
    page.wait_for_selector(".look .tile[data-id^='s']")
    page.locator(".look .tile[data-id^='s']").first.click()
    page.wait_for_selector(".look[data-drawn]")
    assert page.locator(".look .trouble").inner_text() == ""


def test_samples_can_be_filtered_by_prediction(look: Open, screenshot: Callable[..., None]) -> None:
    page = look("picture=s3&model=toybox:cleverhans")
    page.locator(".chooser summary").click()
    page.get_by_label("Prediction").select_option("wrong")
    tile = page.locator(".look .tile.wrong").first
    tile.wait_for()
    page.wait_for_selector(".chooser .note >> text=1 match among 60 evaluated images. No other images match.")
    assert tile.locator(".guessed").inner_text().startswith("✗ tree")
    assert "samples.said=wrong" in page.url
    screenshot(page, "look-filter")
    page.get_by_role("button", name="Clear filter").click()
    page.wait_for_selector(".look .tile >> nth=19")
    page.locator(".chooser").get_by_label("Class").select_option("fish")
    page.wait_for_selector(".look .tile[title^=fish]")
    page.wait_for_selector(".look .tile[title^=bird]", state="detached")


def test_samples_by_arrow_keys(look: Open) -> None:
    page = look("")
    tiles = page.locator(".look .tile")
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    assert tiles.nth(1).evaluate("(tile) => tile === document.activeElement")
    drawn(page, f"{tiles.nth(1).get_attribute('data-id')} ")
    page.keyboard.press("End")
    drawn(page, f"{tiles.last.get_attribute('data-id')} ")
    assert page.locator('.look .tile[tabindex="0"]').count() == 1


def test_slow_request_can_be_stopped(look: Open) -> None:
    page = look()
    before = canvas(page)
    page.get_by_label("Method", exact=True).select_option("rise")
    page.locator(".look .method-options summary").click()
    page.get_by_label("n", exact=True).fill("4000")
    page.get_by_label("n", exact=True).press("Enter")
    page.locator(".look .task progress[value]").wait_for()
    page.locator(".look .task button").click()
    page.wait_for_selector(".look .trouble >> text=Stopped.")
    page.get_by_role("button", name="Back to the displayed map").click()
    page.wait_for_selector(".look .trouble:empty", state="attached")
    drawn(page, "grad_cam")
    np.testing.assert_array_equal(canvas(page), before)
    assert "options" not in page.url


def test_options_and_combinations(look: Open) -> None:
    page = look()
    page.get_by_label("Method", exact=True).select_option("integrated_gradients")
    drawn(page, "integrated_gradients input")
    assert "differs from the score by" in page.locator(".look .notes").inner_text()
    page.locator(".look .method-options summary").click()
    page.get_by_label("steps").fill("8")
    page.get_by_label("steps").press("Enter")
    page.wait_for_selector(".look:not([aria-busy])")
    assert "look.options" in page.url
    page.get_by_text("Combine methods").click()
    page.get_by_role("button", name="refine(layer_cam)").click()
    drawn(page, "refine(layer_cam)")
    assert page.get_by_label("Layer", exact=True).is_disabled()
    assert "look.options" not in page.url


def test_unknown_layer_suggests_the_nearest(look: Open) -> None:
    page = look()
    page.get_by_text("Another layer").click()
    page.get_by_label("Name of the module").fill("layre3")
    page.keyboard.press("Enter")
    page.wait_for_selector(".look .trouble >> text=Did you mean 'layer3'")
    page.get_by_role("button", name="Back to the displayed map").click()
    page.wait_for_selector(".look .trouble:empty", state="attached")
    page.get_by_label("Name of the module").fill("layer3.0")
    page.keyboard.press("Enter")
    drawn(page, " layer3.0 ")


def test_downloads_equal_library(look: Open, site: tuple[str, Page], tmp_path: Path) -> None:
    page = look("picture=s3&layer=layer3&opacity=0.7")

    def taken(name: str) -> Path:
        with page.expect_download() as waiting:
            page.get_by_role("button", name=name, exact=True).click()
        file = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(file)
        return file

    truth = explain(site[1].models[0], site[1].images.find("s3").image, layer="layer3")
    stem = f"scene_3-grad_cam-layer3-{truth.target}"
    arrays = taken("NPZ")
    assert arrays.name == f"{stem}.map.npz"
    np.testing.assert_array_equal(np.load(arrays)["raw"], truth.raw.numpy())
    record = taken("Record")
    assert record.name == f"{stem}.record.json"
    assert json.loads(record.read_text())["target"] == truth.target
    panel = np.asarray(Image.open(taken("Panel")))
    np.testing.assert_array_equal(panel, np.asarray(truth.panel(opacity=0.7)))
    overlay = np.asarray(Image.open(taken("Overlay")).convert("RGB")).astype(int)
    np.testing.assert_allclose(overlay, np.asarray(truth.overlay(opacity=0.7)).astype(int), atol=3)


def test_link_restores_the_view(look: Open, screenshot: Callable[..., None]) -> None:
    view = "picture=s7&model=toybox:vgg&layer=features.10&target=2+rather+than+4&opacity=0.8&contour=0.5"
    page = look(view, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_url("**look.zoom*")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("#said >> text=clipboard")
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert link == page.url
    other = look(link.partition("#look?")[2])
    for kind in ("photo", "heat", "overlay"):
        np.testing.assert_array_equal(canvas(other, kind), canvas(page, kind))
    transform = "() => document.querySelector('.look .view canvas').style.transform"
    assert other.evaluate(transform) == page.evaluate(transform) != ""
    assert other.get_by_label("Opacity").input_value() == "0.8"
    screenshot(other, "look-link")


def test_overlay_is_first_on_a_phone(look: Open, screenshot: Callable[..., None]) -> None:
    page = look(viewport=PHONE)
    assert page.evaluate("() => document.documentElement.scrollWidth") == PHONE["width"]
    tops = {kind: page.locator(f".look .view.{kind}").bounding_box()["y"] for kind in ("photo", "heat", "overlay")}
    assert tops["overlay"] < min(tops["photo"], tops["heat"])
    assert tops["overlay"] + 200 < PHONE["height"]
    screenshot(page, "look-phone")


def test_dark_theme(look: Open, screenshot: Callable[..., None]) -> None:
    page = look("picture=s3&method=input_x_gradient", color_scheme="dark")
    assert page.locator(".look .scale .ends").inner_text().startswith("−")
    screenshot(page, "look-dark")
