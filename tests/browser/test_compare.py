"""The tab Compare in a browser; its numbers equal those of the library."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import camlucida as cl
from camlucida.app.app_state import Page
from camlucida.maps import to_image_grid

from .conftest import PATIENCE, PHONE

NAMES = {"grad_cam": "Grad-CAM", "layer_cam": "LayerCAM", "hires_cam": "HiResCAM"}
DRAWN = ".compare-tab[data-drawn]"


def settled(page: Any, maps: int | None = None) -> None:
    """Wait until all maps, or the given number of them, are painted."""
    page.wait_for_selector(f"{DRAWN}:not([aria-busy])" if maps is None else f'.compare-tab[data-drawn$=" {maps}"]')


def keys(page: Any) -> list[str]:
    return page.eval_on_selector_all(".compare button.cell", "all => all.map(one => one.dataset.key)")  # type: ignore[no-any-return]


def of_map(page: Any, method: str, target: str) -> Any:
    return page.locator(f'.compare button.cell[data-key="toybox|{method}|{target}|default layer"]')


def test_default_selection_is_four_methods_and_two_classes(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#compare?image=s3")
    settled(page)
    heads = page.locator(".compare .grid thead th").all_inner_texts()
    assert [text.split("\n")[0] for text in heads] == ["Grad-CAM", "LayerCAM", "HiResCAM", "Eigen-CAM"]
    assert page.locator(".compare button.cell").count() == 7  # Eigen-CAM is class-free: one map spans both rows
    assert page.locator(".compare .grid td.spans").get_attribute("rowspan") == "2"
    assert sum(path == "/api/compare" for path in page.requests_seen) == 1

    _, served = site
    model, image = served.served["toybox"].model, served.images.sample(3).image
    made = cl.explain(model, image, target=["predicted", "runner-up"], method=["grad_cam", "layer_cam", "hires_cam"])
    eigen = cl.explain(model, image, method="eigen_cam")
    best, second = made.axis("target")
    rows = page.locator(".compare .grid tbody th").all_inner_texts()
    assert [text.split("\n")[0] for text in rows] == [best, second]
    assert f"logit {made[0].score:.3g}" in of_map(page, "grad_cam", "predicted").inner_text()

    every = cl.ExplanationSet((*made, eigen))
    table = every.rank_correlation()
    shown = page.eval_on_selector_all(
        ".compare button.pair", "all => all.map(one => [one.dataset.pair, one.textContent.replace('−', '-')])"
    )
    assert len(shown) == 21
    for which, text in shown:
        row, column = map(int, which.split("-"))
        assert float(text) == pytest.approx(table[row, column], abs=0.0051)
    pairs = sorted((table[i, j], i, j) for i in range(7) for j in range(i))
    names = [*(f"{NAMES[e.method]} · {e.target}" for e in made), "Eigen-CAM"]
    text = page.locator(".compare .matrix .told").all_inner_texts()
    for sentence, (value, i, j) in zip(text, (pairs[-1], pairs[0]), strict=True):
        assert names[i] in sentence
        assert names[j] in sentence
        assert f"{value:.2f}".replace("-", "−") in sentence
    most = float(re.search(r"maximum is ([\d.]+) here", page.locator(".compare .apart figcaption").inner_text())[1])  # type: ignore[index]
    assert most == pytest.approx(every.disagreement().max(), abs=0.006)
    screenshot(page, "compare")


def test_link_restores_the_selection(tab: Callable[..., Any]) -> None:
    where = (
        "#compare?image=s5&compare.methods=grad_cam,smooth(layer_cam, n=2)&compare.layers=layer3,layer4"
        "&compare.targets=predicted,3&compare.across=layer&compare.scale=one&compare.view=side"
        "&compare.a=toybox|grad_cam|3|layer4&compare.b=toybox|grad_cam|predicted|layer3"
    )
    page = tab(where)
    settled(page)
    assert [text.split("\n")[0] for text in page.locator(".compare .grid thead th").all_inner_texts()] == [
        "layer3",
        "layer4",
    ]
    assert page.locator('.compare [data-is="A"]').get_attribute("data-key") == "toybox|grad_cam|3|layer4"
    assert page.locator('.compare [data-is="B"]').get_attribute("data-key") == "toybox|grad_cam|predicted|layer3"
    assert page.locator(".compare .sides canvas").count() == 2
    assert page.get_by_label("Shared scale").is_checked()
    chips = page.locator(".compare .chip span:first-child").all_inner_texts()
    assert "smooth(layer_cam, n=2)" in chips
    address = page.url
    again = tab(address[address.index("#") :])
    settled(again)
    assert keys(again) == keys(page)
    assert again.url.split("#")[1] == page.url.split("#")[1]


def test_two_maps_can_be_chosen_and_swiped(tab: Callable[..., Any], screenshot: Callable[..., None]) -> None:
    page = tab("#compare?image=s3")
    settled(page)
    of_map(page, "hires_cam", "runner-up").click()
    assert page.locator('.compare [data-is="A"]').get_attribute("data-key").startswith("toybox|hires_cam|runner-up")
    first = of_map(page, "grad_cam", "predicted")
    first.focus()
    page.keyboard.press("ArrowRight")  # layer_cam, in the same row
    page.keyboard.press("Enter")
    chosen = page.locator('.compare [data-is="B"]')
    assert chosen.get_attribute("data-key").startswith("toybox|layer_cam|predicted")
    assert chosen.get_attribute("aria-label").startswith("B: LayerCAM")
    chosen.click()  # once more: it becomes A
    assert page.locator('.compare [data-is="A"]').get_attribute("data-key").startswith("toybox|layer_cam|predicted")
    assert page.locator('.compare [data-is="B"]').get_attribute("data-key").startswith("toybox|hires_cam|runner-up")

    divider = page.get_by_role("slider", name="Divider between A and B")
    assert divider.input_value() == "50"
    divider.press("ArrowRight")
    assert divider.input_value() == "51"
    divider.press("End")
    assert divider.get_attribute("aria-valuetext") == "A 100 %, B 0 %"
    box = page.locator(".compare .stage").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=4)
    page.mouse.up()
    assert float(divider.input_value()) == pytest.approx(25, abs=1)
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    assert float(divider.input_value()) == pytest.approx(25, abs=1)  # it was let go
    above = page.locator(".compare .stage .above canvas")
    assert re.match(r"inset\(0px 0px 0px 2[45]", above.evaluate("one => one.style.clipPath"))
    screenshot(page, "compare-swipe")


def test_difference_of_maps_divided_by_their_maximum(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#compare?image=s3&compare.view=difference")
    settled(page)
    _, served = site
    model, image = served.served["toybox"].model, served.images.sample(3).image
    a, b = (cl.explain(model, image, method=method) for method in ("grad_cam", "layer_cam"))
    wanted = np.clip(a.landed, 0, None) / a.landed.max() - np.clip(b.landed, 0, None) / b.landed.max()
    caption = page.locator(".compare .swipe figcaption").inner_text()
    assert float(re.search(r"largest difference is (\d\.\d\d)", caption)[1]) == pytest.approx(
        np.abs(wanted).max(), abs=0.006
    )  # type: ignore[index]
    canvas = page.locator(".compare .swipe canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for x, y in ((30, 40), (60, 50), (48, 70), (20, 20)):
        page.mouse.move(box["x"] + box["width"] * (x + 0.5) / 96, box["y"] + box["height"] * (y + 0.5) / 96)
        text = page.locator(".compare .swipe .reading.on").inner_text()
        assert float(text.split(" · ")[0].replace("−", "-")) == pytest.approx(wanted[y, x], abs=0.02)
        values = page.locator(".compare .swipe .values").inner_text()
        found = re.findall(r"[AB] (-?[\d.]+(?:e[+-]?\d+)?)", values.replace("−", "-"))
        shown = [float(one) for one in found]
        assert shown == pytest.approx([a.landed[y, x], b.landed[y, x]], rel=0.05, abs=0.02 * float(b.peak))
    screenshot(page, "compare-difference")


def test_with_many_maps_one_is_compared_with_all(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    methods, layers = ["grad_cam", "layer_cam", "hires_cam"], ["layer1", "layer2", "layer3", "layer4"]
    page = tab(f"#compare?image=s3&compare.methods={','.join(methods)}&compare.layers={','.join(layers)}")
    settled(page)
    _, served = site
    model, image = served.served["toybox"].model, served.images.sample(3).image
    made = cl.explain(model, image, target=["predicted", "runner-up"], method=methods, layer=layers)
    wanted = dict(
        zip((f"{NAMES[e.method]} · {e.target} · {e.layer}" for e in made), made.rank_correlation()[0], strict=True)
    )
    names = page.locator(".compare .matrix tbody th").all_inner_texts()
    shown = [float(text.replace("−", "-")) for text in page.locator(".compare button.pair").all_inner_texts()]
    assert len(names) == len(shown) == 23
    assert shown == sorted(shown, reverse=True)
    assert shown == pytest.approx([wanted[name] for name in names], abs=0.0051)
    page.locator(".compare button.pair").last.click()
    assert names[-1].split(" · ")[0] in page.locator('.compare [data-is="B"]').get_attribute("aria-label")


def test_flicker_automatically_and_by_hand(tab: Callable[..., Any]) -> None:
    page = tab("#compare?image=s3&compare.view=flicker")
    settled(page)
    for letter in "BAB":
        page.wait_for_selector(f'.compare .stage[data-shows="{letter}"]')
    stage = page.locator(".compare .stage")
    stage.press("Space")
    assert page.locator(".compare .runs").get_attribute("aria-pressed") == "false"
    before = stage.get_attribute("data-shows")
    page.locator(".compare .turn").click()
    assert stage.get_attribute("data-shows") != before
    assert page.evaluate("document.activeElement.closest('.compare') !== null")

    quiet = tab("#compare?image=s3&compare.view=flicker", reduced_motion="reduce")
    settled(quiet)
    assert quiet.locator(".compare .runs").count() == 0
    stage = quiet.locator(".compare .stage")
    assert stage.get_attribute("data-shows") == "A"
    stage.press("Space")
    assert stage.get_attribute("data-shows") == "B"
    stage.press("Space")
    assert stage.get_attribute("data-shows") == "A"


def test_errors_are_shown_in_their_cells(tab: Callable[..., Any], screenshot: Callable[..., None]) -> None:
    page = tab(
        "#compare?image=s3&compare.models=toybox,toybox:vgg,toybox:vit&compare.methods=grad_cam,cam,attention_rollout,gradient"
        "&compare.targets=predicted",
        color_scheme="dark",
    )
    settled(page)
    assert len(keys(page)) == 8  # 3 × Grad-CAM, 3 × gradient, CAM of one, rollout of another
    why = page.locator(".compare td.why").all_inner_texts()
    assert sum("average pooling" in text for text in why) == 2
    assert sum("no attention at all" in text for text in why) == 2
    assert page.locator(".compare .opinions .bars").count() == 3
    screenshot(page, "compare-models")


def test_differing_predictions_are_shown_and_a_class_can_be_added(
    tab: Callable[..., Any], site: tuple[str, Page]
) -> None:
    _, served = site
    names = ["toybox", "toybox:cleverhans"]
    for index in range(60):
        image = served.images.sample(index)
        best = [cl.explain(served.served[name].model, image.image).predictions[0].name for name in names]
        if best[0] != best[1]:
            break
    methods = "grad_cam,layer_cam,hires_cam"
    page = tab(f"#compare?image={image.id}&compare.models={','.join(names)}&compare.methods={methods}")
    settled(page)
    rows = [text.split("\n") for text in page.locator(".compare .grid tbody th").all_inner_texts()]
    assert [(row[0], row[2]) for row in rows[::2]] == list(zip(names, best, strict=True))
    assert [row[3].split(",")[0] for row in rows] == ["predicted", "runner-up"] * 2
    verdict = page.locator(".compare .agreement")
    assert verdict.get_attribute("data-agree") == "no"
    assert f"toybox predicts {best[0]}" in verdict.inner_text()
    assert f"toybox:cleverhans predicts {best[1]}" in verdict.inner_text()
    assert len(keys(page)) == 12
    page.locator(".compare .opinions .each > div").nth(0).locator(".guess").nth(4).click()
    page.wait_for_url(re.compile(r"compare\.targets"))
    settled(page)
    assert len(keys(page)) > 12
    assert re.search(r"compare\.targets=predicted%2Crunner-up%2C\d", page.url)


def test_methods_can_be_added_and_removed(tab: Callable[..., Any]) -> None:
    page = tab("#compare?image=s3&compare.targets=predicted")
    settled(page)
    group = page.get_by_role("group", name="Methods")
    group.get_by_label("Remove Eigen-CAM").click()
    settled(page, 3)
    group.get_by_label("Methods: add").select_option("gradient")
    settled(page, 4)
    field = group.get_by_label("Methods: search")
    field.fill("refine(layer_cam)")
    field.press("Enter")
    settled(page, 5)
    settled(page)
    assert "compare.methods=grad_cam%2Clayer_cam%2Chires_cam%2Cgradient%2Crefine%28layer_cam%29" in page.url
    page.go_back()
    settled(page, 4)


def test_shared_scale(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    """The weaker class is paler than on its own scale, by as much as its map is lower."""
    _, served = site
    model, image = served.served["toybox"].model, served.images.sample(3).image
    made = cl.explain(model, image, target=["predicted", "runner-up"], method="layer_cam")
    tops = [float(e.landed.max()) for e in made]
    weak = int(np.argmin(tops))
    assert tops[weak] < 0.8 * tops[1 - weak]
    key = f"toybox|layer_cam|{['predicted', 'runner-up'][weak]}|default layer"
    page = tab("#compare?image=s3&compare.methods=layer_cam,grad_cam")
    settled(page)

    def colour_strength() -> float:
        """How far the cell is from the photo alone."""
        url = page.locator(f'[data-key="{key}"] canvas').evaluate("one => one.toDataURL()")
        cell = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")
        photo = image.resize(cell.size, Image.Resampling.NEAREST).convert("RGB")
        return float(np.abs(np.asarray(cell, float) - np.asarray(photo, float)).mean())

    own = colour_strength()
    page.get_by_label("Shared scale").check()
    page.wait_for_selector('.compare-tab[data-scale="one"]')
    assert colour_strength() < 0.95 * own
    assert "share a scale" in page.locator(".compare .summary").inner_text()
    page.wait_for_url("**compare.scale=one*")


def test_slow_methods_appear_later_and_can_be_stopped(tab: Callable[..., Any]) -> None:
    page = tab("#compare?image=s6&compare.methods=grad_cam,ss_cam&compare.targets=predicted,runner-up,third")
    page.wait_for_selector(".compare button.cell")  # Grad-CAM is there while the other runs
    assert page.locator(".compare td.why", has_text="…").count() == 3
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_selector(".compare .again")
    assert page.locator(".compare button.cell").count() == 3
    assert "Stopped; the maps computed so far are kept" in page.locator(".compare .summary").inner_text()
    of_map(page, "grad_cam", "third").click()  # what was made can be looked at, and asks for nothing
    assert sum(path == "/api/compare" for path in page.requests_seen) == 1


def test_too_many_maps_are_reported_before_the_request(tab: Callable[..., Any]) -> None:
    targets = ",".join(map(str, range(10)))
    page = tab(
        "#compare?image=s3&compare.methods=grad_cam,layer_cam,hires_cam,xgrad_cam"
        f"&compare.layers=layer1,layer2,layer3,layer4&compare.targets={targets}"
    )
    page.wait_for_selector(".compare-tab[data-refused]")
    assert "160 maps are selected; at most 144" in page.locator(".compare .summary").inner_text()
    assert "/api/compare" not in page.requests_seen
    with page.expect_request("**/api/compare"):
        page.get_by_label("Remove HiResCAM").click()
    page.wait_for_selector(".compare .task button")


def test_grid_can_be_saved_as_an_image(tab: Callable[..., Any]) -> None:
    page = tab("#compare?image=s3&compare.methods=grad_cam,layer_cam,cam,attention_rollout")
    settled(page)
    with page.expect_download() as coming:
        page.get_by_role("button", name="Grid as PNG").click()
    assert coming.value.suggested_filename == "compare-s3.png"
    with open(coming.value.path(), "rb") as file:
        made = Image.open(io.BytesIO(file.read())).convert("RGB")
    assert made.width > 1800
    assert made.height > 1000
    colours = made.getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 5000  # photographs and maps, not only background
    assert made.getpixel((4, 4)) == (255, 255, 255)


def test_grid_as_html(
    tab: Callable[..., Any],
    chromium: Any,
    violations: Callable[..., list[str]],
    tmp_path: Path,
    screenshot: Callable[..., None],
) -> None:
    """The file opens from the disk without a network, and has all maps with what they are."""
    page = tab("#compare?image=s3&compare.methods=grad_cam,layer_cam,cam,attention_rollout")
    settled(page)
    labels = page.locator(".compare button.cell").evaluate_all("all => all.map((one) => one.ariaLabel)")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Grid as HTML").click()
    assert coming.value.suggested_filename == "compare-s3.html"
    file = tmp_path / "grid.html"
    coming.value.save_as(file)
    assert "http:" not in file.read_text(encoding="utf-8")
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, offline=True)
    opened, wrong = context.new_page(), []
    opened.set_default_timeout(PATIENCE)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text))
    opened.goto(file.as_uri())
    images = opened.locator("figure img")
    assert [text.removeprefix("A: ").removeprefix("B: ") for text in labels] == images.evaluate_all(
        "all => all.map((one) => one.alt)"
    )
    assert images.evaluate_all("all => all.every((one) => one.naturalWidth > 200)")
    assert opened.locator("thead").first.locator("th").all_inner_texts()[:2] == ["Grad-CAM", "LayerCAM"]
    assert "it has no attention at all" in opened.locator("td .soft").first.inner_text()  # why there is no map
    n_maps = images.count()
    assert opened.locator(".similarity tbody td").count() == n_maps**2
    opened.locator("#opacity").focus()
    opened.keyboard.press("Home")
    assert images.first.evaluate("one => getComputedStyle(one).opacity") == "0"
    screenshot(opened, "compare-grid-html")
    assert not wrong
    opened.reload()
    assert violations(opened, ("wcag2a", "wcag2aa")) == []
    context.close()


def test_only_the_grid_scrolls_on_a_phone(tab: Callable[..., Any], screenshot: Callable[..., None]) -> None:
    page = tab("#compare?image=s3", viewport=PHONE, has_touch=True, is_mobile=True)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.locator(".compare .gridbox")
    assert box.evaluate("one => one.scrollWidth > one.clientWidth")
    header = page.locator(".compare .grid tbody th").first
    before = header.bounding_box()["x"]
    box.evaluate("one => one.scrollLeft = 200")
    assert header.bounding_box()["x"] == pytest.approx(before, abs=1)
    page.locator(".compare .controls > summary").click()
    assert page.get_by_role("group", name="Methods").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    screenshot(page, "compare-phone")


def test_disagreement_equals_library(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    """Of two models, read off the canvas at a few points."""
    page = tab("#compare?image=s3&compare.models=toybox,toybox:vgg&compare.methods=grad_cam&compare.targets=predicted")
    settled(page)
    _, served = site
    image = served.images.sample(3).image
    made = [cl.explain(served.served[name].model, image) for name in ("toybox", "toybox:vgg")]
    landed = np.stack([to_image_grid(e.map, e.geometry).numpy() for e in made])
    wanted = (np.clip(landed, 0, None) / landed.max(axis=(1, 2), keepdims=True)).std(axis=0)
    canvas = page.locator(".compare .apart canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for x, y in ((30, 40), (60, 50), (48, 70)):
        page.mouse.move(box["x"] + box["width"] * (x + 0.5) / 96, box["y"] + box["height"] * (y + 0.5) / 96)
        text = page.locator(".compare .apart .reading.on").inner_text()
        assert float(text.split(" · ")[0].replace("−", "-")) == pytest.approx(wanted[y, x], abs=0.015)


def test_matrix_is_beside_a_and_b(tab: Callable[..., Any]) -> None:
    page = tab("#compare?image=s3", viewport={"width": 1440, "height": 900})
    settled(page)
    pair = page.locator("section.pair").bounding_box()
    alike = page.locator("section.alike").bounding_box()
    assert abs(pair["y"] - alike["y"]) < 2
    assert pair["x"] + pair["width"] <= alike["x"]
    grid = page.locator(".compare .gridbox").bounding_box()
    last = page.locator(".compare .grid thead th").last.bounding_box()
    assert grid["x"] + grid["width"] - (last["x"] + last["width"]) < 60  # no dead column


def test_weak_map_is_said_to_be_weak(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    """A map gets full colours however weak it is; below a tenth of the strongest of its kind, the caption says so."""
    _, served = site
    model = served.served["toybox"].model
    for index in range(60):
        image = served.images.sample(index)
        made = cl.explain(model, image.image, target="top3", method="grad_cam")
        tops = [max(0.0, float(e.landed.max())) for e in made]
        if 0 < min(tops) < 0.09 * max(tops):
            break
    weak = int(np.argmin(tops))
    page = tab(f"#compare?image={image.id}&compare.methods=grad_cam&compare.targets=predicted,runner-up,third")
    settled(page)
    caption = of_map(page, "grad_cam", ["predicted", "runner-up", "third"][weak]).inner_text()
    said = re.search(r"([\d.]+) % as strong", caption)
    assert said is not None, caption
    assert float(said[1]) / 100 == pytest.approx(min(tops) / max(tops), rel=0.1, abs=0.002)
    page.get_by_label("Shared scale").check()
    page.wait_for_selector('.compare-tab[data-scale="one"]')
    assert "as strong" not in page.locator(".compare .grid").inner_text()


def test_failure_can_be_retried(tab: Callable[..., Any]) -> None:
    page = tab("#compare?image=s3")
    settled(page)
    page.context.route("**/api/compare", lambda route: route.fulfill(status=500, body="{}"))
    page.locator(".compare .tile").nth(5).click()
    page.wait_for_selector(".compare .trouble button >> text=Retry")
    assert page.locator(".compare .cell").count() == 0  # those of the other image are gone
    page.context.unroute("**/api/compare")
    page.get_by_role("button", name="Retry").click()
    settled(page)
