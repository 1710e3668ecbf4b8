"""Channels and top images of the app, compared with the library and with hooks on the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import camlucida as cl
import camlucida.app.routes.activations as channels
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.failures import Cancelled
from camlucida.app.jobs import Job
from camlucida.app.routes import top_images
from camlucida.app.schemas import EncodedMap, unpacked
from camlucida.data.dataset import Item, ListDataset, sample_indices
from camlucida.data.images import load_image
from camlucida.errors import ImageError
from camlucida.models.load import load


def asked(client: TestClient, **question: Any) -> dict[str, Any]:
    given = client.post("/api/channels", json={"image": "s3", **question})
    assert given.status_code == 200, given.text
    found: dict[str, Any] = given.json()
    return found


def top(client: TestClient, **question: Any) -> dict[str, Any]:
    given = client.post("/api/channels/top", json=question)
    assert given.status_code == 200, given.text
    found: dict[str, Any] = given.json()
    return found


def maps_of(answer: dict[str, Any]) -> Any:
    return unpacked(EncodedMap(**answer["maps" if "maps" in answer else "map"]))


@pytest.mark.parametrize("order", ["contribution", "gradient", "activation", "channel"])
@pytest.mark.parametrize(("model", "layer"), [("toybox", "layer3"), ("toybox:vgg", None)])
def test_page_of_channels_equals_library(
    page: Page, client: TestClient, model: str, layer: str | None, order: str
) -> None:
    found = asked(client, model=model, layer=layer, order=order, target="dog", offset=5, count=20)
    true = cl.activations(page.model(model).model, page.images.sample(3).image, layer=layer, target="dog", by=order)
    shown = list(true.order[5:25])
    assert [c["channel"] for c in found["channels"]] == shown
    assert (found["layer"], found["target"], found["index"], found["total"]) == (true.layer, "dog", 1, len(true))
    assert found["score"] == pytest.approx(true.score)
    np.testing.assert_allclose(maps_of(found), true.maps[shown].numpy(), rtol=2e-3, atol=1e-3)
    for name, values in (
        ("contribution", true.contributions),
        ("gradient", true.gradients),
        ("mean", true.maps.mean((1, 2))),
        ("strength", true.maps.amax((1, 2))),
    ):
        assert [c[name] for c in found["channels"]] == pytest.approx(values[shown].tolist())
    assert (found["min_activation"], found["max_activation"]) == pytest.approx(
        (float(true.maps.min()), float(true.maps.max()))
    )
    values = true.contributions.tolist()
    assert found["positive"] == pytest.approx(sum(v for v in values if v > 0), rel=1e-5)
    assert found["negative"] == pytest.approx(sum(v for v in values if v < 0), rel=1e-5)
    assert found["largest"] == pytest.approx(max(map(abs, values)))
    assert found["half"] == true.n_channels_for(0.5)
    for c in found["channels"]:
        assert c["ranks"]["contribution"] == 1 + sum(v > c["contribution"] for v in values)
        assert c["ranks"]["gradient"] == 1 + int((true.gradients > c["gradient"]).sum())


def test_numbers_equal_network_hooks(page: Page, client: TestClient) -> None:
    model = page.model("toybox").model
    kept: list[Any] = []
    hook = model.network.get_submodule("layer4").register_forward_hook(lambda m, i, o: kept.append(o))
    inputs, _ = model.preprocessing(page.images.sample(3).image)
    score = model.network.eval()(inputs[None])[0, 2]
    hook.remove()
    (gradients,) = torch.autograd.grad(score, kept[0])
    found = asked(client, target=2, order="channel", count=128)
    maps, weights = kept[0][0].detach(), gradients[0].mean((1, 2))
    np.testing.assert_allclose(maps_of(found), maps.numpy(), rtol=2e-3, atol=1e-3)
    assert [c["gradient"] for c in found["channels"]] == pytest.approx(weights.tolist(), rel=1e-4, abs=1e-8)
    expected = (weights * maps.mean((1, 2))).tolist()
    assert [c["contribution"] for c in found["channels"]] == pytest.approx(expected, rel=1e-3, abs=1e-7)
    assert found["score"] == pytest.approx(score.item(), rel=1e-5)


def test_token_maps_have_grid_shape() -> None:
    page = Page([load("toybox:vit")], ListDataset("two", [Item(Image.new("RGB", (40, 30), "red"), "red")]))
    with TestClient(create_app(page), base_url="http://localhost") as client:
        found = asked(client, image="s0", layer="blocks.2", order="channel", count=3)
    true = cl.activations(page.model(None).model, page.images.sample(0).image, layer="blocks.2")
    assert found["min_activation"] < 0
    np.testing.assert_allclose(maps_of(found), true.maps[:3].numpy(), rtol=2e-3, atol=2e-3)
    assert found["geometry"]["original"] == [40, 30]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the functions that ran the network."""
    runs: list[str] = []

    def noting(module: Any, name: str) -> Callable[..., Any]:
        plain = getattr(module, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            runs.append(name)
            return plain(*args, **kwargs)

        return run

    for module, name in ((channels, "activations"), (top_images, "channel_top_images")):
        monkeypatch.setattr(module, name, noting(module, name))
    return runs


def test_pages_join_and_network_runs_once(client: TestClient, counted: list[str]) -> None:
    whole = asked(client, layer="layer2", count=48)
    parts = [asked(client, layer="layer2", offset=offset, count=20) for offset in (0, 20, 40, 60, 1 << 24)]
    assert [c for part in parts for c in part["channels"]] == whole["channels"]
    assert [len(part["channels"]) for part in parts] == [20, 20, 8, 0, 0]
    np.testing.assert_allclose(np.concatenate([maps_of(p) for p in parts]), maps_of(whole), atol=1e-2)
    asked(client, layer="layer2", order="gradient")
    assert counted == ["activations"]
    asked(client, layer="layer2", target="boat")
    asked(client, layer="layer2", image="s4")
    assert counted == ["activations"] * 3


def test_large_maps_are_sent_in_smaller_pages(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_VALUES", 24 * 24 * 7)
    assert len(asked(client, layer="layer1")["channels"]) == 7
    monkeypatch.setattr(channels, "MAX_VALUES", 5)
    assert len(asked(client, layer="layer1", offset=3)["channels"]) == 1


def test_the_default_layer_has_one_name(client: TestClient, page: Page, counted: list[str]) -> None:
    for served in page.served.values():
        default = cl.activations(served.model, page.images.sample(3).image).layer
        assert asked(client, model=served.name)["layer"] == default
        assert asked(client, model=served.name, layer=served.layers[-1].name)["layer"] == default
    assert counted == ["activations"] * 2


# --- top images


def peaks(page: Page, layer: str, indices: list[int]) -> torch.Tensor:
    """Return the maximum activations `(images, channels)`, computed image by image."""
    model = page.model(None).model
    return torch.stack([cl.activations(model, page.data[i].image, layer=layer).maps.amax((1, 2)) for i in indices])


def test_top_images_by_brute_force(client: TestClient, page: Page, counted: list[str]) -> None:
    true = peaks(page, "layer3", list(range(24)))
    for channel in (0, 7, 30, 71):
        found = top(client, layer="layer3", channel=channel)
        expected = sorted(range(24), key=lambda i: (-float(true[i, channel]), i))
        assert [one["id"] for one in found["images"]] == [f"s{i}" for i in expected]
        strengths = true[expected, channel].tolist()
        assert [one["strength"] for one in found["images"]] == pytest.approx(strengths)
        assert (found["n_images"], found["failed"], found["count"], found["total"]) == (24, 0, 24, 72)
        for i, one in zip(expected[:4], found["images"], strict=False):
            item = page.data[i]
            maps = cl.activations(page.model(None).model, item.image, layer="layer3")
            np.testing.assert_allclose(maps_of(one)[0], maps.maps[channel].numpy(), rtol=3e-3, atol=2e-3)
            assert (one["name"], one["label"]) == (item.name, page.data.classes[item.label or 0])
            assert one["predicted"]["name"] == maps.predictions[0].name
            assert tuple(one["geometry"]["original"]) == load_image(item.image).size
    assert counted == ["channel_top_images"]  # one pass over the data set for all four


def test_sampled_images_depend_on_seed(client: TestClient, page: Page, counted: list[str]) -> None:
    drawn = sample_indices(24, 6, 11)
    true = peaks(page, "layer4", drawn)[:, 5].tolist()
    expected = [f"s{i}" for _, i in sorted(zip(true, drawn, strict=True), key=lambda pair: (-pair[0], pair[1]))]
    found = top(client, channel=5, n_images=6, seed=11)
    assert [one["id"] for one in found["images"]] == expected
    assert (found["n_images"], found["count"]) == (6, 24)
    top(client, channel=5, n_images=6, seed=12)
    top(client, channel=6, n_images=6, seed=11, layer="layer4")
    assert counted == ["channel_top_images"] * 2


@pytest.fixture
def broken(page: Page) -> Iterator[tuple[TestClient, Page]]:
    """Yield an app with five readable images and three unreadable ones; one of these raises in the data set itself."""

    class Items(list[Item]):
        def __getitem__(self, index: Any) -> Any:
            if index == 2:
                raise ImageError("nothing there")
            return super().__getitem__(index)

    good = [Item(page.data[i].image, f"scene {i}", 0) for i in range(5)]
    bad = [Item(b"no image", f"bad {i}") for i in range(3)]
    items = Items([bad[0], good[0], bad[1], good[1], good[2], bad[2], good[3], good[4]])
    made = Page(page.models, ListDataset("mixed", items, page.data.classes))
    with TestClient(create_app(made), base_url="http://localhost") as client:
        yield client, made


def test_unreadable_images_are_skipped_and_counted(broken: tuple[TestClient, Page]) -> None:
    client, page = broken
    found = top(client, channel=3)
    assert (found["n_images"], found["failed"], found["count"]) == (5, 3, 8)
    true = peaks(page, "layer4", [1, 3, 4, 6, 7])[:, 3].tolist()
    expected = [f"s{i}" for _, i in sorted(zip(true, [1, 3, 4, 6, 7], strict=True), key=lambda p: (-p[0], p[1]))]
    assert [one["id"] for one in found["images"]] == expected


def test_scan_reports_progress_and_can_be_cancelled(page: Page) -> None:
    reports: list[Any] = []
    question = top_images.TopImagesRequest(channel=0)
    job = Job(lambda event, content: (reports.append(content), content["done"] == 4 and job.cancel()))
    with pytest.raises(Cancelled):
        top_images._top(page, question, job)
    assert reports == [{"done": done, "total": 24} for done in range(5)]
    assert page.caches.scans.used == 0


def test_cancelled_scan_reads_no_further_images(page: Page) -> None:
    seen: list[int] = []

    class Noting(ListDataset):
        def __getitem__(self, index: int) -> Item:
            seen.append(index)
            if len(seen) == 7:
                job.cancel()
            return super().__getitem__(index)

    job = Job()
    made = Page(page.models, Noting("noting", [page.data[i % 24] for i in range(300)], page.data.classes))
    made.warm()
    seen.clear()
    with pytest.raises(Cancelled):
        top_images._top(made, top_images.TopImagesRequest(channel=0, n_images=300), job)
    assert len(seen) == 7


# --- refusals


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ({"layer": "layer9"}, 422, "no layer 'layer9'"),
        ({"layer": "layer?"}, 422, "may be several"),
        ({"target": "unicorn"}, 422, "no class 'unicorn'"),
        ({"target": "top3"}, 422, "for one target"),
        ({"model": "resnet"}, 422, "the app has no model 'resnet'"),
        ({"image": "s999"}, 404, "There is no image s999 (any more)."),
        ({"image": "../etc"}, 422, "image"),
        ({"order": "size"}, 422, "order"),
        ({"offset": -1}, 422, "offset"),
        ({"count": 5000}, 422, "count"),
        ({"what": 1}, 422, "what"),
    ],
)
def test_refusals(client: TestClient, question: dict[str, Any], status: int, words: str) -> None:
    given = client.post("/api/channels", json={"image": "s3", **question})
    assert given.status_code == status
    assert words in given.json()["detail"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"channel": 5000, "n_images": 2}, "layer4 has no channel 5000: it has 128"),
        ({"channel": -1}, "channel"),
        ({"channel": 0, "n_images": 100_000}, "n_images"),
        ({"channel": 0, "layer": "layer9"}, "no layer 'layer9'"),
        ({"channel": 0, "seed": -4}, "seed"),
    ],
)
def test_refusals_of_top(client: TestClient, question: dict[str, Any], words: str) -> None:
    given = client.post("/api/channels/top", json=question)
    assert given.status_code == 422
    assert words in given.json()["detail"]
