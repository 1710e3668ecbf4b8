"""The app with a model without accessible layers: methods that run are offered, and one of them is the default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import camlucida as cl
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.data.open import open_dataset

N_CALLS: list[int] = []


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Yield a client of an app with the built-in network as a function, on small inputs."""
    known = cl.load("toybox", size=32)

    def scores(images):  # type: ignore[no-untyped-def]
        N_CALLS.append(len(images))
        return known.network(images).detach().numpy()

    model = cl.wrap(scores, preprocess=known.preprocessing, labels=known.labels, name="function")
    page = Page([model], open_dataset("toybox", count=2), (), tmp_path / "study")
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


def test_only_methods_that_run_are_offered(client: TestClient) -> None:
    start = client.get("/api/start").json()
    assert [method["name"] for method in start["methods"]] == ["occlusion", "rise", "lime", "kernel_shap"]
    assert start["models"][0]["layers"] == []


def test_without_a_method_the_default_is_used(client: TestClient) -> None:
    image = "s1"
    (map_,) = client.post("/api/explain", json={"image": image}).raise_for_status().json()["maps"]
    assert map_["method"] == "occlusion" == client.get("/api/start").json()["models"][0]["method"]
    assert map_["layer"] == "input"
    for method in ("grad_cam", "layer_cam"):  # a choice is not replaced
        response = client.post("/api/explain", json={"image": image, "methods": [method]})
        assert response.status_code == 422
        assert f"{method} needs the activations of a layer, and the model is a function" in response.text


def test_answers_of_a_function_are_not_reused(client: TestClient) -> None:
    body = {"image": "s1", "methods": ["occlusion(window=0.5, stride=0.5)"]}
    for _ in range(2):
        N_CALLS.clear()
        client.post("/api/explain", json=body).raise_for_status()
        assert N_CALLS


def test_trust_uses_the_default_method(client: TestClient) -> None:
    response = client.post("/api/trust", json={"image": "s1"}).raise_for_status()
    assert response.json()["level"] in ("supported", "weakly supported", "not supported", "cannot tell")


def test_comparisons_name_what_a_method_needs(client: TestClient) -> None:
    body = {"image": "s1", "methods": ["occlusion(window=0.5, stride=0.5)", "gradient"]}
    cells = client.post("/api/compare", json=body).raise_for_status().json()["cells"]
    assert [bool(cell["map"]) for cell in cells] == [True, False]
    assert "gradient needs the gradient at the input" in cells[1]["error"]
    cells = client.post("/api/compare", json={**body, "methods": ["grad_cam"]}).raise_for_status().json()["cells"]
    assert "the model is a function, whose layers cannot be accessed" in cells[0]["error"]
