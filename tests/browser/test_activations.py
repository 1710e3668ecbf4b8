"""The tab Activations in a browser."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

import camlucida as cl
from camlucida.app.app_state import Page
from camlucida.app.routes import top_images
from camlucida.maps import max_scale, to_image_grid
from camlucida.render.colours import apply_colormap

from .conftest import PATIENCE, PHONE

OVER = ".activations dialog[open][data-drawn]"


def shown(page: Any) -> list[int]:
    """Return the displayed channels in order."""
    return [int(n) for n in page.locator(".channel").evaluate_all("tiles => tiles.map(t => t.dataset.channel)")]


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def asked(page: Any) -> int:
    return sum(path.startswith("/api/channels") for path in page.requests_seen)


def true_of(served: Page, model: str, sample: int, **how: Any) -> Any:
    return cl.activations(served.model(model).model, served.images.sample(sample).image, **how)


def test_channels_are_sorted_by_contribution(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#activations?image=s3&target=1")
    page.wait_for_selector(".activations-tab[data-drawn$=' 24']")
    true = true_of(site[1], "toybox", 3, target=1)
    assert shown(page) == list(true.order[:24])
    screenshot(page, "activations")
    share = true.contributions.clamp_min(0)
    against = true.contributions.clamp_max(0)
    summary = page.locator(".summary").inner_text()
    held = 100 * float(share[list(true.order[:24])].sum() / share.sum())
    assert float(re.findall(r"provide ([\d.]+) %", summary)[0]) == pytest.approx(held, abs=0.6)
    assert f"the {true.n_channels_for()} largest contribute half of it" in summary
    assert "128 channels of layer4, 12 × 12, for dog" in summary
    for count in (48, 72, 96, 120, 128):
        page.get_by_role("button", name=re.compile("^Show .* more of 128 channels")).click()
        expect(page.locator(".channel")).to_have_count(count)
    assert page.locator(".activations .more button").count() == 0
    assert shown(page) == list(true.order)
    for at in (0, 23, 127):  # contributions in % of the evidence
        tile, value = page.locator(".channel").nth(at), float(true.contributions[true.order[at]])
        expected = 100 * value / float(share.sum() if value > 0 else -against.sum())
        text = tile.locator(".value").text_content()
        assert number(text.replace("< ", "").removesuffix(" %")) == pytest.approx(expected, abs=0.6)
        assert tile.locator(".fill.against").count() == int(value < 0)
    page.locator(".channel").last.scroll_into_view_if_needed()
    expect(page.locator(".channel canvas").last).not_to_have_attribute("width", "1")
    expect(page.locator(".channel canvas").first).to_have_attribute("width", "1")  # far away: released
    expect(page.locator(".summary")).to_contain_text("All 128 channels provide 100 %")


def test_tile_equals_library(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    """Map only, own scale: the colours equal those of the library's map within one step of the colormap."""
    page = tab("#activations?image=s3&layer=layer2&activations.show=map&activations.order=channel&colormap=viridis")
    page.wait_for_selector(".activations-tab[data-drawn]")
    true = true_of(site[1], "toybox", 3, layer="layer2")
    read = """canvas => { const { width, height } = canvas;
        return [width, height, Array.from(canvas.getContext('2d').getImageData(0, 0, width, height).data)] }"""
    for channel in (0, 5):
        width, height, values = page.locator(f'.channel[data-channel="{channel}"] canvas').evaluate(read)
        drawn = np.array(values).reshape(height, width, 4)[..., :3]
        size = true.geometry.original
        resized = max_scale(to_image_grid(true.maps[channel], true.geometry))
        assert resized.shape == (size[1], size[0])
        saliency = torch.nn.functional.interpolate(resized[None, None], size=(height, width), mode="bilinear")[0, 0]
        assert np.abs(drawn - apply_colormap(saliency.numpy(), "viridis")).mean() < 3


def test_orders_layers_and_classes(tab: Callable[..., Any], site: tuple[str, Page]) -> None:
    page = tab("#activations?image=s3")
    page.wait_for_selector(".activations-tab[data-drawn]")
    page.get_by_label("Order by").select_option("gradient")
    page.wait_for_selector('.activations-tab[data-drawn*="gradient"]')
    true = true_of(site[1], "toybox", 3, by="gradient")
    assert shown(page) == list(true.order[:24])
    assert "weight +" in page.locator(".channel .second").first.inner_text()
    page.get_by_label("Layer", exact=True).select_option("layer1")
    page.wait_for_selector('.activations-tab[data-drawn*="layer1"]')
    assert page.locator(".channel").count() == 24
    page.get_by_label("From edges to objects").press("ArrowRight")
    page.wait_for_selector('.activations-tab[data-drawn*="layer2"]')
    page.locator(".activations .guess").nth(2).click()
    name = page.locator(".activations .guess").nth(2).locator(".name").inner_text()
    page.wait_for_selector(f'.activations-tab[data-drawn*="layer2 {name}"]')
    assert page.locator('.activations .guess[aria-pressed="true"] .name').inner_text() == name
    assert "activations.order=gradient" in page.url
    assert "layer=layer2" in page.url
    before = asked(page)
    page.get_by_role("button", name="Map only").click()
    page.get_by_role("button", name="Shared").click()
    expect(page.locator(".summary")).to_contain_text("One scale for all")
    assert asked(page) == before  # painted in the browser
    page.get_by_role("button", name="Explain at this layer").click()
    page.wait_for_selector('.explain-tab[data-drawn*="layer2"]')


