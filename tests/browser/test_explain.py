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
import torch
from PIL import Image
from torch import nn

from camlucida import explain, wrap
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset

Open = Callable[..., Any]
PHONE = {"width": 390, "height": 844}
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
HOLD = """(kind) => {
  window.held ??= {};
  return document.querySelector(`.explain-tab .view.${kind} canvas`).toDataURL();
}"""
DROP = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name));
  for (const what of ["dragenter", "dragover"])
    document.body.dispatchEvent(new DragEvent(what, { dataTransfer: carried, bubbles: true, cancelable: true }));
  await new Promise(requestAnimationFrame);
  const hint = !document.querySelector(".dropping").hidden;
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
  await new Promise(requestAnimationFrame);
  return [hint, document.querySelector(".dropping").hidden];
}"""
PASTE = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def open_view(tab: Open) -> Open:
    """Return a function that opens a view and waits for its map."""

    def open_(view: str = "image=s3", **context: Any) -> Any:
        page = tab(f"#explain?{view}", **context)
        page.wait_for_selector(".explain-tab[data-drawn]")
        page.evaluate(FRAMES)
        return page

    return open_


def drawn(page: Any, *parts: str) -> None:
    """Wait until the map of this image, method, layer or target is painted."""
    page.wait_for_selector(".explain-tab" + "".join(f'[data-drawn*="{part}"]' for part in parts))
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
    page.wait_for_selector(".explain-tab[data-drawn]")
    assert page.locator(".explain-tab .tile").count() == 20
    assert page.locator(".explain-tab .guess").count() == 5
    assert "true class:" in page.locator(".explain-tab .headline").inner_text()
    assert "12 × 12" in page.locator(".explain-tab .notes").inner_text()
    screenshot(page, "explain")


def test_click_is_painted_within_a_tenth_of_a_second(open_view: Open) -> None:
    """In addition to the time of the network."""
    page = open_view()
    more = []
    for tile in (5, 7, 9, 11):
        page.locator(".explain-tab .tile").nth(tile).click()
        chosen = page.locator(".explain-tab .tile").nth(tile).get_attribute("data-id")
        drawn(page, f"{chosen} ")
        root = page.locator(".explain-tab")
        more.append(float(root.get_attribute("data-waited")) - 1000 * float(root.get_attribute("data-seconds")))
    assert min(more) < 100, more


COUNT_PAINTS = """() => {
  window.paints = [];
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    if (this.canvas.closest(".view")) window.paints.push(this.canvas.closest(".view").className.split(" ")[1]);
    return put.apply(this, given);
  };
}"""


def test_click_paints_each_map_once(open_view: Open) -> None:
    """The maps of the last image stay until those of the next one are there, and are not painted again."""
    page = open_view()
    page.wait_for_selector(".explain-tab[data-stages]")
    page.evaluate(COUNT_PAINTS)
    tile = page.locator(".explain-tab .tile").nth(4)
    tile.click()
    drawn(page, f"{tile.get_attribute('data-id')} ")
    assert sorted(page.evaluate("window.paints")) == ["heat", "overlay"]


def test_layer_slider_sends_no_requests(open_view: Open) -> None:
    page = open_view()
    page.wait_for_selector(".explain-tab[data-stages]")
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


def test_painting_sends_no_requests(open_view: Open) -> None:
    page = open_view()
    page.wait_for_selector(".explain-tab[data-stages]")
    page.locator(".more-display summary").click()
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
    # Thumbnails come when they scroll into sight, and the code of other tabs when nothing else happens; Chromium
    # fetches the icon at each new address.
    others = re.compile(r"/api/images/.*longest=160|/icon.svg|/\w+\.(js|css)")
    assert [path for path in page.requests_seen[before:] if not others.match(path)] == []
    assert all((one != other).any() for one, other in itertools.pairwise(seen))


def test_map_value_by_keyboard(open_view: Open, site: tuple[str, Page]) -> None:
    page = open_view()
    overlay = page.locator(".explain-tab .view.overlay canvas")
    overlay.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowUp"):  # the first shows it in the middle
        overlay.press(key)
    image = site[1].images.find("s3").image
    landed = explain(site[1].models[0], image).landed
    far = max(1, round(max(image.size) / 64))
    x, y = image.width // 2 + far, image.height // 2 - 3 * far
    for kind in ("photo", "heat", "overlay"):
        reading = page.locator(f".explain-tab .view.{kind} .reading")
        assert float(reading.inner_text().split(" · ")[0]) == pytest.approx(float(landed[y, x]), rel=6e-3, abs=1e-4)
    assert page.locator(".explain-tab .view.overlay .reading").get_attribute("aria-hidden") == "false"


def test_zoom_is_shared_by_the_three_views(open_view: Open) -> None:
    page = open_view()
    views = page.locator(".explain-tab .frame canvas")
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
    box = page.locator(".explain-tab .view.overlay .frame").bounding_box()
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


def test_class_by_name_and_contrast(open_view: Open, screenshot: Callable[..., None]) -> None:
    page = open_view()
    field = page.get_by_role("combobox", name="Explained class")
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
    screenshot(page, "explain-contrast")
    page.get_by_label("Negative evidence").check()
    drawn(page, " against boat")
    page.get_by_role("button", name="Back to the predicted class").click()
    drawn(page, "s3 ")
    assert "target" not in page.url
    field.fill("nothing like it")
    assert "No class contains" in page.locator(".combobox .options:visible").inner_text()
    page.keyboard.press("Escape")
    assert field.input_value() == ""


def test_bar_explains_its_class(open_view: Open) -> None:
    page = open_view()
    name = page.locator(".explain-tab .guess .name").nth(2).inner_text()
    page.locator(".explain-tab .guess").nth(2).click()
    drawn(page, f" {name}")
    assert page.locator(".explain-tab .guess").nth(2).get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("way", ["file", "drop", "paste"])
def test_upload(open_view: Open, image_file: Callable[..., Path], way: str) -> None:
    page = open_view()
    file = image_file(f"my {way}.png")
    if way == "file":
        page.set_input_files('.explain-tab input[type="file"]', str(file))
    elif way == "drop":
        assert page.evaluate(DROP, carried(file)) == [True, True]
    else:
        page.evaluate(PASTE, carried(file))
    page.wait_for_selector('.explain-tab[data-drawn^="u"]')
    assert page.locator(".explain-tab .view.photo figcaption").inner_text() == f"my {way}.png"
    assert page.locator(".explain-tab .tile").first.get_attribute("aria-selected") == "true"
    assert "true class" not in page.locator(".explain-tab .headline").inner_text()


def test_invalid_upload_keeps_the_view(open_view: Open, image_file: Callable[..., Path]) -> None:
    page = open_view()
    before = page.locator(".explain-tab").get_attribute("data-drawn")
    page.evaluate(DROP, carried(image_file("notes.txt", content=b"only words")))
    page.wait_for_selector("#said.error")
    assert "notes.txt" in page.locator("#said").inner_text()
    heavy = image_file("huge.png", content=b"\0" * (26 << 20))
    page.set_input_files('.explain-tab input[type="file"]', str(heavy))
    page.wait_for_selector("#said.error >> text=the limit is 25")
    assert page.locator(".explain-tab").get_attribute("data-drawn") == before
    assert "image=s3" in page.url


def test_image_from_the_camera(open_view: Open) -> None:
    page = open_view()
    page.get_by_role("button", name="Camera").click()
    page.wait_for_selector("dialog.camera video")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector("dialog.camera", state="detached")
    page.get_by_role("button", name="Camera").click()
    video = page.wait_for_selector("dialog.camera video")
    page.evaluate("(v) => new Promise((done) => v.requestVideoFrameCallback(done))", video)
    live = page.evaluate_handle("(v) => v.srcObject.getTracks()[0]", video)
    page.get_by_role("button", name="Capture").click()
    page.wait_for_selector('.explain-tab[data-drawn^="u"]')
    assert live.evaluate("(track) => track.readyState") == "ended"


def test_unknown_image(tab: Open) -> None:
    page = tab("#explain?image=u0123456789")
    page.wait_for_selector(".explain-tab .trouble >> text=Select it or upload it again")
    page.wait_for_selector(".explain-tab .tile[data-id^='s']")
    page.locator(".explain-tab .tile[data-id^='s']").first.click()
    page.wait_for_selector(".explain-tab[data-drawn]")
    assert page.locator(".explain-tab .trouble").inner_text() == ""


def test_samples_can_be_filtered_by_prediction(open_view: Open, screenshot: Callable[..., None]) -> None:
    page = open_view("image=s3&model=toybox:cleverhans")
    page.locator(".chooser summary").click()
    page.get_by_label("Prediction").select_option("wrong")
    tile = page.locator(".explain-tab .tile.wrong").first
    tile.wait_for()
    page.wait_for_selector(".chooser .note >> text=1 match among 60 evaluated images. No other images match.")
    assert tile.locator(".guessed").inner_text().startswith("✗ tree")
    assert "samples.prediction=wrong" in page.url
    screenshot(page, "explain-filter")
    page.get_by_role("button", name="Clear filter").click()
    page.wait_for_selector(".explain-tab .tile >> nth=19")
    page.locator(".chooser").get_by_label("Class").select_option("fish")
    page.wait_for_selector(".explain-tab .tile[title^=fish]")
    page.wait_for_selector(".explain-tab .tile[title^=bird]", state="detached")


def test_samples_by_arrow_keys(open_view: Open) -> None:
    page = open_view("")
    tiles = page.locator(".explain-tab .tile")
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    assert tiles.nth(1).evaluate("(tile) => tile === document.activeElement")
    drawn(page, f"{tiles.nth(1).get_attribute('data-id')} ")
    page.keyboard.press("End")
    drawn(page, f"{tiles.last.get_attribute('data-id')} ")
    assert page.locator('.explain-tab .tile[tabindex="0"]').count() == 1


def test_slow_request_can_be_stopped(open_view: Open) -> None:
    page = open_view()
    before = canvas(page)
    page.get_by_label("Method", exact=True).select_option("rise")
    page.locator(".explain-tab .method-options summary").click()
    page.get_by_label("n", exact=True).fill("4000")
    page.get_by_label("n", exact=True).press("Enter")
    page.locator(".explain-tab .progress progress[value]").wait_for()
    page.locator(".explain-tab .progress button").click()
    page.wait_for_selector(".explain-tab .trouble >> text=Stopped.")
    page.get_by_role("button", name="Back to the displayed map").click()
    page.wait_for_selector(".explain-tab .trouble:empty", state="attached")
    drawn(page, "grad_cam")
    np.testing.assert_array_equal(canvas(page), before)
    page.wait_for_url(lambda url: "options" not in url)


def test_options_and_combinations(open_view: Open) -> None:
    page = open_view()
    page.get_by_label("Method", exact=True).select_option("integrated_gradients")
    drawn(page, "integrated_gradients input")
    assert "differs from the score by" in page.locator(".explain-tab .notes").inner_text()
    page.locator(".explain-tab .method-options summary").click()
    page.get_by_label("steps").fill("8")
    page.get_by_label("steps").press("Enter")
    page.wait_for_selector(".explain-tab:not([aria-busy])")
    page.wait_for_url("**explain.options*")
    page.get_by_text("Combine methods").click()
    page.get_by_role("button", name="refine(layer_cam)").click()
    drawn(page, "refine(layer_cam)")
    assert page.get_by_label("Layer", exact=True).is_disabled()
    page.wait_for_url(lambda url: "explain.options" not in url)


def test_layers_are_searched_and_selected(open_view: Open, site: tuple[str, Page]) -> None:
    """All layers with a grid, by stage, with type, size and whether the grid is verified; the slider follows."""
    page = open_view()
    page.locator(".all-layers summary").click()
    page.wait_for_selector(".layer-list .layer")
    names = page.locator(".layer-list .layer .name").all_inner_texts()
    assert {"layer3", "layer3.0"} <= {name.split(" ")[0] for name in names}
    assert page.locator('.layer-list [role=group][aria-label="layer3"] .layer').count() > 1
    search = page.get_by_role("searchbox", name="Search layers by name or type")
    search.fill("layer2 conv")
    rows = page.locator(".layer-list .layer")
    assert 0 < rows.count() < len(names)
    assert f"{rows.count()} of {len(names)} layers" in page.locator(".layer-list").inner_text()
    first = rows.first.get_attribute("aria-label")
    assert first is not None
    assert re.match(r"layer2\S*, Conv2d, \d+ × \d+ × \d+, verified", first), first
    name = first.partition(",")[0]
    rows.first.click()
    drawn(page, f" {name} ")
    assert rows.first.get_attribute("aria-selected") == "true"
    assert page.get_by_label("Layer", exact=True).input_value() == "1"
    truth = explain(site[1].models[0], site[1].images.find("s3").image, layer=name)
    assert f"Map, {truth.raw.shape[0]} × {truth.raw.shape[1]}" in page.locator(".view.heat").inner_text()


def test_network_strip_moves_the_map(open_view: Open) -> None:
    page = open_view()
    page.wait_for_selector(".explain-tab[data-stages]")
    before = len(mapped(page))
    page.wait_for_selector(".stage-block >> text=24 × 24 × 24")
    page.locator(".stage-block").nth(1).click()
    drawn(page, " layer2 ")
    assert page.locator(".stage-block").nth(1).get_attribute("aria-pressed") == "true"
    assert page.get_by_label("Layer", exact=True).input_value() == "1"
    assert len(mapped(page)) == before


def test_unknown_layer_suggests_the_nearest(open_view: Open) -> None:
    page = open_view()
    page.evaluate("location.hash = '#explain?image=s3&layer=layre3'")
    page.wait_for_selector(".explain-tab .trouble >> text=Did you mean 'layer3'")
    page.get_by_role("button", name="Back to the displayed map").click()
    page.wait_for_selector(".explain-tab .trouble:empty", state="attached")
    drawn(page, " layer4 ")


def test_downloads_equal_library(open_view: Open, site: tuple[str, Page], tmp_path: Path) -> None:
    page = open_view("image=s3&layer=layer3&opacity=0.7")

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
    record = taken("JSON")
    assert record.name == f"{stem}.record.json"
    assert json.loads(record.read_text())["target"] == truth.target
    panel = np.asarray(Image.open(taken("Panel")))
    np.testing.assert_array_equal(panel, np.asarray(truth.panel(opacity=0.7)))
    figure = taken("SVG")
    assert figure.name == f"{stem}.svg"
    assert figure.read_bytes() == truth.svg(opacity=0.7)
    html = taken("HTML")
    assert html.name == f"{stem}.html"
    assert html.read_bytes() == truth.html(opacity=0.7)
    overlay = np.asarray(Image.open(taken("Overlay")).convert("RGB")).astype(int)
    np.testing.assert_allclose(overlay, np.asarray(truth.overlay(opacity=0.7)).astype(int), atol=3)


def test_link_restores_the_view(open_view: Open, screenshot: Callable[..., None]) -> None:
    view = "image=s7&model=toybox:vgg&layer=features.10&target=2+rather+than+4&opacity=0.8&contour=0.5"
    page = open_view(view, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_url("**explain.zoom*")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("#said >> text=clipboard")
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert link == page.url
    other = open_view(link.partition("#explain?")[2])
    for kind in ("photo", "heat", "overlay"):
        np.testing.assert_array_equal(canvas(other, kind), canvas(page, kind))
    transform = "() => document.querySelector('.explain-tab .view canvas').style.transform"
    assert other.evaluate(transform) == page.evaluate(transform) != ""
    assert other.get_by_label("Opacity").input_value() == "0.8"
    screenshot(other, "explain-link")


def test_phone_keeps_the_overlay_in_sight(open_view: Open, screenshot: Callable[..., None]) -> None:
    """Upload first, then the overlay, which stays while the settings scroll."""
    page = open_view(viewport=PHONE, has_touch=True)
    assert page.evaluate("() => document.documentElement.scrollWidth") == PHONE["width"]
    top = lambda selector: page.locator(selector).first.bounding_box()["y"]  # noqa: E731
    assert top(".drop-zone button") < top(".view.overlay") < top(".painting input") < top(".explain-tab .guess")
    assert top(".view.overlay") + 200 < PHONE["height"]
    for control in ("Opacity", "Method", "Class score"):
        page.get_by_label(control, exact=True).scroll_into_view_if_needed()
        page.evaluate("document.activeElement.blur(); scrollBy(0, 60)")
        page.evaluate(FRAMES)
        box = page.locator(".view.overlay canvas").bounding_box()
        assert box["y"] >= 0, control
        assert page.evaluate(
            "([x, y]) => document.elementFromPoint(x, y).closest('.view.overlay') !== null",
            [box["x"] + box["width"] / 2, box["y"] + 8],
        ), control
        assert box["y"] + box["height"] < PHONE["height"], control
    screenshot(page, "explain-phone")


def test_dark_theme(open_view: Open, screenshot: Callable[..., None]) -> None:
    page = open_view("image=s3&method=input_x_gradient", color_scheme="dark")
    assert page.locator(".explain-tab .scale .ends").inner_text().startswith("−")
    screenshot(page, "explain-dark")


def test_selected_bar_is_as_long_as_its_probability(open_view: Open, site: tuple[str, Page]) -> None:
    """Its colour is not that of the selected row, so "52 %" does not look like a full bar."""
    page = open_view("image=s3&model=toybox:cleverhans")
    colours, widths = page.evaluate(
        """() => {
          const row = document.querySelector('.guess[aria-pressed="true"]');
          const [bar, track] = [row.querySelector('.bar'), row.querySelector('.track')];
          const colour = (e) => getComputedStyle(e).backgroundColor;
          return [[row, bar, track].map(colour), [bar, track].map((e) => e.getBoundingClientRect().width)];
        }"""
    )
    assert len(set(colours)) == 3, colours
    truth = explain(site[1].model("toybox:cleverhans").model, site[1].images.find("s3").image)
    assert widths[0] / widths[1] == pytest.approx(truth.predictions[0].probability, abs=0.02)


def test_class_is_reset_for_another_image_unless_pinned(open_view: Open) -> None:
    page = open_view()
    page.locator(".explain-tab .guess").nth(2).click()
    name = page.locator(".explain-tab .guess .name").nth(2).inner_text()
    drawn(page, f"s3 grad_cam layer4 {name}")
    caption = page.locator(".view.overlay figcaption")
    assert caption.inner_text() == f"Map: {name} · Grad-CAM · layer4"
    tiles = page.locator(".explain-tab .tile")
    tiles.nth(4).click()
    drawn(page, f"{tiles.nth(4).get_attribute('data-id')} ")
    predicted = page.locator(".headline b").inner_text()
    assert caption.inner_text() == f"Map: {predicted} · Grad-CAM · layer4"
    assert "target" not in page.url
    page.get_by_role("combobox", name="Explained class").fill("boat")
    page.keyboard.press("Enter")
    drawn(page, " boat")
    page.get_by_label("Keep this class for other images").check()
    tiles.nth(6).click()
    drawn(page, f"{tiles.nth(6).get_attribute('data-id')} grad_cam layer4 boat")
    assert caption.inner_text() == "Map: boat · Grad-CAM · layer4"


def test_strength_beside_the_positive_evidence(open_view: Open, site: tuple[str, Page]) -> None:
    """A weak map gets full colours; its strength is said, and the scale can be shared."""
    image = site[1].images.find("s3").image
    positive = explain(site[1].models[0], image)
    negative = explain(site[1].models[0], image, target=f"not {positive.index}")
    ratio = float(negative.landed.clip(0).max() / positive.landed.clip(0).max())
    page = open_view(f"image=s3&target=not%20{positive.index}")
    note = page.locator(".strength").inner_text()
    assert f"as strong as the positive evidence for {positive.target}" in note
    said = re.search(r"([\d.]+) (%|times)", note)
    assert said is not None, note
    assert float(said[1]) / (100 if said[2] == "%" else 1) == pytest.approx(ratio, rel=0.06, abs=0.006)
    before = canvas(page, "heat")
    page.get_by_label("Same colour scale").check()
    page.evaluate(FRAMES)
    assert (canvas(page, "heat") != before).any()
    assert f"{float(positive.landed.max()):.3g}" in page.locator(".explain-tab .scale").inner_text()


def test_failure_clears_the_predictions_of_another_image(open_view: Open) -> None:
    page = open_view()
    page.wait_for_load_state("networkidle")
    page.context.route("**/api/explain", lambda route: route.fulfill(status=500, body="{}"))
    tiles = page.locator(".explain-tab .tile")
    tiles.nth(8).click()
    page.wait_for_selector(".explain-tab .trouble button >> text=Retry")
    assert page.locator(".explain-tab .guess").count() == 0
    assert page.locator(".headline").count() == 0
    assert page.locator(".explain-tab").get_attribute("data-drawn") is None
    assert page.locator(".view.overlay figcaption").inner_text() == "No map"
    page.context.unroute("**/api/explain")
    page.get_by_role("button", name="Retry").click()
    drawn(page, f"{tiles.nth(8).get_attribute('data-id')} ")
    assert page.locator(".explain-tab .guess").count() == 5


def test_page_reconnects(open_view: Open) -> None:
    page = open_view()
    page.wait_for_load_state("networkidle")
    page.context.route("**/*", lambda route: route.abort("connectionrefused"))
    tiles = page.locator(".explain-tab .tile")
    tiles.nth(8).click()
    page.wait_for_selector(".explain-tab .trouble >> text=does not respond")
    assert page.evaluate("[...document.querySelectorAll('.explain-tab .view canvas')].every((c) => c.width === 1)")
    page.context.unroute("**/*")
    drawn(page, f"{tiles.nth(8).get_attribute('data-id')} ")  # nobody clicked
    assert page.locator(".explain-tab .trouble").inner_text() == ""


def test_opacity_is_above_the_fold(open_view: Open) -> None:
    page = open_view(viewport={"width": 1440, "height": 900})
    overlay = page.locator(".view.overlay").bounding_box()
    for name in ("Opacity", "viridis"):
        box = page.get_by_label(name, exact=True).bounding_box()
        assert overlay["y"] + overlay["height"] <= box["y"] < overlay["y"] + overlay["height"] + 120
        assert box["y"] + box["height"] < 900


def test_opacity_steps_write_the_address_once(open_view: Open) -> None:
    """Browsers limit how often a page may change its address: Safari to 100 times in 30 seconds."""
    page = open_view()
    page.wait_for_selector(".explain-tab[data-stages]")
    page.evaluate(
        """() => {
          window.writes = 0;
          const write = history.replaceState.bind(history);
          history.replaceState = (...a) => { window.writes += 1; write(...a); };
        }"""
    )
    before = len(page.requests_seen)
    slider = page.get_by_label("Opacity", exact=True)
    page.evaluate(
        """async () => {
          const slider = document.querySelector('.painting input');
          for (let step = 0; step < 120; step++) {
            slider.value = String(step / 120);
            slider.dispatchEvent(new InputEvent('input', { bubbles: true }));
            await new Promise((done) => requestAnimationFrame(done));
          }
        }"""
    )
    page.wait_for_url("**opacity=0.99*")
    assert slider.input_value() == "0.99"
    assert page.evaluate("window.writes") <= 3
    later = (".js", ".css")  # the other tabs' files, which are requested after the first map
    seen = [path for path in page.requests_seen[before:] if "longest=160" not in path and not path.endswith(later)]
    assert len(seen) <= 2, seen


@pytest.fixture(scope="module")
def thousand(serve: Callable[[Page], str]) -> str:
    """Serve a network with 1,000 classes."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000)
    ).eval()
    labels = [f"{'terrier' if i % 50 == 3 else 'thing'} number {i}" for i in range(1000)]
    return serve(Page([wrap(network, labels=labels, size=32)], open_dataset("toybox", count=4)))


