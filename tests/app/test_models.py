"""GET /api/layers and /api/methods: the layers of a model, and which methods run on it."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from camlucida import attribute
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.method_costs import n_forwards
from camlucida.attribution.layer_summary import layers as summarise
from camlucida.attribution.load_input import load_input
from camlucida.data.open import open_dataset
from camlucida.errors import CamlucidaError
from camlucida.methods import methods
from camlucida.models.load import load


def test_layers_equal_library(client: TestClient, page: Page) -> None:
    rows = {row.name: row for row in summarise(page.models[0])}
    found = client.get("/api/layers").json()
    assert found["model"] == "toybox"
    assert {"layer3", "layer4"} <= {layer["name"] for layer in found["layers"]}
    for layer in found["layers"]:
        row = rows[layer["name"]]
        assert (layer["type"], tuple(layer["grid"])) == (row.type, row.grid)
        assert layer["channels"] * layer["grid"][0] * layer["grid"][1] == pytest.approx(
            row.output_shape[0] * row.output_shape[1] * row.output_shape[2]
        )
        assert (layer["geometry"], layer["is_recommended"]) == (row.geometry, row.is_recommended)
    assert [name for name in rows if rows[name].is_recommended] == [
        layer["name"] for layer in found["layers"] if layer["is_recommended"]
    ]


def test_layers_can_be_explained(client: TestClient) -> None:
    for layer in client.get("/api/layers?model=toybox:vgg").json()["layers"][::5]:
        answer = client.post(
            "/api/explain", json={"image": "s1", "model": "toybox:vgg", "layers": [layer["name"]]}
        ).json()
        assert (answer["maps"][0]["map"]["height"], answer["maps"][0]["map"]["width"]) == tuple(layer["grid"])


@pytest.fixture(scope="module")
def of_models() -> dict[str, dict[str, dict[str, object]]]:
    """Return the entries of the methods by model and method."""
    models = [load("toybox"), load("toybox:vit")]
    client = TestClient(create_app(Page(models, open_dataset("toybox", count=4))), base_url="http://localhost")
    with client:
        return {
            model.name: {m["name"]: m for m in client.get(f"/api/methods?model={model.name}").json()["methods"]}
            for model in models
        }


@pytest.mark.parametrize("model", ["toybox", "toybox:vit"])
def test_methods_run_exactly_where_it_is_said(of_models: dict[str, dict[str, dict[str, object]]], model: str) -> None:
    """Every quick method that is said to run does, and none of the others."""
    loaded = load(model)
    image = open_dataset("toybox", count=4)[0].image
    inputs = load_input(loaded.preprocessing, image).inputs[None]
    for name in ("cam", "grad_cam", "attention_rollout", "attention_relevance", "guided_backprop", "deconvnet"):
        entry = of_models[model][name]
        try:
            attribute(loaded, inputs, method=name)
        except CamlucidaError:
            assert entry["reason"], name
            assert entry["seconds"] is None
        else:
            assert entry["reason"] == "", name
            assert entry["seconds"] > 0  # type: ignore[operator]


def test_transformer_methods_are_not_for_cnns(of_models: dict[str, dict[str, dict[str, object]]]) -> None:
    assert "attention" in str(of_models["toybox"]["attention_rollout"]["reason"])
    assert of_models["toybox:vit"]["attention_rollout"]["reason"] == ""


def test_cost_of_methods_in_forward_passes() -> None:
    known = methods()
    cost = {name: n_forwards(known[name], side=96, channels=64, positions=144) for name in known}
    assert cost["eigen_cam"] == 1
    assert cost["grad_cam"] == 4
    assert cost["rise"] == 1 + 1000
    assert cost["score_cam"] == 1 + 64
    assert cost["ss_cam"] == 1 + 35 * 64
    assert cost["smooth_grad"] == 1 + 3 * 25
    assert cost["recipro_cam"] == 1 + 144
    assert cost["occlusion"] == 1 + 100


def test_unknown_model(client: TestClient) -> None:
    for path in ("layers", "methods"):
        answer = client.get(f"/api/{path}?model=nothing")
        assert answer.status_code == 422
        assert "has no model" in answer.json()["detail"]
