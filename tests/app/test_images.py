"""Samples and their filters, uploaded images, and how images are sent."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from camlucida import explain
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.routes import images as images_module
from camlucida.data.datasets import Item, LazyItems, ListDataset, label_of
from camlucida.data.open import open_dataset
from camlucida.models.load import load

EVENTS = {"accept": "text/event-stream"}


def asked(client: TestClient, **wanted: Any) -> dict[str, Any]:
    found = client.get("/api/samples", params=wanted)
    assert found.status_code == 200, found.text
    answer: dict[str, Any] = found.json()
    return answer


def ids(found: dict[str, Any]) -> list[str]:
    return [one["id"] for one in found["items"]]


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Callable[..., TestClient]:
    """Return a function that opens an app with another data set."""

    def open_(data: Any) -> TestClient:
        return TestClient(create_app(Page(page.models[:1], data, (), tmp_path / "s")), base_url="http://localhost")

    return open_


def test_samples_depend_on_seed(client: TestClient) -> None:
    first, again, other = (ids(asked(client, seed=seed, n=10)) for seed in (3, 3, 4))
    assert first == again != other
    assert len(set(first)) == 10
    assert asked(client, seed=3, n=4)["items"] == asked(client, seed=3, n=10)["items"][:4]


def test_number_of_samples_is_limited_by_the_data_set(client: TestClient, page: Page) -> None:
    found = asked(client, n=100)
    assert sorted(ids(found)) == sorted(f"s{i}" for i in range(len(page.data)))
    assert found["complete"]
    assert not asked(client, n=5)["complete"]


def test_class_filter_does_not_run_the_network(client: TestClient, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "predictions", lambda *_: pytest.fail("the network was run"))
    found = asked(client, label="dog", n=100)
    truth = [f"s{i}" for i in range(len(page.data)) if page.data.classes[page.data[i].label or 0] == "dog"]
    assert sorted(ids(found)) == sorted(truth)
    assert {one["label"] for one in found["items"]} == {"dog"}
    assert found["n_evaluated"] == 0


def test_unknown_class_suggests_the_nearest(client: TestClient) -> None:
    found = client.get("/api/samples", params={"label": "caat"})
    assert found.status_code == 422
    assert found.json()["detail"] == "toybox has no class 'caat'. Did you mean 'cat'?"


@pytest.mark.parametrize("prediction", ["correct", "wrong"])
@pytest.mark.parametrize("model", ["toybox", "toybox:vgg"])
def test_prediction_filter_equals_library(client: TestClient, page: Page, prediction: str, model: str) -> None:
    """Compare with `explain` of each image."""
    network = page.model(model).model
    truth = {}
    for i in range(len(page.data)):
        best = explain(network, page.data[i].image).predictions[0]
        truth[f"s{i}"] = (best.name, best.probability, best.index == page.data[i].label)
    found = asked(client, prediction=prediction, model=model, n=100)
    assert sorted(ids(found)) == sorted(id_ for id_, (*_, right) in truth.items() if right == (prediction == "correct"))
    assert found["n_evaluated"] == len(page.data)
    assert found["complete"]
    for one in found["items"]:
        name, chance, right = truth[one["id"]]
        assert (one["predicted"], one["correct"]) == (name, right)
        assert one["confidence"] == pytest.approx(chance, abs=1e-5)


def test_confidence_filter(client: TestClient) -> None:
    every = asked(client, low=1e-9, n=100)["items"]
    middle = float(np.median([one["confidence"] for one in every]))
    sure, unsure = asked(client, low=middle, n=100), asked(client, high=middle, n=100)
    assert {one["id"] for one in sure["items"]} == {one["id"] for one in every if one["confidence"] >= middle}
    assert {one["id"] for one in unsure["items"]} == {one["id"] for one in every if one["confidence"] <= middle}


def test_each_sample_is_evaluated_once(client: TestClient, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(client, prediction="correct", n=100)
    monkeypatch.setattr("camlucida.app.model_entry._predict", lambda *_: pytest.fail("evaluated again"))
    assert asked(client, prediction="correct", n=100) == found
    assert len(page.served["toybox"].predictions) == len(page.data)
    assert not page.served["toybox:vgg"].predictions


def test_search_is_limited_and_reports_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "MAX_EVALUATED", 7)
    found = asked(client, low=1.0, n=100)
    assert (found["n_evaluated"], found["items"], found["complete"]) == (7, [], False)


def test_search_stops_when_enough_are_found(client: TestClient) -> None:
    found = asked(client, prediction="correct", n=2)
    assert len(found["items"]) == 2
    assert 2 <= found["n_evaluated"] < 24


def test_search_streams_results_and_progress(client: TestClient) -> None:
    with client.stream("GET", "/api/samples", params={"prediction": "correct", "n": 3}, headers=EVENTS) as stream:
        events = [part.split("\n") for part in "".join(stream.iter_text()).strip().split("\n\n")]
    names = [lines[0].removeprefix("event: ") for lines in events]
    contents = [json.loads(lines[1].removeprefix("data: ")) for lines in events]
    found = [content for name, content in zip(names, contents, strict=True) if name == "found"]
    assert names[-1] == "result"
    assert "progress" in names
    assert found == contents[-1]["items"]
    assert len(found) == 3


@pytest.mark.parametrize(
    "query",
    [
        "n=0", "n=101", "seed=-1", "seed=1e99", "low=-0.1", "high=1.5", "low=nan", "high=inf", "prediction=maybe",
        "model=nothing&prediction=correct", "path=/etc/passwd", "label=" + "x" * 300,
    ],
)  # fmt: skip
def test_invalid_queries_are_refused(client: TestClient, query: str) -> None:
    found = client.get(f"/api/samples?{query}")
    assert found.status_code == 422
    assert found.json()["detail"]


def test_unreadable_image_is_listed_with_its_error(opened: Callable[..., TestClient], tmp_path: Path) -> None:
    whole = open_dataset("toybox", count=3)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    items = [*(replace(whole[i], name=f"scene {i}") for i in range(3)), Item(tmp_path / "broken.jpg", "broken.jpg", 0)]
    client = opened(ListDataset("mixed", items, whole.classes))
    found = {one["name"]: one for one in asked(client)["items"]}
    assert found["broken.jpg"]["error"].startswith("cannot read broken.jpg: the file is truncated")
    assert not found["scene 0"]["error"]
    searched = asked(client, low=1e-9, n=100)
    assert len(searched["items"]) == 3
    assert (searched["n_evaluated"], searched["n_failed"]) == (4, 1)
    shown = client.get("/api/images/s3")
    assert shown.status_code == 422
    assert "cannot read broken.jpg" in shown.json()["detail"]


def test_undecodable_name_is_escaped(opened: Callable[..., TestClient]) -> None:
    """The name has bytes that are not UTF-8, as file systems may contain."""
    data = ListDataset("odd", [Item(Image.new("RGB", (20, 20)), os.fsdecode(b"caf\xe9.png"), 0)], ("cat",))
    client = opened(data)
    assert asked(client)["items"][0]["name"] == r"caf\udce9.png"
    assert client.post("/api/explain", json={"image": "s0"}).json()["name"] == r"caf\udce9.png"


def test_labels_are_read_without_opening_images() -> None:
    scenes = open_dataset("toybox", count=30)
    assert [label_of(scenes, i) for i in range(30)] == [scenes[i].label for i in range(30)]
    known = [Item("a.png", "a", 2), Item("b.png", "b", None)]
    lazily = ListDataset("lazily", LazyItems(known, lambda item: pytest.fail("an image was opened")), ("x", "y", "z"))
    assert [label_of(lazily, i) for i in range(2)] == [2, None]
    assert [label_of(ListDataset("plain", known, ("x", "y", "z")), i) for i in range(2)] == [2, None]


def test_uploaded_image_is_returned_unmodified(client: TestClient) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(noise).save(sink, "PNG")
    info = client.post("/api/images", params={"name": "C:/me/ noise.png"}, content=sink.getvalue()).json()
    assert (info["width"], info["height"], info["name"]) == (60, 40, " noise.png")
    back = Image.open(io.BytesIO(client.get(f"/api/images/{info['id']}").content))
    np.testing.assert_array_equal(np.asarray(back), noise)


def test_etag_of_an_image(client: TestClient) -> None:
    first = client.get("/api/images/s1?longest=64")
    tag = {"if-none-match": first.headers["etag"]}
    assert client.get("/api/images/s1?longest=64", headers=tag).status_code == 304
    for other in ("/api/images/s2?longest=64", "/api/images/s1?longest=65"):
        assert client.get(other, headers=tag).status_code == 200


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_invalid_upload_is_refused(client: TestClient, content: bytes) -> None:
    found = client.post("/api/images", content=content)
    assert found.status_code == 422
    assert found.json()["kind"] == "ImageError"


def test_network_stays_unmodified(client: TestClient, page: Page) -> None:
    network = page.models[0].network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    asked(client, prediction="wrong")
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert load("toybox").weights_hash == page.models[0].weights_hash


def test_image_ids_depend_on_shape_and_every_pixel(page: Page) -> None:
    """One colour has the same bytes in every shape of equal area."""
    shapes = [(40, 60), (60, 40), (24, 100), (2400, 1)]
    given = [page.images.add_upload(Image.new("RGB", size, "teal")) for size in shapes]
    for row, column in ((0, 0), (59, 39), (30, 7)):
        other = Image.new("RGB", shapes[0], "teal")
        other.putpixel((column, row), (0, 128, 129))
        given.append(page.images.add_upload(other))
    assert len({image.id for image in given}) == len({image.digest for image in given}) == 7
    assert [page.images.find(image.id).image.size for image in given[:4]] == shapes