def test_channel_by_keyboard_and_by_link(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#activations?image=s3&layer=layer3")
    page.wait_for_selector(".activations-tab[data-drawn]")
    true = true_of(site[1], "toybox", 3, layer="layer3")
    page.locator(".channel").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(OVER)
    third = true.order[2]
    assert page.locator("dialog h2").inner_text().startswith(f"Channel {third} of layer3")
    share = float(true.contributions[third] / true.contributions.clamp_min(0).sum())
    words = page.locator("dialog .words").inner_text()
    assert f"Positive evidence for {true.target}" in words
    assert "is the third largest of 72" in words
    assert float(re.findall(r"([\d.]+)\s% of the positive evidence", words)[0]) == pytest.approx(100 * share, abs=0.6)
    box = page.locator("dialog .overlay canvas").bounding_box()
    landed = to_image_grid(true.maps[third], true.geometry)
    (height, width), (y, x) = landed.shape, (n // 2 for n in landed.shape)
    page.mouse.move(box["x"] + box["width"] * (x + 0.5) / width, box["y"] + box["height"] * (y + 0.5) / height)
    reading = page.locator("dialog .overlay .reading.on").inner_text()
    assert number(reading.split(" ")[0]) == pytest.approx(float(landed[y, x]), rel=0.01)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f'dialog[data-drawn$="layer3 {true.order[3]}"]')
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert page.evaluate("document.activeElement.dataset.channel") == str(true.order[3])
    page.wait_for_url(lambda url: "activations.channel" not in url)

    last = true.order[-1]  # not displayed yet
    page = tab(f"#activations?image=s3&layer=layer3&activations.channel={last}")
    page.wait_for_selector(f'dialog[open][data-drawn$="layer3 {last}"]')
    assert f"Negative evidence for {true.target}" in page.locator("dialog .words").inner_text()
    assert "is the lowest of 72" in page.locator("dialog .words").inner_text()
    screenshot(page, "activations-channel")


def test_top_images_equal_library(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#activations?image=s3&layer=layer3&activations.channel=7")
    page.wait_for_selector(OVER)
    page.get_by_role("button", name="Search").click()
    page.wait_for_selector('.top[data-drawn="layer3 7"]')
    served = site[1]
    true = cl.top_images(
        served.model("toybox").model, [served.data[i].image for i in range(60)], channel=7, layer="layer3", n=24
    )
    tiles = page.locator(".excited")
    assert tiles.count() == 24
    strengths = [float(text) for text in tiles.locator(".number").all_inner_texts()]
    assert strengths == pytest.approx([item.strength for item in true.items], rel=6e-3)
    assert "The 24 images with the highest activation among all 60 images" in page.locator(".result").inner_text()
    screenshot(page, "activations-top")
    page.get_by_role("button", name="Previous channel").click()
    page.wait_for_selector('.top[data-drawn]:not([data-drawn="layer3 7"])')
    chosen = tiles.nth(2).get_attribute("data-id")
    tiles.nth(2).click()
    page.wait_for_selector(f'dialog[data-drawn^="{chosen} "]')
    page.wait_for_url(f"**image={chosen}*")


def test_search_can_be_stopped(tab: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    page = tab("#activations?image=s3&layer=layer2&activations.channel=1")
    page.wait_for_selector(OVER)
    plain, seen, ended = top_images.channel_top_images, [], threading.Event()

    def slow(model: Any, images: Any, **how: Any) -> Any:
        def slowly() -> Any:
            for image in images:
                seen.append(image)
                time.sleep(0.1 if len(seen) < 4 else 1)  # the page has half a minute to be fast enough
                yield image

        try:
            return plain(model, slowly(), **how)
        finally:
            ended.set()

    monkeypatch.setattr(top_images, "channel_top_images", slow)
    page.get_by_role("button", name="Search").click()
    page.wait_for_selector("dialog progress[value]:not([value='0'])")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Search").wait_for()
    page.wait_for_url(lambda url: "activations.top" not in url)
    assert page.locator("dialog progress").count() == 0
    assert ended.wait(PATIENCE / 1000)
    assert len(seen) < 40  # the server has stopped as well


def test_invalid_layer_and_channel_are_reported(tab: Callable[..., Any]) -> None:
    page = tab("#activations?image=s3&layer=layer9")
    expect(page.locator(".activations .more")).to_contain_text("No layer 'layer9'")
    page.get_by_label("Layer", exact=True).select_option("layer1")
    page.wait_for_selector('.activations-tab[data-drawn*="layer1"]')
    page = tab("#activations?image=s3&layer=layer1&activations.channel=999")
    expect(page.locator("#said")).to_contain_text("layer1 has no channel 999: the channels are 0 to 23")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(tab: Callable[..., Any], screenshot: Callable[..., None], scheme: str) -> None:
    page = tab("#activations?image=s3&model=toybox:vit", viewport=PHONE, color_scheme=scheme)
    page.wait_for_selector(".activations-tab[data-drawn]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot(page, f"activations-phone-{scheme}")
    page.locator(".channel").first.click()
    page.wait_for_selector(OVER)
    assert page.locator("dialog").evaluate("d => d.scrollWidth <= d.clientWidth")
    screenshot(page, f"activations-phone-{scheme}-channel")
