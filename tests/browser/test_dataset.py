"""The tab Data set in a browser."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camlucida.analysis import embed, mistakes
from camlucida.app.app_state import Page
from camlucida.audits.run import audit
from camlucida.data.open import open_dataset
from camlucida.evaluation import baselines, evaluate
from camlucida.models.load import load

from .conftest import PHONE, served

SCENES = 40


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Page]]:
    """Serve an app for this tab: a network that is wrong nine times of ten, and a run of each kind."""
    folder = tmp_path_factory.mktemp("dataset-site")
    model, data = load("toybox:permuted"), open_dataset("toybox:watermark", count=SCENES)
    mistakes(model, data, out=folder / "mistakes")
    embed(model, data, out=folder / "embedding")
    evaluate(
        model,
        data,
        methods=["grad_cam", "gradient"],
        metrics=["energy", "max_box_acc"],
        controls=[one for one in baselines.standard_controls() if one.name in ("random", "uniform")],
        limit=6,
        out=folder / "evaluation",
    )
    runs = tuple(folder / name for name in ("mistakes", "embedding", "evaluation"))
    page = Page([model, load("toybox")], data, runs)
    with served(page) as address:
        yield address, page


def test_point_shows_its_image(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(".scatter[data-drawn='r1 tsne truth']")
    rows = site[1].analysis_runs.find("r1").scatter.rows
    plane = page.locator(".plane canvas")
    plane.press("ArrowRight")
    page.wait_for_selector(".point[data-point='0'] .view canvas")
    assert rows[0]["label"] in page.inner_text(".point h3")
    assert f"Predicted as {rows[0]['predicted']}" in page.inner_text(".point .words")
    known = [found[0] for found in site[1].analysis_runs.find("r1").scatter.nearest(0, 6)]
    near = page.locator(".near .tile")
    titles = [near.nth(k).get_attribute("title") for k in range(near.count())]
    assert [title.split(":")[0] for title in titles] == [rows[i]["image"] for i in known]
    screenshot(page, "dataset-scatter")
    near.first.click()
    page.wait_for_selector(f".point[data-point='{known[0]}']")
    plane.press("Enter")
    page.wait_for_selector(".explain-tab[data-drawn]")
    assert f"image=s{rows[known[0]]['index']}" in page.url


def test_points_are_found_under_the_pointer_when_zoomed(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    page = tab("#dataset?dataset.part=scatter&dataset.colour=right")
    page.wait_for_selector(".scatter[data-drawn='r1 tsne right']")
    page.locator(".plane canvas").scroll_into_view_if_needed()
    box = page.locator(".plane canvas").bounding_box()
    scatter = site[1].analysis_runs.find("r1").scatter
    names = [row["image"] for row in scatter.rows]
    for zoom in (1.0, 1.5):
        positions = on_canvas(scatter.projection("tsne").positions, box, zoom)
        inside = [i for i, (x, y) in enumerate(positions) if 0 < x < box["width"] - 60 and 0 < y < box["height"]]
        for i in inside[::7]:
            page.mouse.move(box["x"] + positions[i][0], box["y"] + positions[i][1])
            assert page.inner_text(".point .name") == names[i]
        page.locator(".plane").get_by_label("Zoom in").click()
    page.locator(".plane").get_by_label("Show all points").click()
    page.wait_for_selector(".point:not([aria-busy])")
    before = len([path for path in page.requests_seen if path.startswith("/api/explain")])
    positions = on_canvas(scatter.projection("tsne").positions, box, 1.0)
    page.evaluate(CROSS, [[box["x"] + x, box["y"] + y] for x, y in positions])
    page.wait_for_selector(".point[data-point]:not([aria-busy])")
    after = len([path for path in page.requests_seen if path.startswith("/api/explain")])
    assert after - before <= 1  # what the pointer only crosses is not requested


CROSS = """(positions) => {
  const canvas = document.querySelector(".plane canvas");
  for (const [clientX, clientY] of positions)
    canvas.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY }));
}"""


def on_canvas(positions: Any, box: dict[str, float], zoom: float) -> list[tuple[float, float]]:
    """Where points are drawn: one scale for both axes, y upwards, 28 pixels of margin, zoomed about the middle."""
    size = np.array([box["width"] - 2, box["height"] - 2])  # without its border
    low, high = positions.min(0), positions.max(0)
    scale = ((size - 56) / (high - low)).min() * zoom
    found = size / 2 + (positions - (low + high) / 2) * scale * np.array([1, -1])
    return [(float(x), float(y)) for x, y in found + 1]


def test_one_class_can_be_shown_alone(tab: Callable[..., Any]) -> None:
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(".scatter[data-drawn]")
    button = page.locator(".scatter .legend button").first
    count = int(button.locator(".count").inner_text())
    name = button.locator(".name").inner_text()
    button.click()
    assert page.locator(".scatter .legend button").first.get_attribute("aria-pressed") == "true"
    plane = page.locator(".plane canvas")
    walked = set()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp") * 3:
        plane.press(key)
        walked.add(page.inner_text(".point .name"))
        assert page.inner_text(".point h3").startswith(name)  # muted ones are passed over
    assert len(walked) <= count
    page.click(".classes summary")
    cells = page.locator(".classes tbody tr", has_text=name).locator("td")
    assert cells.first.inner_text() == str(count)


def test_cell_shows_its_images_with_both_maps(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#dataset?dataset.part=confusion")
    page.wait_for_selector(".confusion[data-drawn=r0][data-told=r0]")
    confused = site[1].analysis_runs.find("r0").confusion_view
    truth, predicted, count, _ = confused.pairs(1)[0]
    assert page.locator(f"[data-cell='{truth}-{predicted}']").inner_text() == str(count)
    numbers = [int(text) for text in page.locator(".matrix td button").all_inner_texts()]
    assert sum(numbers) == SCENES
    page.locator(".matrix button[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.cell") != page.locator(".matrix button").first.get_attribute(
        "data-cell"
    )
    page.locator(f"[data-cell='{truth}-{predicted}']").click()
    page.wait_for_selector(f".cell[data-cell='{truth}-{predicted}'] .pairs[data-drawn]")
    assert (
        page.inner_text(".cell h3")
        == f"{count} images of {confused.name(truth)}, predicted as {confused.name(predicted)}"
    )
    captions = [text.split(".")[0] for text in page.locator(".pair").first.locator("figcaption").all_inner_texts()]
    assert captions == ["image", f"predicted: {confused.name(predicted)}", f"true class: {confused.name(truth)}"]
    assert f"dataset.cell={truth}-{predicted}" in page.url
    screenshot(page, "dataset-confusion")
    page.reload()
    page.wait_for_selector(f".cell[data-cell='{truth}-{predicted}'] .pairs[data-drawn]")


def test_errors_can_be_sorted_and_opened(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#dataset?dataset.part=errors")
    page.wait_for_selector(".errors[data-drawn$='confidence down 0']")
    known = site[1].analysis_runs.find("r0").mistakes.errors()
    names = page.locator(".errors .rows .thumb .name").all_inner_texts()
    assert names == [row["image"] for row in known][:20]
    page.locator("[data-sort=name]").click()
    page.wait_for_selector(".errors[data-drawn$='name up 0']")
    names = page.locator(".errors .rows .thumb .name").all_inner_texts()
    assert names == sorted((row["image"] for row in known), key=lambda name: int(name.split()[1]))[:20]
    assert page.locator("th", has_text="image").first.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Maps").first.click()
    page.wait_for_selector(".errors .pairs[data-drawn='1']")
    page.wait_for_selector(".contrasts")
    screenshot(page, "dataset-errors")
    with page.expect_download() as download:
        page.click("text=All rows as CSV")
    assert len(Path(download.value.path()).read_text().splitlines()) == SCENES + 1
    page.get_by_role("button", name=re.compile("^Explain")).first.click()
    page.wait_for_selector(".explain-tab[data-drawn]")


def test_evaluation_can_be_sorted_by_metric(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#dataset?dataset.part=evaluation")
    page.wait_for_selector(".evaluation[data-drawn='r2 energy']")
    found = site[1].analysis_runs.find("r2").evaluation_view.evaluation
    order = sorted(found.methods, key=lambda method: -found.summary("energy", method).value)
    rows = page.locator(".evaluation tbody th").all_inner_texts()
    assert [row.split("\n")[0] for row in rows] == order
    page.locator("[data-sort=max_box_acc]").click()
    page.wait_for_selector(".evaluation .curves")
    assert page.locator(".curves .line").count() == 2
    assert page.locator(".intervals .dot").count() == 4
    assert page.locator(".intervals .control .dot").count() == 2
    assert "dataset.metric=max_box_acc" in page.url
    screenshot(page, "dataset-evaluation")


def test_analysis_can_be_stopped_and_resumed(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    page = tab("#dataset?dataset.part=scatter&model=toybox")
    page.wait_for_selector(".scatter[data-drawn]")
    page.click(".looking summary")
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_selector(".task progress[value]")
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(".task:empty", state="attached")
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_selector(".scatter[data-drawn^='m-']")
    assert "dataset.run=m-" in page.url
    asked = json.load(urllib.request.urlopen(f"{site[0]}/api/dataset/runs"))["runs"]
    assert [run["model"] for run in asked if run["computed"]] == ["toybox"]
    page.get_by_role("button", name="Most confident errors").click()
    page.wait_for_selector(".errors[data-drawn^='m-']")


@pytest.mark.parametrize("part", ["scatter", "confusion", "errors", "evaluation"])
def test_on_a_phone_in_the_dark(tab: Callable[..., Any], screenshot: Callable[..., None], part: str) -> None:
    page = tab(f"#dataset?dataset.part={part}", viewport=PHONE, color_scheme="dark", has_touch=True)
    page.wait_for_selector(f".{part}[data-drawn]")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    screenshot(page, f"dataset-{part}-phone")


def test_selected_cell_filters_the_other_views(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    """A cell of the confusion matrix is also what the embedding and the errors display."""
    page = tab("#dataset?dataset.part=confusion")
    page.wait_for_selector(".confusion[data-drawn=r0]")
    confused = site[1].analysis_runs.find("r0").confusion_view
    truth, predicted, count, _ = confused.pairs(1)[0]
    page.locator(f"[data-cell='{truth}-{predicted}']").click()
    page.wait_for_selector(".cell[data-cell]")
    page.get_by_role("button", name="Most confident errors").click()
    page.wait_for_selector(f".errors[data-drawn^='r0 {count} ']")
    rows = page.locator(".errors .rows tbody tr")
    assert rows.count() == min(count, 20)
    said = {(row.locator("td").nth(0).inner_text(), row.locator("td").nth(1).inner_text()) for row in rows.all()}
    assert said == {(confused.name(truth), confused.name(predicted))}
    page.get_by_role("button", name="Embedding").click()
    page.wait_for_selector(".scatter[data-drawn]")
    plane = page.locator(".plane canvas")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        plane.press(key)
        assert page.inner_text(".point h3").startswith(confused.name(truth))
        assert f"Predicted as {confused.name(predicted)}" in page.inner_text(".point .words")
    page.get_by_label("Clear the selection").click()
    page.wait_for_url(lambda url: "dataset.cell" not in url)
    assert page.locator(".chip").count() == 0


def test_points_are_thumbnails_in_one_request(tab: Callable[..., Any], screenshot: Callable[..., None]) -> None:
    page = tab("#dataset?dataset.part=scatter")
    page.wait_for_selector(f".plane canvas[data-thumbnails='{SCENES}']")
    assert sum("/api/dataset/thumbnails" in path for path in page.requests_seen) == 1
    assert not any("/api/images/" in path for path in page.requests_seen)
    screenshot(page, "dataset-thumbnails")
    read = "(c) => c.toDataURL()"
    plane = page.locator(".plane canvas")
    before = plane.evaluate(read)
    page.get_by_label("Thumbnails").uncheck()
    page.wait_for_selector(".plane canvas[data-thumbnails='0']")
    assert plane.evaluate(read) != before
    page.wait_for_url("**dataset.thumbnails=0*")
    page.get_by_label("Thumbnails").check()
    page.wait_for_selector(f".plane canvas[data-thumbnails='{SCENES}']")
    page.wait_for_function("before => document.querySelector('.plane canvas').toDataURL() === before", arg=before)


def test_audits_are_linked(serve: Callable[[Page], str], app_page: Callable[..., Any], tmp_path: Path) -> None:
    data = open_dataset("toybox", count=6)
    folder = audit("toybox", data, tmp_path / "scenes").path
    address = serve(Page([load("toybox")], data, (), None, (folder, tmp_path / "missing")))
    page = app_page(address, {})
    page.goto(f"{address}/#dataset")
    page.wait_for_selector(".audits a")
    assert page.inner_text(".audits li:nth-child(1)").split("\n")[0] == "scenes – audit of toybox, 6 images of toybox"
    assert page.inner_text(".audits li:nth-child(2)").startswith("missing: ")
    page.click(".audits a")
    page.wait_for_selector("h1:has-text('Audit of toybox on toybox')")