def test_all_classes_can_be_browsed(thousand: str, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto(f"{thousand}/#explain")
    page.wait_for_selector(".explain-tab[data-drawn]")
    field = page.get_by_role("combobox", name="Explained class")
    field.click()
    options = page.locator(".combobox [role=option]")
    count = page.locator(".combobox .count")
    assert count.inner_text() == "1,000 classes, 1 to 50"
    seen = []
    for n in range(20):
        seen += options.all_inner_texts()
        if n < 19:
            page.get_by_role("button", name="Next").click()
    assert len(set(seen)) == 1000
    assert page.get_by_role("button", name="Next").is_disabled()
    field.fill("terrier")
    assert count.inner_text() == "20 of 1,000 classes"  # all of them, not the first twelve
    assert options.count() == 20
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".explain-tab[data-drawn$='terrier number 953']")
    page.close()


def test_uploads_keep_their_names(open_view: Open, image_file: Callable[..., Path]) -> None:
    """Also the same pixels under another name, and after a reload."""
    page = open_view()
    page.set_input_files('.explain-tab input[type="file"]', str(image_file("first.png")))
    page.wait_for_selector(".view.photo figcaption >> text=first.png")
    page.set_input_files('.explain-tab input[type="file"]', str(image_file("second.png")))
    page.wait_for_selector(".explain-tab .tile[data-id^=u] >> text=second.png")
    page.wait_for_selector(".view.photo figcaption >> text=second.png")
    page.set_input_files('.explain-tab input[type="file"]', str(image_file("other.png", size=200)))
    page.wait_for_selector(".view.photo figcaption >> text=other.png")
    page.reload()
    page.wait_for_selector(".explain-tab[data-drawn^='u']")
    page.wait_for_selector(".explain-tab .tile[data-id^=s]")
    names = page.locator(".explain-tab .tile[data-id^=u] span").all_inner_texts()
    assert names == ["other.png", "second.png"]


