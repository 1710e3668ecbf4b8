"""Search and selection in the tab Data set: one selection in all views."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from camlucida import wrap
from camlucida.analysis import embed, mistakes
from camlucida.app.app_state import Page
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset
from camlucida.data.open import open_dataset
from camlucida.models.load import load

from .conftest import PHONE, WCAG_21, best_of, served
from .test_dataset import on_canvas

SCENES = 40
FRAME_MS = 250
"""For one frame, on the machine that `slowness` compares with."""
SLICE = {"name": "camera = rear", "n": 4, "accuracy": 0.0, "rest_accuracy": 0.5, "is_worse": True, "rows": [3, 0, 6, 9]}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Page]]:
    """Serve a data set with metadata, both analyses of it, and an audit with one slice."""
    folder = tmp_path_factory.mktemp("selection-site")
    scenes = open_dataset("toybox:watermark", count=SCENES)
    items = [scenes[i] for i in range(SCENES)]
    data = ListDataset(
        "scenes",
        [
            Item(item.image, item.name, item.label, split="val", metadata={"camera": "front" if i % 3 else "rear"})
            for i, item in enumerate(items)
        ],
        scenes.classes,
    )
    model = load("toybox:permuted")
    mistakes(model, data, maps=False, out=folder / "mistakes")
    embed(model, data, out=folder / "embedding")
    audited = audit(model, data, folder / "audit").path
    (audited / "findings").mkdir(exist_ok=True)
    (audited / "findings" / "slices.json").write_text(json.dumps({"slices": [SLICE]}))
    page = Page([model], data, (folder / "mistakes", folder / "embedding"), None, (audited,))
    with served(page) as address:
        yield address, page


def rows(site: tuple[str, Page]) -> list[dict[str, Any]]:
    return site[1].analysis_runs.find("r0").mistakes.rows


def select_part(page: Any, title: str) -> None:
    page.get_by_role("button", name=title, exact=True).click()


def matrix_sum(page: Any) -> int:
    return sum(int(text) for text in page.locator(".matrix td button").all_inner_texts())


def test_search_filters_all_views_and_is_a_chip(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    rear = [row for row in rows(site) if row["index"] % 3 == 0]
    wrong = [row for row in rear if not row["correct"]]
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(f".plane canvas[data-thumbnails='{SCENES}']")
    page.get_by_label("Search images").fill("camera:rear")
    page.wait_for_selector(f".selection[data-subset='{len(rear)}']")
    page.wait_for_selector(f".plane canvas[data-thumbnails='{len(rear)}']")
    assert f"{len(rear)} of {SCENES} images selected" in page.inner_text(".selection [role=status]")
    assert "Search: camera:rear" in page.inner_text(".chip")
    screenshot(page, "dataset-search")
    select_part(page, "Confusion")
    page.wait_for_selector(".confusion[data-drawn=r0]")
    page.wait_for_function("() => [...document.querySelectorAll('.matrix td button')].length > 0")
    assert matrix_sum(page) == len(rear)
    page.wait_for_selector(f".figures small:text-is('of the {len(rear)} selected')")
    figures = dict(zip(*(page.locator(f".figures {tag}").all_inner_texts() for tag in ("span", "b")), strict=True))
    assert figures["wrong"] == str(len(wrong))
    assert float(figures["correct"].rstrip(" %")) == pytest.approx(100 * (1 - len(wrong) / len(rear)), abs=0.1)
    select_part(page, "Most confident errors")
    page.wait_for_selector(f".errors[data-drawn^='r0 {len(wrong)} ']")
    page.reload()
    page.wait_for_selector(f".errors[data-drawn^='r0 {len(wrong)} ']")  # the link restores it
    assert page.get_by_label("Search images").input_value() == "camera:rear"
    page.get_by_label("Remove the search").click()
    total = sum(row["correct"] is False for row in rows(site))
    page.wait_for_selector(f".errors[data-drawn^='r0 {total} ']")
    assert page.locator(".chip").count() == 0
    assert page.get_by_label("Search images").input_value() == ""


def test_unknown_column_is_explained(tab: Callable[..., Any]) -> None:
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(".scatter[data-drawn]")
    page.get_by_label("Search images").fill("kamera:rear")
    page.wait_for_selector(".selection [role=alert]")
    assert "no column 'kamera'" in page.inner_text(".selection [role=alert]")
    assert "Did you mean 'camera'" in page.inner_text(".selection [role=alert]")


def test_class_of_the_legend_is_selected_in_all_views(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(".scatter[data-drawn]")
    button = page.locator(".scatter .legend button").first
    name = button.locator(".name").inner_text()
    chosen = [row for row in rows(site) if row["label"] == name]
    button.click()
    page.wait_for_selector(f".selection[data-subset='{len(chosen)}']")
    assert f"Classes: {name}" in page.inner_text(".chip")
    select_part(page, "Confusion")
    page.wait_for_selector(".confusion[data-drawn=r0]")
    assert page.locator(".matrix tbody th").all_inner_texts() == [name] or matrix_sum(page) == len(chosen)
    assert matrix_sum(page) == len(chosen)
    select_part(page, "Most confident errors")
    page.wait_for_selector(f".errors[data-drawn^='r0 {len(chosen)} ']")
    page.keyboard.press("Escape")
    page.wait_for_selector(".selection[data-subset='all']")
    assert page.locator(".chip").count() == 0


def test_lasso_selects_what_it_surrounds(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(f".plane canvas[data-thumbnails='{SCENES}']")
    plane = page.locator(".plane canvas")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    scatter = site[1].analysis_runs.find("r1").scatter
    positions = np.array(on_canvas(scatter.projection("tsne").positions, box, 1.0))
    left, top, right, bottom = 60.0, 60.0, box["width"] / 2 + 0.5, box["height"] - 60
    inside = (positions[:, 0] > left) & (positions[:, 0] < right) & (positions[:, 1] > top) & (positions[:, 1] < bottom)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]

    def draw() -> None:
        page.mouse.move(box["x"] + left, box["y"] + top)
        page.mouse.down()
        for x, y in corners[1:]:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
        page.mouse.up()

    page.keyboard.down("Shift")
    draw()
    page.keyboard.up("Shift")
    page.wait_for_selector(f".selection[data-subset='{inside.sum()}']")
    page.wait_for_selector(f".plane canvas[data-thumbnails='{inside.sum()}']")
    screenshot(page, "dataset-lasso")
    page.keyboard.press("Escape")
    page.wait_for_selector(f".plane canvas[data-thumbnails='{SCENES}']")
    page.get_by_label("Select with a lasso").click()
    draw()
    page.wait_for_selector(f".selection[data-subset='{inside.sum()}']")
    indices = {row["index"] for row, chosen in zip(scatter.rows, inside, strict=True) if chosen}
    known = [row["image"] for row in rows(site) if row["index"] in indices]
    select_part(page, "Most confident errors")
    page.wait_for_selector(f".errors[data-drawn^='r0 {inside.sum()} ']")
    listed = set(page.locator(".errors .rows .thumb .name").all_inner_texts())
    assert listed <= set(known)
    assert len(listed) == min(20, len(known))


def test_points_are_selected_by_the_keyboard(tab: Callable[..., Any]) -> None:
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(".scatter[data-drawn]")
    plane = page.locator(".plane canvas")
    plane.press("ArrowRight")
    plane.press("Space")
    page.wait_for_selector(".selection[data-subset='1']")
    assert "1 selected point" in page.inner_text(".chip")
    plane.press("Space")
    page.wait_for_selector(".selection[data-subset='all']")


def test_slice_of_an_audit_is_selected(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#dataset?dataset.part=errors")
    page.wait_for_selector(".errors[data-drawn]")
    page.locator(".slices summary").click()
    page.get_by_role("button", name="camera = rear").click()
    page.wait_for_selector(".errors[data-drawn^='r0 4 ']")
    known = {row["image"] for row in rows(site) if row["index"] in (0, 3, 6, 9)}
    assert set(page.locator(".errors .rows .thumb .name").all_inner_texts()) == known
    assert "Slice: camera = rear" in page.inner_text(".chip")
    screenshot(page, "dataset-slice")
    page.reload()
    page.wait_for_selector(".errors[data-drawn^='r0 4 ']")
    select_part(page, "Embedding")
    page.wait_for_selector(".plane canvas[data-thumbnails='4']")


def test_cell_is_marked_and_not_filtered_in_the_matrix(tab: Callable[..., Any]) -> None:
    page = tab("#dataset?dataset.part=confusion")
    page.wait_for_selector(".confusion[data-drawn=r0]")
    cell = page.locator(".matrix td button").first
    count = int(cell.inner_text())
    cell.click()
    page.wait_for_selector(f".selection[data-subset='{count}']")
    assert matrix_sum(page) == SCENES
    assert cell.get_attribute("aria-pressed") == "true"
    cell.click()
    page.wait_for_selector(".selection[data-subset='all']")


@pytest.mark.parametrize("part", ["scatter", "confusion", "errors"])
def test_filtered_views_fit_a_phone_in_the_dark(
    tab: Callable[..., Any], screenshot: Callable[..., None], part: str
) -> None:
    page = tab(
        f"#dataset?dataset.part={part}&dataset.search=camera:rear&dataset.slice=0-0&dataset.slice_name=camera+%3D+rear",
        viewport=PHONE,
        color_scheme="dark",
        has_touch=True,
    )
    page.wait_for_selector(f".{part}[data-drawn]")
    page.wait_for_selector(".selection[data-subset='4']")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    screenshot(page, f"dataset-{part}-filtered-phone")


@pytest.mark.parametrize("part", ["scatter", "confusion", "errors"])
def test_selection_is_accessible(tab: Callable[..., Any], violations: Callable[..., list[str]], part: str) -> None:
    """axe-core finds no violation with chips and open slices, and none of contrast in the dark."""
    page = tab(
        f"#dataset?dataset.part={part}&dataset.search=camera:rear&dataset.slice=0-0&dataset.slice_name=rear",
        color_scheme="light",
    )
    page.wait_for_selector(f".{part}[data-drawn]")
    page.wait_for_selector(".selection[data-subset='4']")
    page.locator(".slices summary").click()
    page.wait_for_selector(".slices li")
    page.wait_for_load_state("networkidle")
    found = violations(page, WCAG_21)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.wait_for_function("document.getAnimations().length === 0")
    found += violations(page, rules=["color-contrast"])
    assert found == []


def test_many_points_are_dots_until_few_are_displayed(
    serve: Callable[[Page], str],
    app_page: Callable[..., Any],
    slowness: Callable[..., float],
    tmp_path: Path,
    screenshot: Callable[..., None],
) -> None:
    """2,000 points: no thumbnails are read before they are drawn; a drawing takes a fraction of a second."""
    n = 2000
    data = ListDataset("many", [Item(image, f"{i}", i % 3) for i, image in enumerate(noise(n))], ("a", "b", "c"))
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    model = wrap(network.eval(), labels=data.classes, size=24)
    embed(model, data, way="pca", out=tmp_path / "embedding")
    asked: list[str] = []
    address = serve(Page([model], data, (tmp_path / "embedding",)))
    page = app_page(address, {"request": lambda request: asked.append(request.url)})
    page.goto(f"{address}/#dataset")
    page.wait_for_selector(".plane canvas[data-thumbnails='0']")
    page.wait_for_selector(".scatter[data-drawn]")
    assert not any("thumbnails" in url for url in asked)
    all_points = best_of(lambda: page.evaluate(FRAMES) / slowness(page), FRAME_MS)
    for _ in range(9):
        page.get_by_label("Zoom in").click()
        page.wait_for_load_state("networkidle")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if page.locator(".plane canvas").get_attribute("data-thumbnails") != "0":
            break
    page.wait_for_selector(".plane canvas[data-thumbnails]:not([data-thumbnails='0'])")
    assert 0 < int(page.locator(".plane canvas").get_attribute("data-thumbnails") or 0) <= 500
    assert sum("thumbnails" in url for url in asked) == 1
    screenshot(page, "dataset-many")
    thumbnails = best_of(lambda: page.evaluate(FRAMES) / slowness(page), FRAME_MS)
    assert max(all_points, thumbnails) < FRAME_MS, (
        f"{all_points} ms for a frame with dots, {thumbnails} ms with thumbnails"
    )


FRAMES = """async () => {
  const canvas = document.querySelector(".plane canvas");
  const times = [];
  for (let i = 0; i < 12; i++) {
    const before = performance.now();
    canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: i % 2 ? 40 : -40, clientX: 300, clientY: 400 }));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - before);
  }
  return times.sort((a, b) => a - b)[6];
}"""


def noise(n: int) -> list[Image.Image]:
    """Return images of two colours."""
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (2, 2, 3), dtype=np.uint8)).resize((24, 24)) for _ in range(n)]
