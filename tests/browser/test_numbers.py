"""Pixels that the browser paints, compared with the library."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from camlucida import explain
from camlucida.app.app_state import Page
from camlucida.attribution.explanation import Explanation
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from camlucida.models.load import load
from camlucida.render.colours import NAN_COLOUR, apply_colormap, strength
from camlucida.render.overlay import overlay

from .conftest import PATIENCE

LEVELS = 3
"""Grey levels that half floats, and rounding on a canvas, may cost."""

WIDE, TALL, SMALL = "s0", "s1", "s2"

FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
PIXELS = "(kind) => document.querySelector(`.explain-tab .view.${kind} canvas`).toDataURL()"


@pytest.fixture(scope="module")
def numbers(serve: Callable[[Page], str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    """Serve a network that stretches, crops or letterboxes; with a wide, a tall and a small image.

    The longest side of the first two is the canvas's: no pixel is resized between them.
    """
    whole = load("toybox")
    how = whole.preprocessing
    models = [
        whole,
        replace(whole, preprocessing=replace(how, resize=128, fit="crop"), spec="cropped"),
        replace(whole, preprocessing=replace(how, fit="letterbox"), spec="letterboxed"),
    ]
    wide = toybox.scene(seed=4, kinds=["cat", "dog"], objects=2, size=512).picture()
    small = toybox.scene(seed=11, kinds=["bird"], size=96).picture()
    pictures = [wide.crop((0, 90, 512, 403)), wide.crop((120, 0, 421, 512)), small]
    items = [Item(picture, f"picture {i}") for i, picture in enumerate(pictures)]
    page = Page(models, ListDataset("numbers", items), (), tmp_path_factory.mktemp("numbers"))
    return serve(page), page


@pytest.fixture(scope="module")
def opened(numbers: tuple[str, Page], chromium: Any) -> Any:
    """Return a function that opens the tab Explain at a view, given by keywords."""
    context = chromium.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    counted = itertools.count()

    def open_(**view: Any) -> Any:
        page.goto(f"{numbers[0]}/?{next(counted)}#explain?{urlencode(view)}")
        page.wait_for_selector(".explain-tab[data-drawn]")
        page.evaluate(FRAMES)
        return page

    yield open_
    context.close()


def pixels(page: Any, kind: str) -> NDArray[np.int16]:
    content = base64.b64decode(page.evaluate(PIXELS, kind).partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.int16)


def library(page: Page, picture: str, model: str = "toybox", **how: Any) -> Explanation:
    made = explain(page.model(model).model, page.images.find(picture).image, **how)
    assert isinstance(made, Explanation)
    return made


def photo(page: Any) -> Image.Image:
    """Return the image as the browser has it; the server sends large ones as JPEG."""
    return Image.fromarray(pixels(page, "photo").astype(np.uint8))


def at_centres(painted: NDArray[np.int16], explained: Explanation) -> NDArray[np.int16]:
    """Return the canvas at the centres of the image's pixels; its size is an odd multiple of theirs."""
    factor = painted.shape[1] // explained.image.width
    assert factor % 2 == 1
    return painted[factor // 2 :: factor, factor // 2 :: factor]


def assert_alike(found: NDArray[Any], truth: NDArray[Any], most: int = LEVELS, but: float = 0.0) -> None:
    """But for a share of the pixels: those where a threshold cuts through the last bit of a half float."""
    assert found.shape == truth.shape
    off = np.abs(found.astype(int) - truth.astype(int)).max(-1) > most
    assert off.mean() <= but, f"{off.mean():.2%} of the pixels are off by more than {most} levels"


CASES = [
    (WIDE, "toybox", "grad_cam", "", ""),
    (WIDE, "cropped", "grad_cam", "", ""),
    (TALL, "cropped", "grad_cam", "layer2", "1"),
    (WIDE, "letterboxed", "grad_cam", "", ""),
    (TALL, "letterboxed", "layer_cam", "layer1", ""),
    (SMALL, "toybox", "grad_cam", "", ""),
    (WIDE, "cropped", "gradient", "", ""),
    (WIDE, "toybox", "input_x_gradient", "", ""),
    (TALL, "toybox", "hires_cam", "layer3", "not 0"),
]


@pytest.mark.parametrize(("picture", "model", "method", "layer", "target"), CASES)
def test_map_and_overlay_equal_library(
    opened: Any, numbers: tuple[str, Page], picture: str, model: str, method: str, layer: str, target: str
) -> None:
    view = {"image": picture, "model": model, "method": method, "layer": layer, "target": target}
    page = opened(**{key: value for key, value in view.items() if value})
    truth = library(numbers[1], picture, model, method=method, layer=layer or None, target=target or None)
    palette = "signed" if truth.shows_signs else "ember"
    heat = apply_colormap(truth.heatmap, palette)
    # A map of pixels has edges of one pixel: there half a float more or less is a colour more or less.
    assert_alike(at_centres(pixels(page, "heat"), truth), heat, but=0.001 if method in ("gradient",) else 0)
    made = at_centres(pixels(page, "overlay"), truth)
    shown = Image.fromarray(at_centres(pixels(page, "photo"), truth).astype(np.uint8))
    assert_alike(made, np.asarray(overlay(shown, truth.heatmap, colormap=palette)), but=0.001)


def test_the_cases_differ(numbers: tuple[str, Page]) -> None:
    """The cases above show what they are there for: parts outside the network input, both signs, a percentile."""
    _, page = numbers
    crop, box = library(page, WIDE, "cropped"), library(page, TALL, "letterboxed")
    assert 0.2 < np.isnan(crop.landed).mean() < 0.8
    assert not np.isnan(box.landed).any()
    fine = library(page, WIDE, method="input_x_gradient")
    assert fine.shows_signs
    assert (np.abs(fine.landed) > fine.peak).mean() == pytest.approx(0.006, abs=0.004)


@pytest.mark.parametrize("blend", ["saliency", "uniform"])
@pytest.mark.parametrize("opacity", [0.2, 0.8])
def test_opacity_blend_and_palette(opened: Any, numbers: tuple[str, Page], opacity: float, blend: str) -> None:
    page = opened(image=WIDE, model="cropped", opacity=opacity, blend=blend, colormap="viridis")
    truth = library(numbers[1], WIDE, "cropped")
    made = truth.heatmap
    assert_alike(pixels(page, "heat"), apply_colormap(made, "viridis"))
    expected = overlay(photo(page), made, opacity=opacity, colormap="viridis", blend=blend)  # type: ignore[arg-type]
    assert_alike(pixels(page, "overlay"), np.asarray(expected))


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam"])
def test_contour_equals_library(opened: Any, numbers: tuple[str, Page], method: str) -> None:
    target = "not 1"
    page = opened(image=WIDE, method=method, target=target, contour=0.4, colormap="signed")
    truth = library(numbers[1], WIDE, method=method, target=target)
    heat, palette = truth._styled_map("signed")
    expected = overlay(photo(page), heat, colormap=palette, contour=0.4)
    assert_alike(pixels(page, "overlay"), np.asarray(expected), but=0.002)


def test_image_is_unmodified_below_the_threshold(opened: Any, numbers: tuple[str, Page]) -> None:
    page = opened(image=WIDE, threshold=0.5)
    truth = library(numbers[1], WIDE)
    heat = truth.heatmap
    hidden = strength(heat, "ember") < 0.5
    assert 0.2 < hidden.mean() < 0.99
    bare = np.where(hidden, 0, heat)
    assert_alike(pixels(page, "heat"), apply_colormap(bare), but=0.005)
    expected = np.where(hidden[..., None], pixels(page, "photo"), np.asarray(overlay(photo(page), heat)))
    assert_alike(pixels(page, "overlay"), expected, but=0.005)


def test_outside_of_the_network_input_is_grey(opened: Any, numbers: tuple[str, Page]) -> None:
    page = opened(image=WIDE, model="cropped")
    blind = np.isnan(library(numbers[1], WIDE, "cropped").landed)
    heat = pixels(page, "heat")
    assert (heat[blind] == np.array(NAN_COLOUR)).all()
    assert not (heat[~blind] == np.array(NAN_COLOUR)).all(-1).any()
    assert page.locator(".explain-tab .scale").inner_text().split("\n")[-1] == "outside the network input"


@pytest.mark.parametrize("model", ["toybox", "cropped", "letterboxed"])
def test_value_under_the_pointer(opened: Any, numbers: tuple[str, Page], model: str) -> None:
    """Where the pointer is, the reading is `Explanation.landed` of that pixel."""
    page = opened(image=WIDE, model=model)
    truth = library(numbers[1], WIDE, model)
    colours = np.asarray(photo(page))
    box = page.locator(".explain-tab .view.overlay canvas").bounding_box()
    height, width = truth.landed.shape
    for x, y in [(3, 5), (256, 156), (300, 90), (130, 200), (508, 309), (256, 2)]:
        page.mouse.move(box["x"] + (x + 0.4) / width * box["width"], box["y"] + (y + 0.4) / height * box["height"])
        for kind in ("photo", "heat", "overlay"):
            said = page.locator(f".explain-tab .view.{kind} .reading").inner_text()
            value, _, colour = said.partition(" · rgb ")
            landed = float(truth.landed[y, x])
            if np.isnan(landed):
                assert value == "outside the network input"
            else:
                assert float(value.replace("−", "-")) == pytest.approx(landed, rel=6e-3, abs=2e-3 * truth.peak), (x, y)
            np.testing.assert_allclose([int(c) for c in colour.split()], colours[y, x], atol=4)


def test_scale_shows_the_peak(opened: Any, numbers: tuple[str, Page]) -> None:
    for method in ("grad_cam", "input_x_gradient"):
        page = opened(image=WIDE, method=method)
        low, *_, high = page.locator(".explain-tab .scale .ends").inner_text().split()
        truth = library(numbers[1], WIDE, method=method)
        assert float(high) == pytest.approx(truth.peak, rel=6e-3)
        assert low == (f"−{high}" if truth.shows_signs else "0")


def test_every_layer_of_the_slider_equals_library(opened: Any, numbers: tuple[str, Page]) -> None:
    """What was fetched ahead for all layers is what each layer is by itself."""
    page = opened(image=WIDE)
    page.wait_for_selector(".explain-tab[data-stages]")
    slider = page.get_by_label("Layer", exact=True)
    for layer in ("layer3", "layer2", "layer1"):
        slider.press("ArrowLeft")
        page.wait_for_selector(f'.explain-tab[data-drawn*=" {layer} "]')
        page.evaluate(FRAMES)
        truth = library(numbers[1], WIDE, layer=layer)
        assert_alike(pixels(page, "heat"), apply_colormap(truth.heatmap))