def test_methods_of_the_model_with_their_times(open_view: Open) -> None:
    page = open_view()
    method = page.get_by_label("Method", exact=True)
    page.wait_for_selector('select option[value="rise"]:has-text("about")', state="attached")
    options = dict(method.evaluate("(s) => [...s.options].map((o) => [o.value, o.text])"))
    assert options["grad_cam"] == "Grad-CAM"
    assert re.fullmatch(r"RISE · about [\d.]+ (s|min)", options["rise"])
    assert not {"attention_rollout", "attention_relevance"} & options.keys()
    page.get_by_label("Model", exact=True).select_option("toybox:vit")
    page.wait_for_selector('select option[value="attention_rollout"]', state="attached")
    drawn(page, "s3 ")


def test_double_click_enlarges_and_the_wheel_explains(open_view: Open) -> None:
    page = open_view()
    frame = page.locator(".view.overlay canvas")
    box = frame.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, 10)
    page.wait_for_selector(".view.overlay .zoom-hint.on")
    page.mouse.dblclick(box["x"] + 100, box["y"] + 100)
    assert frame.evaluate("(c) => c.style.transform").startswith("scale(2.25)")
    page.mouse.dblclick(box["x"] + 100, box["y"] + 100)
    assert frame.evaluate("(c) => c.style.transform") == ""


