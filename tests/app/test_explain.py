"""POST /api/explain and its downloads, compared with the library."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn

from camlucida import explain
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.routes.explain import queue_of
from camlucida.app.schemas import EncodedMap, unpacked
from camlucida.attribution.explanation import Explanation
from camlucida.errors import ModelError
from camlucida.models.model import Model


def ask(client: TestClient, path: str = "", **question: Any) -> Any:
    return client.post(f"/api/explain{path}", json={"image": "s2", **question})


def library(page: Page, **how: Any) -> Explanation:
    made = explain(page.models[0], page.images.find("s2").image, **how)
    assert isinstance(made, Explanation)
    return made


@pytest.mark.parametrize(
    ("question", "how"),
    [
        ({}, {}),
        ({"layers": ["layer2"], "targets": ["1"]}, {"layer": "layer2", "target": 1}),
        ({"targets": ["2 rather than 5"]}, {"target": "2 rather than 5"}),
        ({"targets": ["not 3"], "score": "probability"}, {"target": "not 3", "score": "probability"}),
        ({"methods": ["integrated_gradients"], "options": {"steps": 8}},
         {"method": "integrated_gradients", "steps": 8}),
        ({"methods": ["refine(layer_cam)"]}, {"method": "refine(layer_cam)"}),
    ],
)  # fmt: skip
def test_map_equals_library(client: TestClient, page: Page, question: dict[str, Any], how: dict[str, Any]) -> None:
    answer, truth = ask(client, **question).json(), library(page, **how)
    made = answer["maps"][0]
    found = unpacked(EncodedMap(**made["map"]))[0]
    np.testing.assert_allclose(found, truth.raw.numpy(), atol=1e-3 * float(truth.raw.abs().max()))
    assert (made["target"], made["layer"], made["index"]) == (truth.target, truth.layer, truth.index)
    assert made["score"] == pytest.approx(truth.score, rel=1e-5)
    assert made["notes"] == pytest.approx(dict(truth.notes), rel=1e-4, abs=1e-6)
    label = page.data[2].label
    assert (answer["label"], answer["label_index"]) == (page.data.classes[label or 0], label)


def test_zero_map_has_a_remark(client: TestClient, page: Page) -> None:
    white = io.BytesIO()
    Image.new("RGB", (96, 96), "white").save(white, "PNG")
    image = base64.b64encode(white.getvalue()).decode()
    for index in range(10):
        how: dict[str, Any] = {"methods": ["grad_cam"], "targets": [index]}
        made = client.post("/api/explain", json={"image_base64": image, **how}).json()["maps"][0]
        truth = explain(page.models[0], Image.new("RGB", (96, 96), "white"), target=index)
        assert made["remark"] == truth.remark
        if made["remark"]:
            assert made["remark"] == "The map is zero everywhere: at this layer there is no evidence for this target."
            return
    pytest.fail("no map is zero everywhere, so nothing was tested")


def test_sample_and_upload_of_equal_pixels(client: TestClient, page: Page) -> None:
    """A sample that is uploaded is a new image, not the sample."""
    sink = io.BytesIO()
    page.images.find("s2").image.save(sink, "PNG")
    given = client.post("/api/images", content=sink.getvalue()).json()["id"]
    one, other = ask(client).json(), ask(client, image=given).json()
    assert (one["image"], one["name"]) == ("s2", "scene 2")
    assert (other["image"], other["name"], other["label"]) == (given, "your image", None)
    assert one["maps"][0]["map"] == other["maps"][0]["map"]


def test_arrays_equal_save(client: TestClient, page: Page, tmp_path: Path) -> None:
    how: dict[str, Any] = {"layers": ["layer3"], "targets": ["4"]}
    sent = ask(client, "/map.npz", **how)
    assert "attachment" in sent.headers["content-disposition"]
    library(page, layer="layer3", target=4).save(tmp_path / "map.npz")
    found, truth = np.load(io.BytesIO(sent.content)), np.load(tmp_path / "map.npz")
    assert sorted(found) == sorted(truth) == ["heatmap", "map", "raw"]
    for key in truth:
        assert found[key].dtype == truth[key].dtype
        np.testing.assert_array_equal(found[key], truth[key])


def test_record_equals_save(client: TestClient, page: Page, tmp_path: Path) -> None:
    library(page, layer="layer3").save(tmp_path / "map.npz")
    found = ask(client, "/record.json", layers=["layer3"]).json()
    assert found == json.loads((tmp_path / "map.json").read_bytes())


def test_panel_equals_library(client: TestClient, page: Page) -> None:
    look: dict[str, Any] = {"opacity": 0.7, "colormap": "viridis", "blend": "uniform", "contour": 0.6}
    sent = ask(client, "/panel.png", **look)
    assert sent.headers["content-type"] == "image/png"
    found = np.asarray(Image.open(io.BytesIO(sent.content)))
    np.testing.assert_array_equal(found, np.asarray(library(page).panel(**look)))
    assert not np.array_equal(found, np.asarray(library(page).panel()))


@pytest.mark.parametrize(
    ("name", "media"),
    [("svg", "image/svg+xml"), ("html", "application/octet-stream"), ("pdf", "application/pdf")],
)
def test_figure_equals_library(name: str, media: str, client: TestClient, page: Page) -> None:
    if name == "pdf":
        pytest.importorskip("fpdf", reason="no fpdf2")
    look: dict[str, Any] = {"opacity": 0.7, "colormap": "viridis", "blend": "uniform", "contour": 0.6}
    sent = ask(client, f"/figure.{name}", **look)
    assert sent.status_code == 200, sent.text
    assert sent.headers["content-type"].partition(";")[0] == media
    assert sent.headers["content-disposition"] == f'attachment; filename="explanation.{name}"'
    if name == "pdf":  # the file has the time of its creation
        assert sent.content.startswith(b"%PDF-")
    else:
        assert sent.content == getattr(library(page), name)(**look)


def test_downloads_write_no_files(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for path in ("/map.npz", "/record.json", "/panel.png", "/figure.svg", "/figure.html"):
        assert ask(client, path).status_code == 200
    assert sorted(tmp_path.rglob("*")) == before


def test_download_of_a_cached_map_is_not_recomputed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(client)
    monkeypatch.setattr("camlucida.app.routes.explain.explanation_of", lambda *_, **__: pytest.fail("recomputed"))
    assert ask(client, "/map.npz").status_code == 200


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({"layers": ["layre4"]}, "no layer 'layre4' in ToyResNet. Did you mean 'layer4'"),
        ({"targets": ["caat"]}, "no class 'caat' in this model. Did you mean 'cat'?"),
        ({"targets": ["77"]}, "target 77 needs at least 78 outputs"),
        ({"methods": ["grad_can"]}, "no method 'grad_can'. Did you mean 'grad_cam'"),
        ({"methods": ["integrated_gradients"], "options": {"steps": 1e9}}, "steps is 1e+09; the app accepts 1 to 500"),
        ({"methods": ["integrated_gradients"], "options": {"stops": 3}}, "has no option 'stops'"),
        ({"methods": ["rise"], "options": {"n": 2.5}}, "n is an integer"),
        ({"methods": ["rise"], "options": {"n": "many"}}, "n is an integer"),
        ({"methods": ["rise"], "options": {"n": None}}, "n is an integer"),
        ({"methods": ["rise"], "options": {"n": -3}}, ""),
        ({"methods": ["rise"], "options": {"batch": 1}}, "has no option 'batch'"),
        ({"methods": ["rise"], "options": {"target": 1}}, "has no option 'target'"),
        ({"image": "s999"}, "There is no image s999 (any more)."),
        ({"image": "u00ff"}, "There is no image u00ff (any more)."),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(client: TestClient, question: dict[str, Any], sentence: str) -> None:
    found = ask(client, **question)
    assert found.status_code in (404, 422), found.text
    assert sentence in found.json()["detail"]


def test_download_contains_one_map(client: TestClient) -> None:
    found = ask(client, "/map.npz", layers=["layer3", "layer4"])
    assert found.status_code == 422
    assert found.json()["detail"].startswith("a file holds one map, but 2 were requested")


@pytest.mark.parametrize(
    ("methods", "queue"),
    [
        (["grad_cam"], "quick"), (["gradient", "refine(layer_cam)"], "quick"), (["rise"], "long"),
        (["grad_cam", "score_cam"], "long"), (["smooth(grad_cam, n=4)"], "long"), (["nothing"], "quick"),
    ],
)  # fmt: skip
def test_slow_methods_use_the_long_queue(methods: list[str], queue: str) -> None:
    assert queue_of(methods) == queue


def test_models_of_equal_names_are_numbered(page: Page) -> None:
    """The best.pt of two training runs; neither hides the other."""
    first, second = page.models
    both = Page([replace(first, spec="best.pt"), replace(second, spec="best.pt")], page.data)
    client = TestClient(create_app(both), base_url="http://localhost")
    assert [model["name"] for model in client.get("/api/start").json()["models"]] == ["best.pt", "best.pt (2)"]
    for name, model in (("best.pt", first), ("best.pt (2)", second)):
        answer = ask(client, model=name).json()
        made = explain(model, page.images.find("s2").image)
        assert isinstance(made, Explanation)
        assert answer["maps"][0]["model"] == name
        assert answer["maps"][0]["score"] == pytest.approx(made.score, rel=1e-4)


class Fussy(nn.Module):
    """A network that raises on the first `refusals` inputs."""

    left: ClassVar = [0]

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 2, 3)
        self.left[0] = refusals

    def forward(self, x: Tensor) -> Tensor:
        self.left[0] -= 1
        if self.left[0] >= 0:
            raise ValueError("not this one")
        scores: Tensor = self.body(x).mean((2, 3))
        return scores


def test_network_error_on_one_image_does_not_prevent_start(page: Page) -> None:
    fussy = Page([Model(Fussy(1), page.models[0].preprocessing)], page.data)
    fussy.warm()
    assert [layer.name for layer in fussy.model(None).layers] == ["body"]


def test_network_that_never_runs_is_an_error_at_start(page: Page) -> None:
    broken = Page([Model(Fussy(1000), page.models[0].preprocessing)], page.data)
    with pytest.raises(ModelError, match=r"Fussy: the network cannot run .* ValueError: not this one"):
        broken.warm()