def test_portrait_leaves_no_hole(
    open_view: Open, image_file: Callable[..., Path], screenshot: Callable[..., None]
) -> None:
    page = open_view(viewport={"width": 1440, "height": 900})
    tall = image_file("tall.png")
    with Image.open(tall) as image:
        image.crop((90, 0, 230, 320)).save(tall)
    page.set_input_files('.explain-tab input[type="file"]', str(tall))
    page.wait_for_selector('.explain-tab[data-drawn^="u"]')
    page.evaluate(FRAMES)
    boxes = {kind: page.locator(f".view.{kind} .frame").bounding_box() for kind in ("photo", "heat", "overlay")}
    stage = page.locator(".views").bounding_box()
    covered = sum(box["width"] for kind, box in boxes.items() if kind == "overlay") + max(
        boxes["photo"]["width"] + boxes["heat"]["width"], 0
    )
    assert covered > 0.8 * stage["width"]
    screenshot(page, "explain-portrait")


def test_targets_are_large_enough(open_view: Open) -> None:
    """24 px in both directions, as WCAG 2.2 requires."""
    page = open_view()
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, summary, select, input:not([type=file]), [role=option]')]
        .filter((e) => e.checkVisibility())
        .map((e) => [e, (e.closest('label.check, .palettes label') ?? e).getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < (24 - 0.5))
        .filter(([e]) => e.type !== 'range')
        .map(([e, box]) => `${e.outerHTML.slice(0, 80)} ${box.width}x${box.height}`)"""
    )
    assert small == []


def test_numbers_have_one_minus_sign(open_view: Open) -> None:
    page = open_view("image=s3&method=input_x_gradient")
    text = page.locator(".explain-tab").inner_text()
    assert not re.search(r"(?<![\w-])-\d", text), re.findall(r".{10}-\d.{5}", text)
    titles = page.evaluate("[...document.querySelectorAll('.guess')].map((e) => e.title)")
    assert not any(re.search(r" -\d", title) for title in titles), titles
    assert any("−" in title for title in titles)
